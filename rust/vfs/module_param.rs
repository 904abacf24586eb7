// SPDX-License-Identifier: GPL-2.0

//! Module parameters that the `module!` macro does not have: named values, and numbers with limits.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)
//!
//! A value that does not fit refuses the load, and a line in the kernel's log says what would fit.
//! The values can be read in `/sys/module/<name>/parameters/`; they change no more once the module
//! is loaded.
//!
//! # Examples
//!
//! ```ignore
//! vfs::module_params! {
//!     module: crate::MyModule,
//!     name: "mymodule",
//!
//!     /// What to do at night.
//!     pub(crate) choice night: Night {
//!         values: ["sleep" => Night::Sleep, "work" => Night::Work],
//!         description: "What to do at night",
//!     }
//!     /// For how long.
//!     pub(crate) number hours {
//!         default: 8, min: 1, max: 12,
//!         description: "For how many hours",
//!     }
//! }
//!
//! if night.get() == Night::Sleep { /* for hours.get() */ }
//! ```

use crate::bindings;
use core::{fmt::Write, slice};
use kernel::{
    error::from_result,
    fmt,
    prelude::*,
    print::{call_printk, format_strings},
    str::{parse_int::ParseInt, BStr, Formatter},
    sync::atomic::{Atomic, Relaxed},
    ModuleMetadata,
};

/// Bytes of the buffer in which a value is shown.
const SHOWN: usize = 256;

/// How a parameter reads and shows its value.
pub trait Parameter: Sync {
    /// Takes `text`, or refuses it and changes nothing.
    fn set(&self, text: &BStr) -> Result;

    /// Writes the value.
    fn show(&self, f: &mut dyn Write) -> fmt::Result;

    /// Writes what [`Parameter::set`] takes, as the end of a sentence that begins with "takes".
    fn expected(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// One of several names, each of which stands for a `T`. The first is the default.
pub struct Choice<T: 'static> {
    values: &'static [(&'static str, T)],
    /// Index of the chosen one.
    chosen: Atomic<u32>,
}

impl<T: Copy> Choice<T> {
    /// The parameter, with the first of `values` chosen.
    pub const fn new(values: &'static [(&'static str, T)]) -> Self {
        assert!(!values.is_empty());
        Self {
            values,
            chosen: Atomic::<u32>::new(0),
        }
    }

    fn chosen(&self) -> &(&'static str, T) {
        let at = self.chosen.load(Relaxed) as usize;
        self.values.get(at).unwrap_or(&self.values[0])
    }

    /// The chosen value.
    pub fn get(&self) -> T {
        self.chosen().1
    }
}

impl<T: Copy + Sync> Parameter for Choice<T> {
    fn set(&self, text: &BStr) -> Result {
        let named = |(name, _): &(&str, T)| name.as_bytes() == &**text;
        let at = self.values.iter().position(named).ok_or(EINVAL)?;
        self.chosen.store(u32::try_from(at)?, Relaxed);
        Ok(())
    }

    fn show(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str(self.chosen().0)
    }

    fn expected(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.values.len() - 1;
        for (i, (name, _)) in self.values.iter().enumerate() {
            let between = match i {
                0 => "",
                _ if i == last => " or ",
                _ => ", ",
            };
            write!(f, "{between}{name}")?;
        }
        Ok(())
    }
}

/// A number within limits.
pub struct Number {
    value: Atomic<u32>,
    min: u32,
    max: u32,
}

impl Number {
    /// The parameter, with its default; `min` and `max` are allowed values themselves.
    pub const fn new(default: u32, min: u32, max: u32) -> Self {
        assert!(min <= default && default <= max);
        Self {
            value: Atomic::<u32>::new(default),
            min,
            max,
        }
    }

    /// The value.
    pub fn get(&self) -> u32 {
        self.value.load(Relaxed)
    }
}

