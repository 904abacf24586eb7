// SPDX-License-Identifier: GPL-2.0

//! Kernel errors.
//!
//! Numbers: `include/uapi/asm-generic/errno-base.h`, `errno.h`; `include/linux/errno.h`.

use core::{
    fmt,
    num::{
        NonZeroI32,
        TryFromIntError, //
    },
    str::Utf8Error,
};

use crate::alloc::AllocError;

macro_rules! declare_errors {
    ($($name:ident = $number:literal, $doc:literal;)+) => {
        /// The C-compatible error codes.
        pub mod code {
            use super::{Error, NonZeroI32};

            $(
                #[doc = $doc]
                pub const $name: Error = match NonZeroI32::new(-$number) {
                    Some(errno) => Error(errno),
                    None => panic!("0 is no errno"),
                };
            )+
        }

        /// The name of each code, in the order of their numbers.
        const NAMES: &[(i32, &str)] = &[$(($number, stringify!($name))),+];
    };
}

declare_errors! {
    EPERM = 1, "Operation not permitted.";
    ENOENT = 2, "No such file or directory.";
    ESRCH = 3, "No such process.";
    EINTR = 4, "Interrupted system call.";
    EIO = 5, "I/O error.";
    ENXIO = 6, "No such device or address.";
    E2BIG = 7, "Argument list too long.";
    ENOEXEC = 8, "Exec format error.";
    EBADF = 9, "Bad file number.";
    ECHILD = 10, "No child processes.";
    EAGAIN = 11, "Try again.";
    ENOMEM = 12, "Out of memory.";
    EACCES = 13, "Permission denied.";
    EFAULT = 14, "Bad address.";
    ENOTBLK = 15, "Block device required.";
    EBUSY = 16, "Device or resource busy.";
    EEXIST = 17, "File exists.";
    EXDEV = 18, "Cross-device link.";
    ENODEV = 19, "No such device.";
    ENOTDIR = 20, "Not a directory.";
    EISDIR = 21, "Is a directory.";
    EINVAL = 22, "Invalid argument.";
    ENFILE = 23, "File table overflow.";
    EMFILE = 24, "Too many open files.";
    ENOTTY = 25, "Not a typewriter.";
    ETXTBSY = 26, "Text file busy.";
    EFBIG = 27, "File too large.";
    ENOSPC = 28, "No space left on device.";
    ESPIPE = 29, "Illegal seek.";
    EROFS = 30, "Read-only file system.";
    EMLINK = 31, "Too many links.";
    EPIPE = 32, "Broken pipe.";
    EDOM = 33, "Math argument out of domain of func.";
    ERANGE = 34, "Math result not representable.";
    EDEADLK = 35, "Resource deadlock would occur.";
    ENAMETOOLONG = 36, "File name too long.";
    ENOLCK = 37, "No record locks available.";
    ENOSYS = 38, "Invalid system call number.";
    ENOTEMPTY = 39, "Directory not empty.";
    ELOOP = 40, "Too many symbolic links encountered.";
    ENODATA = 61, "No data available.";
    ETIME = 62, "Timer expired.";
    EPROTO = 71, "Protocol error.";
    EBADMSG = 74, "Not a data message.";
    EFSBADCRC = 74, "Bad CRC detected.";
    EOVERFLOW = 75, "Value too large for defined data type.";
    EILSEQ = 84, "Illegal byte sequence.";
    EUSERS = 87, "Too many users.";
    EMSGSIZE = 90, "Message too long.";
    EOPNOTSUPP = 95, "Operation not supported on transport endpoint.";
    ENOBUFS = 105, "No buffer space available.";
    ESHUTDOWN = 108, "Cannot send after transport endpoint shutdown.";
    ETIMEDOUT = 110, "Connection timed out.";
    EALREADY = 114, "Operation already in progress.";
    EINPROGRESS = 115, "Operation now in progress.";
    ESTALE = 116, "Stale file handle.";
    EUCLEAN = 117, "Structure needs cleaning.";
    EFSCORRUPTED = 117, "Filesystem is corrupted.";
    EREMOTEIO = 121, "Remote I/O error.";
    EDQUOT = 122, "Quota exceeded.";
    ENOMEDIUM = 123, "No medium found.";
    EMEDIUMTYPE = 124, "Wrong medium type.";
    ECANCELED = 125, "Operation Canceled.";
    ENOTRECOVERABLE = 131, "State not recoverable.";
    EHWPOISON = 133, "Memory page has hardware error.";
    ENOPARAM = 519, "Parameter not supported.";
    ENOTSUPP = 524, "Operation is not supported.";
}

/// The largest errno that an [`Error`] holds (`include/linux/err.h`).
const MAX_ERRNO: i32 = 4095;

/// Generic integer kernel error: `-MAX_ERRNO <= errno < 0`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

impl Error {
    /// Creates an [`Error`] from a negative errno; [`code::EINVAL`] where it is out of range.
    pub fn from_errno(errno: core::ffi::c_int) -> Error {
        match NonZeroI32::new(errno) {
            Some(e) if (-MAX_ERRNO..0).contains(&errno) => Error(e),
            _ => code::EINVAL,
        }
    }

    /// The kernel's error code, negative.
    pub fn to_errno(self) -> core::ffi::c_int {
        self.0.get()
    }

    /// The name of the code. Host only: the kernel's own returns a C string.
    pub fn host_name(&self) -> Option<&'static str> {
        // Of two names for a number the later one is the filesystem's (EFSCORRUPTED, EFSBADCRC).
        NAMES
            .iter()
            .rev()
            .find(|(number, _)| *number == -self.to_errno())
            .map(|(_, name)| *name)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_name() {
            Some(name) => f.write_str(name),
            None => f.debug_tuple("Error").field(&-self.to_errno()).finish(),
        }
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Error {
        code::ENOMEM
    }
}

impl From<TryFromIntError> for Error {
    fn from(_: TryFromIntError) -> Error {
        code::EINVAL
    }
}

impl From<Utf8Error> for Error {
    fn from(_: Utf8Error) -> Error {
        code::EINVAL
    }
}

impl From<fmt::Error> for Error {
    fn from(_: fmt::Error) -> Error {
        code::EINVAL
    }
}

impl From<core::convert::Infallible> for Error {
    fn from(e: core::convert::Infallible) -> Error {
        match e {}
    }
}

/// A [`Result`] with an [`Error`] error type.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Converts a C-style return value: negative is an errno.
pub fn to_result(err: core::ffi::c_int) -> Result {
    if err < 0 {
        Err(Error::from_errno(err))
    } else {
        Ok(())
    }
}
