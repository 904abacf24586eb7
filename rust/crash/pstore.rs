// SPDX-License-Identifier: GPL-2.0

//! Being the backend of pstore: what keeps the kernel's log of a panic until the next boot.
//!
//! C header: [`include/linux/pstore.h`](srctree/include/linux/pstore.h)
//!
//! pstore has one place for a backend; who comes second is refused with `EBUSY`. In a panic pstore
//! cuts the log into records, compresses them, and has the backend write them; while the kernel
//! runs, the backend's records are files in `/sys/fs/pstore`, and unlinking one erases it.
//!
//! pstore reads a backend's records when the backend is registered. A backend that has found more
//! records since then shows them by registering anew.

// Everything here is generic or `#[inline]`: a module that does not use it has nothing of it.

use crate::{bindings, kmsg::Reason, Stopped};
use core::{cell::UnsafeCell, ptr::NonNull, slice};
use kernel::{
    error::{from_err_ptr, from_result, to_result},
    module::this_module,
    prelude::*,
    types::Opaque,
};
use vfs::time::Timespec;

/// What a record holds (`enum pstore_type_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(u32);

impl Kind {
    /// The kind with this number, as [`Kind::number`] gave it to be stored; [`None`] if pstore has no
    /// such kind.
    #[inline]
    pub const fn from_number(number: u32) -> Option<Self> {
        if number < bindings::pstore_type_id_PSTORE_TYPE_MAX {
            Some(Self(number))
        } else {
            None
        }
    }

    /// A number to store. It is part of pstore's ABI.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What is told of a record beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// What the bytes are.
    pub kind: Kind,
    /// When it was written, by the clock of that time.
    pub time: Timespec,
    /// `enum kmsg_dump_reason`.
    pub reason: u32,
    /// Which dump of that boot this was, from 1.
    pub count: i32,
    /// Which part of the dump this is, from 1; the first has the newest lines.
    pub part: u32,
    /// pstore has compressed the bytes.
    pub compressed: bool,
}

/// A record that was read.
pub struct Stored {
    /// Number of the record, unique among those of its kind; the end of its file's name.
    pub id: u64,
    /// What [`Backend::write`] was told.
    pub header: Header,
    /// The bytes; at least one.
    pub data: KVVec<u8>,
}

/// Stores records.
///
/// `'static`, because a registration that is leaked stays pstore's.
#[vtable]
pub trait Backend: Send + Sync + 'static {
    /// Middle part of the names of its files: `dmesg-NAME-ID`.
    const NAME: &'static CStr;

    /// The least urgent reason for which the log is to be written.
    const MAX_REASON: Reason;

    /// Where an enumeration of the records is; the default is its beginning.
    type Cursor: Default + Send;

    /// Stores a record, and gives it a number.
    ///
    /// For [`Reason::Panic`] this runs in [panic context](crate#panic-context), from a kmsg dumper and
    /// with pstore's raw spinlock held; `stopped` says so if a [panic notifier](crate::panic) is
    /// registered, which ran before. For others that holds but for the other CPUs. An `Err` is counted
    /// as a record that was not stored: pstore goes on with the next one and prints the first error.
    fn write(&self, stopped: Option<Stopped<'_>>, header: &Header, data: &[u8]) -> Result<u64>;

    /// The next record, or [`None`] after the last; an `Err` ends the enumeration, so that what stands
    /// behind a record which cannot be read is reached only by skipping that one.
    ///
    /// Process context. pstore's lock for reading is held: neither another enumeration nor
    /// [`Backend::erase`] runs beside it.
    fn next(&self, cursor: &mut Self::Cursor) -> Result<Option<Stored>>;

    /// Erases the record. Process context, under the same lock. pstore removes the file whatever this
    /// returns.
    fn erase(&self, kind: Kind, id: u64) -> Result;
}

/// A registered backend.
///
/// # Invariants
///
/// - *registered*: `info` is pstore's backend until `Drop`, its `data` points at this, `buffer` is its
///   buffer, and its callbacks are those of this type.
/// - *one reader*: `cursor` is touched only under `info`'s `read_mutex`.
#[pin_data(PinnedDrop)]
pub struct Registration<B: Backend> {
    #[pin]
    info: Opaque<bindings::pstore_info>,
    cursor: UnsafeCell<B::Cursor>,
    buffer: KVVec<u8>,
    backend: B,
    // Goes after the backend was unregistered, with the other fields.
    filesystem: Filesystem,
}

// SAFETY: pstore may be called, and a mount go, from any thread; backend and cursor are `Send`.
unsafe impl<B: Backend> Send for Registration<B> {}
// SAFETY: Only the backend can be reached, and it is `Sync`; for the cursor see *one reader*.
unsafe impl<B: Backend> Sync for Registration<B> {}