impl Parameter for Number {
    fn set(&self, text: &BStr) -> Result {
        let value = <u32 as ParseInt>::from_str(text)?;
        if !(self.min..=self.max).contains(&value) {
            return Err(ERANGE);
        }
        self.value.store(value, Relaxed);
        Ok(())
    }

    fn show(&self, f: &mut dyn Write) -> fmt::Result {
        write!(f, "{}", self.get())
    }

    fn expected(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", self.min, self.max)
    }
}

/// What a parameter takes, for a message.
struct Expected<'a>(&'a dyn Parameter);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expected(f)
    }
}

/// What the loader finds in section `__param` (`struct kernel_param`). Made by [`module_params!`].
///
/// # Invariants
///
/// `arg` is a `&'static P`, and the callbacks of `ops` are those of [`Callbacks`] for this `P`.
#[doc(hidden)]
#[repr(transparent)]
pub struct KernelParam(bindings::kernel_param);

// SAFETY: Rust never looks into it. C reads it in the load, alone, and through sysfs, where it changes
// nothing but what the parameter, which is `Sync`, lets it change.
unsafe impl Sync for KernelParam {}

impl KernelParam {
    #[doc(hidden)]
    pub const fn new<M: ModuleMetadata, P: Parameter>(
        name: &'static CStr,
        parameter: &'static P,
    ) -> Self {
        // INVARIANT: Here it is made so.
        Self(bindings::kernel_param {
            name: kernel::str::as_char_ptr_in_const_context(name),
            mod_: M::THIS_MODULE.as_ptr(),
            ops: &raw const Callbacks::<M, P>::OPS_REF.0,
            // Everybody may read it, nobody may write it.
            perm: 0o444,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: (&raw const *parameter).cast_mut().cast(),
            },
        })
    }
}

/// `struct kernel_param_ops`, which is all function pointers, as a static.
struct Ops(bindings::kernel_param_ops);

/// The callbacks of a parameter of type `P` in module `M`.
struct Callbacks<M, P>(core::marker::PhantomData<(M, P)>);

impl<M: ModuleMetadata, P: Parameter> Callbacks<M, P> {
    const OPS_REF: &'static Ops = &Ops(bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    });

    /// # Safety
    ///
    /// `param` was made by [`KernelParam::new`] for `P`.
    unsafe fn parameter<'a>(param: *const bindings::kernel_param) -> &'a P {
        // SAFETY: A `KernelParam` with these callbacks has a `&'static P`: `new` is the only way to make one.
        // The static is there as long as the module's code is.
        unsafe { &*(*param).__bindgen_anon_1.arg.cast::<P>() }
    }

    /// # Safety
    ///
    /// Called by the module loader with a string, or null for a name without a value, and a
    /// parameter that has these callbacks.
    unsafe extern "C" fn set(text: *const c_char, param: *const bindings::kernel_param) -> c_int {
        from_result(|| {
            if text.is_null() {
                return Err(EINVAL);
            }
            // SAFETY: The loader passes a string of the arguments that it parses, which stay until the load
            // is over, and the parameter that it has found these callbacks in; `new` gave that its name.
            let (text, parameter, name) = unsafe {
                (
                    CStr::from_char_ptr(text),
                    Self::parameter(param),
                    CStr::from_char_ptr((*param).name),
                )
            };
            let text = BStr::from_bytes(text.to_bytes());
            parameter.set(text).inspect_err(|_| {
                let expected = Expected(parameter);
                // SAFETY: The format string is one of those made for this, and the module's name has its NUL.
                unsafe {
                    call_printk(
                        &format_strings::ERR,
                        M::NAME.to_bytes_with_nul(),
                        fmt!("{name} takes {expected}, not '{text}'\n"),
                    );
                }
            })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by sysfs with a page and a parameter that has these callbacks.
    unsafe extern "C" fn get(buffer: *mut c_char, param: *const bindings::kernel_param) -> c_int {
        // SAFETY: sysfs passes a page of its own, which is longer and which it shows to nobody before this
        // returns.
        let out = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), SHOWN) };
        let mut f = Formatter::new(out);
        // SAFETY: sysfs passes the parameter that it has found these callbacks in.
        let parameter = unsafe { Self::parameter(param) };
        if parameter
            .show(&mut f)
            .and_then(|()| f.write_char('\n'))
            .is_err()
        {
            return EOVERFLOW.to_errno();
        }
        f.bytes_written() as c_int
    }
}

