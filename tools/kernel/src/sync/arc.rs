// SPDX-License-Identifier: GPL-2.0

//! A reference-counted pointer.

use core::{
    borrow::Borrow,
    fmt,
    ops::Deref, //
};

use crate::alloc::{
    AllocError,
    Flags,
    KBox, //
};

/// A reference-counted pointer to an instance of `T`.
pub struct Arc<T: ?Sized>(std::sync::Arc<T>);

impl<T> Arc<T> {
    /// Moves `contents` to the heap, with one reference.
    pub fn new(contents: T, flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(std::sync::Arc::new(KBox::into_inner(KBox::new(
            contents, flags,
        )?))))
    }
}

impl<T: ?Sized> Arc<T> {
    /// Whether both point to the same object.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.0, &other.0)
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> AsRef<T> for Arc<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Borrow<T> for Arc<T> {
    fn borrow(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
