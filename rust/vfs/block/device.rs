// SPDX-License-Identifier: GPL-2.0

//! A handle on an open block device, and what the device is like.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::sync::Arc;

/// Bytes in a sector.
pub const SECTOR_SIZE: usize = 512;

/// Hears, once for each call that waits for the device, that its I/O has ended when the kernel
/// [has stopped](crate::stopped) and the call will not return. Called by the last CPU that runs, in any
/// context, NMI included: it must take no lock.
pub type Observer = dyn Fn() + Send + Sync;

/// A handle on an open block device. It keeps the device open, also past unmount.
///
/// # Invariants
///
/// `file` is an open file of a block device, and one reference on it is ours.
pub struct BlockDevice {
    file: NonNull<bindings::file>,
    observer: Option<Arc<Observer>>,
}

// SAFETY: A reference on a file may be dropped by any thread, and so may the observer.
unsafe impl Send for BlockDevice {}
// SAFETY: Any number of threads may submit bios to an open device and ask for its limits; the observer
// may be called by any of them.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// # Safety
    ///
    /// `file` is an open file of a block device.
    pub(crate) unsafe fn from_file(file: *mut bindings::file) -> Self {
        // SAFETY: An open file is not null and has a reference, its owner's, next to which we take ours.
        let file = unsafe { NonNull::new_unchecked(bindings::vfs_helper_get_file(file)) };
        // INVARIANT: The reference was taken just now.
        Self {
            file,
            observer: None,
        }
    }

    /// The same device, with `observer` hearing of reads, writes and flushes that are made with this
    /// handle.
    pub fn observed(mut self, observer: Arc<Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    pub(super) fn observer(&self) -> Option<&dyn Fn()> {
        self.observer
            .as_deref()
            .map(|observer| observer as &dyn Fn())
    }

    /// The device as C knows it, open as long as this handle is there: for crates that wrap other
    /// parts of the block layer.
    pub fn as_ptr(&self) -> *mut kernel::bindings::block_device {
        // SAFETY: `file` is a block device's, and our reference keeps it and the device open.
        unsafe { bindings::vfs_helper_file_bdev(self.file.as_ptr()) }
    }

    /// What `ask` says of the device.
    ///
    /// # Safety
    ///
    /// `ask` reads what an open device has, without waiting for anything.
    #[inline(always)]
    pub(super) unsafe fn ask<T>(
        &self,
        ask: unsafe extern "C" fn(*mut bindings::block_device) -> T,
    ) -> T {
        // SAFETY: The device is open as long as this handle is there.
        unsafe { ask(self.as_ptr()) }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        // SAFETY: A number that is read as a whole.
        unsafe { self.ask(bindings::vfs_helper_bdev_nr_bytes) }
    }

    /// Size in sectors.
    pub fn sectors(&self) -> u64 {
        self.bytes() / SECTOR_SIZE as u64
    }

    /// Logical block size in bytes: what positions and lengths must be multiples of.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: A number of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_logical_block_size) }
    }

    /// Physical block size in bytes: what the device writes at once.
    pub fn physical_block_size(&self) -> u32 {
        // SAFETY: A number of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_physical_block_size) }
    }

    /// Whether the device has a volatile write cache.
    pub fn has_write_cache(&self) -> bool {
        // SAFETY: Flags of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_write_cache) }
    }

    /// Whether the device itself can write through its cache; if not, the block layer flushes after
    /// each such write.
    pub fn has_fua(&self) -> bool {
        // SAFETY: Flags of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_fua) }
    }

    /// Whether the device takes no writes.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: Flags of the device and its disk.
        unsafe { self.ask(bindings::vfs_helper_bdev_read_only) }
    }

    /// Whether the device can be told that sectors are not needed.
    pub fn supports_discard(&self) -> bool {
        // SAFETY: A number of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_max_discard_sectors) != 0 }
    }
}

impl Clone for BlockDevice {
    fn clone(&self) -> Self {
        // SAFETY: Our own reference keeps the file, which is open and a block device's.
        let mut device = unsafe { Self::from_file(self.file.as_ptr()) };
        device.observer = self.observer.clone();
        device
    }
}

impl Drop for BlockDevice {
    fn drop(&mut self) {
        // SAFETY: One reference is ours, and put once: this handle is gone.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