/// A text as the bytes of a static.
#[doc(hidden)]
pub const fn bytes_of<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    assert!(bytes.len() == N);
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

/// Declares module parameters: see [the module](self). `name` is the module's.
///
/// Each becomes a static of that name, a [`Choice`] or a [`Number`].
#[macro_export]
macro_rules! module_params {
    (module: $module:ty, name: $prefix:literal, $($rest:tt)*) => {
        $crate::module_params!(@next [$module] $prefix $($rest)*);
    };
    (@next [$module:ty] $prefix:literal) => {};
    (@next [$module:ty] $prefix:literal
        $(#[$attr:meta])*
        $vis:vis choice $name:ident: $type:ty {
            values: [$first:literal => $default:expr $(, $other:literal => $value:expr)* $(,)?],
            description: $description:literal $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$attr])*
        #[allow(non_upper_case_globals)]
        $vis static $name: $crate::module_param::Choice<$type> =
            $crate::module_param::Choice::new(&[($first, $default) $(, ($other, $value))*]);
        $crate::module_params!(@param [$module] $prefix $name
            concat!($first $(, "|", $other)*), $description);
        $crate::module_params!(@next [$module] $prefix $($rest)*);
    };
    (@next [$module:ty] $prefix:literal
        $(#[$attr:meta])*
        $vis:vis number $name:ident {
            default: $default:expr, min: $min:expr, max: $max:expr,
            description: $description:literal $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$attr])*
        #[allow(non_upper_case_globals)]
        $vis static $name: $crate::module_param::Number =
            $crate::module_param::Number::new($default, $min, $max);
        $crate::module_params!(@param [$module] $prefix $name "uint", $description);
        $crate::module_params!(@next [$module] $prefix $($rest)*);
    };
    // What the loader and modinfo(8) look for.
    (@param [$module:ty] $prefix:literal $name:ident $type:expr, $description:literal) => {
        const _: () = {
            // Parameters of built-in modules have the module's name before their own.
            const NAME: &::core::ffi::CStr = match ::core::ffi::CStr::from_bytes_with_nul(
                if ::core::cfg!(MODULE) {
                    concat!(stringify!($name), "\0").as_bytes()
                } else {
                    concat!($prefix, ".", stringify!($name), "\0").as_bytes()
                },
            ) {
                Ok(name) => name,
                Err(_) => panic!("a NUL in a name"),
            };

            #[link_section = "__param"]
            #[used(compiler)]
            static PARAM: $crate::module_param::KernelParam =
                $crate::module_param::KernelParam::new::<$module, _>(NAME, &$name);

            $crate::module_params!(@info TYPE $prefix
                concat!("parmtype=", stringify!($name), ":", $type, "\0"));
            $crate::module_params!(@info TEXT $prefix
                concat!("parm=", stringify!($name), ":", $description, "\0"));
        };
    };
    (@info $static:ident $prefix:literal $text:expr) => {
        #[cfg(MODULE)]
        #[link_section = ".modinfo"]
        #[used(compiler)]
        static $static: [u8; $text.len()] = $crate::module_param::bytes_of($text);
        #[cfg(not(MODULE))]
        #[link_section = ".modinfo"]
        #[used(compiler)]
        static $static: [u8; concat!($prefix, ".", $text).len()] =
            $crate::module_param::bytes_of(concat!($prefix, ".", $text));
    };
}
