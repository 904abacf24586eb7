// SPDX-License-Identifier: GPL-2.0

//! Typed mount parameters.
//!
//! C header: [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)
//!
//! A filesystem declares a table; `fs_parse()` checks names and values and writes the messages for
//! what does not fit.

use crate::bindings;
use core::ptr;
use kernel::prelude::*;

/// One named value of an enumerated parameter (`struct constant_table`).
#[repr(transparent)]
pub struct Choice(bindings::constant_table);

// SAFETY: Immutable, and the name is a static string.
unsafe impl Sync for Choice {}
// SAFETY: As above.
unsafe impl Send for Choice {}

impl Choice {
    /// Ends a table of choices.
    pub const END: Self = Self(bindings::constant_table {
        name: ptr::null(),
        value: 0,
    });

    /// `name` stands for `value`.
    pub const fn new(name: &'static CStr, value: u16) -> Self {
        Self(bindings::constant_table {
            name: kernel::str::as_char_ptr_in_const_context(name),
            value: value as c_int,
        })
    }
}

/// A parameter that the filesystem knows (`struct fs_parameter_spec`).
///
/// # Invariants
///
/// `type_` is one of the functions that `Spec::value` tells apart, and `data` is null or a
/// terminated table of choices.
#[repr(transparent)]
pub struct Spec(bindings::fs_parameter_spec);

// SAFETY: Immutable; names and tables are static.
unsafe impl Sync for Spec {}
// SAFETY: As above.
unsafe impl Send for Spec {}

type ParseFn = bindings::fs_param_type;

impl Spec {
    /// Ends a table of parameters.
    pub const END: Self = Self(bindings::fs_parameter_spec {
        name: ptr::null(),
        type_: None,
        opt: 0,
        flags: 0,
        data: ptr::null(),
    });

    const fn new(
        name: &'static CStr,
        id: u8,
        type_: ParseFn,
        flags: u16,
        data: *const c_void,
    ) -> Self {
        Self(bindings::fs_parameter_spec {
            name: kernel::str::as_char_ptr_in_const_context(name),
            type_,
            opt: id,
            flags,
            data,
        })
    }

    /// `name` alone: [`Value::Flag`].
    pub const fn flag(name: &'static CStr, id: u8) -> Self {
        Self::new(name, id, None, 0, ptr::null())
    }

    /// `name` or `noname`: [`Value::Flag`].
    pub const fn flag_no(name: &'static CStr, id: u8) -> Self {
        Self::new(
            name,
            id,
            None,
            bindings::fs_param_neg_with_no as u16,
            ptr::null(),
        )
    }

    /// `name=0|1|y|n|…`: [`Value::Bool`].
    pub const fn bool(name: &'static CStr, id: u8) -> Self {
        Self::new(name, id, Some(bindings::fs_param_is_bool), 0, ptr::null())
    }

    /// `name=<number>`: [`Value::U32`].
    pub const fn u32(name: &'static CStr, id: u8) -> Self {
        Self::new(name, id, Some(bindings::fs_param_is_u32), 0, ptr::null())
    }

    /// `name=<number>`: [`Value::U64`].
    pub const fn u64(name: &'static CStr, id: u8) -> Self {
        Self::new(name, id, Some(bindings::fs_param_is_u64), 0, ptr::null())
    }

    /// `name=<text>`: [`Value::String`].
    pub const fn string(name: &'static CStr, id: u8) -> Self {
        Self::new(name, id, Some(bindings::fs_param_is_string), 0, ptr::null())
    }

    /// `name=<one of choices>`: [`Value::Choice`]. `choices` ends with [`Choice::END`].
    pub const fn choice(name: &'static CStr, id: u8, choices: &'static [Choice]) -> Self {
        assert!(!choices.is_empty() && choices[choices.len() - 1].0.name.is_null());
        Self::new(
            name,
            id,
            Some(bindings::fs_param_is_enum),
            0,
            choices.as_ptr().cast(),
        )
    }

    /// Reads the member of `result` that the parameter's parser has set.
    fn value<'a>(
        &self,
        param: &'a bindings::fs_parameter,
        result: &bindings::fs_parse_result,
    ) -> Option<Value<'a>> {
        let Some(type_) = self.0.type_ else {
            return Some(Value::Flag(!result.negated));
        };
        let is = |f: unsafe extern "C" fn(_, _, _, _) -> _| core::ptr::fn_addr_eq(type_, f);
        let value = &result.__bindgen_anon_1;
        // SAFETY: `fs_parse` succeeded, and each of these parsers sets the member that is read
        // here.
        unsafe {
            if is(bindings::fs_param_is_bool) {
                return Some(Value::Bool(*value.boolean.as_ref()));
            } else if is(bindings::fs_param_is_u32) {
                return Some(Value::U32(*value.uint_32.as_ref()));
            } else if is(bindings::fs_param_is_u64) {
                return Some(Value::U64(*value.uint_64.as_ref()));
            } else if is(bindings::fs_param_is_enum) {
                return Some(Value::Choice(*value.uint_32.as_ref()));
            }
        }
        // SAFETY: `fs_param_is_string` accepts only parameters that hold a string.
        let string = unsafe { param.__bindgen_anon_1.string };
        if is(bindings::fs_param_is_string) && !string.is_null() {
            // SAFETY: A NUL-terminated string that lives as long as the parameter.
            return Some(Value::String(unsafe { CStr::from_char_ptr(string) }));
        }
        None
    }
}

/// The value of a parameter, as its [`Spec`] says.
pub enum Value<'a> {
    /// A flag; `false` for the form with `no` in front.
    Flag(bool),
    /// A truth value.
    Bool(bool),
    /// A number.
    U32(u32),
    /// A number.
    U64(u64),
    /// The value of the [`Choice`] that was named.
    Choice(u32),
    /// A text.
    String(&'a CStr),
}

/// Whether `specs` ends with [`Spec::END`], which C relies on.
pub(crate) const fn is_terminated(specs: &[Spec]) -> bool {
    !specs.is_empty() && specs[specs.len() - 1].0.name.is_null()
}

/// The table as C takes it.
pub(crate) const fn as_table(specs: &'static [Spec]) -> *const bindings::fs_parameter_spec {
    specs.as_ptr().cast()
}

/// Lets `fs_parse()` look `param` up in `specs`.
///
/// # Errors
///
/// `ENOPARAM` for a name that is not in the table (the VFS then tries its own and writes the
/// message), else what the parser of the value said.
///
/// # Safety
///
/// `fc` and `param` are valid, and `specs` is terminated.
pub(crate) unsafe fn parse<'a>(
    fc: *mut bindings::fs_context,
    specs: &'static [Spec],
    param: *mut bindings::fs_parameter,
) -> Result<(u8, Value<'a>)> {
    let mut result = bindings::fs_parse_result::default();
    // SAFETY: By the contract of this function.
    let opt =
        unsafe { bindings::__fs_parse(&raw mut (*fc).log, as_table(specs), param, &mut result) };
    kernel::error::to_result(opt)?;
    let id = u8::try_from(opt)?;
    let spec = specs
        .iter()
        .find(|s| !s.0.name.is_null() && s.0.opt == id)
        .ok_or(EINVAL)?;
    // SAFETY: `param` is valid for the call of `parse_param` that this is part of.
    let value = spec.value(unsafe { &*param }, &result).ok_or(EINVAL)?;
    Ok((id, value))
}
