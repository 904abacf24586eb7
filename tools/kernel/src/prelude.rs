// SPDX-License-Identifier: GPL-2.0

//! The `kernel` prelude.

pub use core::{
    ffi::CStr,
    mem::{
        align_of,
        align_of_val,
        size_of,
        size_of_val, //
    },
    pin::Pin,
};

pub use core::format_args as fmt;

pub use zerocopy::{
    FromBytes,
    IntoBytes, //
};

pub use zerocopy_derive::{
    FromBytes,
    IntoBytes, //
};

pub use crate::{
    alloc::{
        flags::*,
        Box,
        KBox,
        KVBox,
        KVVec,
        KVec,
        VBox,
        VVec,
        Vec,
        Zeroable, //
    },
    build_assert,
    const_assert,
    error::{
        code::*,
        Error,
        Result, //
    },
    pr_alert,
    pr_crit,
    pr_debug,
    pr_emerg,
    pr_err,
    pr_info,
    pr_notice,
    pr_warn,
    static_assert, //
};
