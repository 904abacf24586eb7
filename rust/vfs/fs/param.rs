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

// SAFETY: Nothing changes a choice, and its name is a static string: any thread may read both.
unsafe impl Sync for Choice {}
// SAFETY: It owns nothing, so that any thread may drop it.
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

// SAFETY: Nothing changes a specification, and its name and its choices are static: any thread may read them.
unsafe impl Sync for Spec {}
// SAFETY: It owns nothing, so that any thread may drop it.
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
    ///
    /// # Safety
    ///
    /// `result` was written by `fs_parse()`, which has found `param` to be of this specification.
    unsafe fn value<'a>(
        &self,
        param: &'a bindings::fs_parameter,
        result: &bindings::fs_parse_result,
    ) -> Option<Value<'a>> {
        let Some(type_) = self.0.type_ else {
            return Some(Value::Flag(!result.negated));
        };
        let is = |f: unsafe extern "C" fn(_, _, _, _) -> _| core::ptr::fn_addr_eq(type_, f);
        let value = &result.__bindgen_anon_1;
        // SAFETY: The caller says that this parser has run, and has liked the value; each of them then sets the member that
        // is read here (fs/fs_parser.c). All others are zero from the start.
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
        if !is(bindings::fs_param_is_string) {
            return None;
        }
        // SAFETY: `fs_param_is_string()` takes only parameters that hold a string. It ends with a NUL and lives as long as
        // the parameter.
        unsafe {
            let string = param.__bindgen_anon_1.string;
            (!string.is_null()).then(|| Value::String(CStr::from_char_ptr(string)))
        }
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

/// All parameters of a filesystem.
///
/// # Invariants
///
/// Only the last is [`Spec::END`], which C relies on. No two have one number: by its number it is found what kind of value was
/// parsed.
#[derive(Clone, Copy)]
pub struct Table(&'static [Spec]);

impl Table {
    /// Checks `specs`, which end with [`Spec::END`] and have a number each; two that disagree do not compile.
    pub const fn new(specs: &'static [Spec]) -> Self {
        assert!(!specs.is_empty(), "a table ends with `Spec::END`");
        let last = specs.len() - 1;
        assert!(
            specs[last].0.name.is_null(),
            "a table ends with `Spec::END`"
        );
        let mut i = 0;
        while i < last {
            assert!(!specs[i].0.name.is_null(), "`Spec::END` is the last");
            let mut j = 0;
            while j < i {
                assert!(
                    specs[j].0.opt != specs[i].0.opt,
                    "two parameters have one number"
                );
                j += 1;
            }
            i += 1;
        }
        // INVARIANT: Just checked.
        Self(specs)
    }

    /// The table as C takes it.
    pub(crate) const fn as_ptr(self) -> *const bindings::fs_parameter_spec {
        self.0.as_ptr().cast()
    }

    fn find(self, id: u8) -> Option<&'static Spec> {
        self.0.iter().find(|s| !s.0.name.is_null() && s.0.opt == id)
    }
}

/// Lets `fs_parse()` look `param` up in `table`.
///
/// # Errors
///
/// `ENOPARAM` for a name that is not in the table (the VFS then tries its own and writes the
/// message), else what the parser of the value said.
///
/// # Safety
///
/// `fc` and `param` are valid, `param` for `'a`, and only this thread uses them.
pub(crate) unsafe fn parse<'a>(
    fc: *mut bindings::fs_context,
    table: Table,
    param: *mut bindings::fs_parameter,
) -> Result<(u8, Value<'a>)> {
    let mut result = bindings::fs_parse_result::default();
    // SAFETY: The caller vouches for the context, whose log is set up, and for the parameter; the table ends where C sees it.
    let opt =
        unsafe { bindings::__fs_parse(&raw mut (*fc).log, table.as_ptr(), param, &mut result) };
    kernel::error::to_result(opt)?;
    let id = u8::try_from(opt)?;
    let spec = table.find(id).ok_or(EINVAL)?;
    // SAFETY: The caller vouches for the parameter. `fs_parse()` has taken it for the one with this number, of which there is
    // one only.
    let value = unsafe { spec.value(&*param, &result) }.ok_or(EINVAL)?;
    Ok((id, value))
}
