// SPDX-License-Identifier: GPL-2.0

//! A container that is populated at most once.

use std::sync::OnceLock;

/// A container that can be populated at most once. Thread safe.
pub struct SetOnce<T>(OnceLock<T>);

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SetOnce<T> {
    /// An empty container.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The contained object, if it is there.
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(&self) -> Option<&T> {
        self.0.get()
    }

    /// Populates the container; false where it was populated before.
    pub fn populate(&self, value: T) -> bool {
        self.0.set(value).is_ok()
    }

    /// A copy of the contained object.
    pub fn copy(&self) -> Option<T>
    where
        T: Copy,
    {
        self.0.get().copied()
    }
}