impl<B: Backend> Registration<B> {
    /// Registers `backend`, for records of at most `bytes` bytes. Process context; calls
    /// [`Backend::next`] until there are no more records.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is another backend, or `pstore.backend=` on the kernel's command line wants
    /// another; pstore has then said so in the log. `ENOMEM`; `EINVAL` for no bytes.
    pub fn new(backend: B, bytes: usize) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            // A panic may come as soon as it is registered: the rest is in place before.
            backend,
            filesystem: Filesystem::pin()?,
            cursor: UnsafeCell::new(B::Cursor::default()),
            buffer: {
                if bytes == 0 {
                    return Err(EINVAL);
                }
                KVVec::from_elem(0, bytes, GFP_KERNEL)?
            },
            info <- Opaque::try_ffi_init(|slot: *mut bindings::pstore_info| {
                let this = this.as_ptr();
                // SAFETY: `try_pin_init` has initialised the buffer before this field. It is not
                // changed any more, so its memory stays where it is.
                let buffer = unsafe { (*this).buffer.as_mut_ptr() };
                let info = bindings::pstore_info {
                    owner: this_module::<<B as Backend>::OwnerModule>().as_ptr(),
                    name: kernel::str::as_char_ptr_in_const_context(B::NAME),
                    buf: buffer.cast(),
                    bufsize: bytes,
                    flags: DMESG,
                    max_reason: B::MAX_REASON as c_int,
                    data: this.cast(),
                    open: Some(Self::open),
                    read: Some(Self::read),
                    write: Some(Self::write),
                    erase: Some(Self::erase),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is memory for the info, which `try_ffi_init` lends us for writing.
                unsafe { slot.write(info) };
                // INVARIANT: If this succeeds `info` is pstore's backend.
                // SAFETY: `info` is complete and pinned, as are the fields that its callbacks use, and
                // `Drop` unregisters it before its memory goes.
                to_result(unsafe { bindings::pstore_register(slot) })
            }),
        })
    }

    /// The registration that pstore calls.
    ///
    /// # Safety
    ///
    /// `info` is what pstore has called a callback of this type with, which lasts longer than `'a`.
    unsafe fn from_info<'a>(info: *mut bindings::pstore_info) -> &'a Self {
        // SAFETY: Only `new` gives these callbacks away, in an `info` whose `data` is the registration
        // that it is in. `Drop` waits for callbacks that run before that goes.
        unsafe { &*(*info).data.cast::<Self>() }
    }

    /// The same, and the cursor.
    ///
    /// # Safety
    ///
    /// As [`Self::from_info`], from `open` or `read`; one at a time.
    unsafe fn with_cursor<'a>(info: *mut bindings::pstore_info) -> (&'a B, &'a mut B::Cursor) {
        // SAFETY: The contract of `from_info` is part of ours.
        let this = unsafe { Self::from_info(info) };
        // SAFETY: pstore calls `open` and `read` with the info's `read_mutex` held, and nobody else
        // looks at the cursor.
        (&this.backend, unsafe { &mut *this.cursor.get() })
    }

    /// # Safety
    ///
    /// Called by pstore under `read_mutex`, with the `info` of a `Registration<B>`.
    unsafe extern "C" fn open(info: *mut bindings::pstore_info) -> c_int {
        // SAFETY: pstore calls with the info of a registration, under its `read_mutex`.
        let (_, cursor) = unsafe { Self::with_cursor(info) };
        *cursor = B::Cursor::default();
        0
    }

    /// # Safety
    ///
    /// Called by pstore under `read_mutex`, with a record of its own that has the `info` of a
    /// `Registration<B>`.
    unsafe extern "C" fn read(record: *mut bindings::pstore_record) -> isize {
        // SAFETY: pstore has put the info of a registration into the record, which is its own, and holds
        // `read_mutex`.
        let (backend, cursor) = unsafe { Self::with_cursor((*record).psi) };
        let stored = match backend.next(cursor) {
            Ok(Some(stored)) if !stored.data.is_empty() => stored,
            Ok(Some(_)) => return EINVAL.to_errno() as isize,
            Ok(None) => return 0,
            Err(e) => return e.to_errno() as isize,
        };
        let header = &stored.header;
        // Not empty, so this is memory of `kvmalloc()`, which pstore frees with `kvfree()`.
        let (data, len, _) = stored.data.into_raw_parts();
        // SAFETY: pstore has allocated the record for this call and shows it to nobody before we return.
        unsafe {
            (*record).id = stored.id;
            (*record).type_ = header.kind.0;
            (*record).time = header.time.into();
            (*record).reason = header.reason;
            (*record).count = header.count;
            (*record).part = header.part;
            (*record).compressed = header.compressed;
            (*record).buf = data.cast();
        }
        // No allocation is longer than `isize::MAX`.
        len as isize
    }

    /// # Safety
    ///
    /// Called by pstore with a record that has the `info` of a `Registration<B>`, and `size` bytes at
    /// `buf`.
    unsafe extern "C" fn write(record: *mut bindings::pstore_record) -> c_int {
        // SAFETY: The record is on the stack of pstore's dumper, which waits for us and has put the info
        // of a registration there; nobody else has it.
        let (this, record) = unsafe { (Self::from_info((*record).psi), &mut *record) };
        if record.size <= 0 || record.buf.is_null() {
            return EINVAL.to_errno();
        }
        let header = Header {
            kind: Kind(record.type_),
            time: record.time.into(),
            reason: record.reason,
            count: record.count,
            part: record.part,
            compressed: record.compressed,
        };
        // SAFETY: pstore has filled so many bytes of the buffer there, and leaves them alone until we
        // return.
        let data = unsafe { slice::from_raw_parts(record.buf.cast::<u8>(), record.size as usize) };
        // SAFETY: pstore passes the reason on that its kmsg dumper was called for: for a panic by
        // `panic()`, on its own CPU after its notifiers. The callee cannot keep what it gets.
        let stopped = unsafe { Reason::from_c(record.reason).stopped() };
        match this.backend.write(stopped, &header, data) {
            Ok(id) => {
                record.id = id;
                0
            }
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by pstore under `read_mutex`, with a record that [`Self::read`] has filled.
    unsafe extern "C" fn erase(record: *mut bindings::pstore_record) -> c_int {
        from_result(|| {
            // SAFETY: pstore keeps the record of each file, which `read` has filled, until the file has
            // gone; it was read from the registration whose info it has.
            let (this, kind, id) = unsafe {
                (
                    Self::from_info((*record).psi),
                    (*record).type_,
                    (*record).id,
                )
            };
            this.backend.erase(Kind(kind), id)?;
            Ok(0)
        })
    }
}

/// `PSTORE_FLAGS_DMESG`: pstore writes the log of the kernel here.
const DMESG: c_int = bindings::CRASH_CONST_PSTORE_FLAGS_DMESG;

#[pinned_drop]
impl<B: Backend> PinnedDrop for Registration<B> {
    // Nobody is in a callback afterwards, nor comes into one. pstore itself keeps no reference, so
    // for each:
    //
    // - *write*: called by pstore's kmsg dumper alone, the only frontend that the flags allow;
    //   `pstore_unregister()` takes it off the list and waits for a grace period.
    // - *erase*: unlinking holds the lock of pstore's root folder; `pstore_unregister()` takes that
    //   lock to remove all records of this backend, and a record that has gone is not erased.
    // - *open* and *read*: from `pstore_register()`, which is over; from pstore's work, which
    //   `pstore_unregister()` flushes; and when a super block of pstore is made, which by [`Filesystem`]
    //   was before the registration.
    //
    // `pstore_put_backend_records()` removes each record's file, whose inode frees what pstore keeps of
    // the record as it goes, and then writes to that. So the inodes are made to go later.
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Our mount of pstore's filesystem keeps its super block until `filesystem` is dropped,
        // which is after this.
        let held = unsafe {
            let sb = (*self.filesystem.mount.as_ptr()).mnt_sb;
            bindings::crash_helper_hold_inodes(sb)
        };
        // SAFETY: `new` has registered it, and `Drop` comes once. Why nobody is in a callback when the
        // memory goes is told above.
        unsafe { bindings::pstore_unregister(self.info.get()) };
        // SAFETY: `held` is from above and given back once, with the super block still there.
        unsafe { bindings::crash_helper_release_inodes(held) };
    }
}

/// Keeps pstore's filesystem in being, mounted somewhere or not.
///
/// There is one super block of it. pstore puts files into its root folder when a backend is registered
/// and removes them when it is unregistered, without a reference on it: should it be unmounted in that
/// moment, pstore uses what has been freed. And while it is being mounted, pstore calls a backend
/// without the lock under which that backend is unregistered. While this lives, neither happens.
///
/// # Invariants
///
/// `mount` is an internal mount of pstore's filesystem.
struct Filesystem {
    mount: NonNull<bindings::vfsmount>,
}

impl Filesystem {
    #[inline]
    fn pin() -> Result<Self> {
        // SAFETY: The name is a static string. What is found comes with a reference on its module.
        let pstore =
            unsafe { bindings::get_fs_type(kernel::str::as_char_ptr_in_const_context(c"pstore")) };
        if pstore.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: The reference on its module keeps the type until it is put.
        let mount = unsafe { bindings::kern_mount(pstore) };
        // SAFETY: The reference that `get_fs_type()` took is put once, and the type not used any more; a
        // mount keeps one of its own.
        unsafe { bindings::module_put((*pstore).owner) };
        let mount = from_err_ptr(mount)?;
        // INVARIANT: `kern_mount()` has made it, and it is ours to unmount.
        NonNull::new(mount)
            .map(|mount| Self { mount })
            .ok_or(ENODEV)
    }
}

impl Drop for Filesystem {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `pin` has mounted it for us, and it is unmounted once.
        unsafe { bindings::kern_unmount(self.mount.as_ptr()) };
    }
}
