// SPDX-License-Identifier: GPL-2.0

//! The kernel's [`Box`].

use core::{
    fmt,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    pin::Pin,
};

use super::{
    allocator::{
        KVmalloc,
        Kmalloc,
        Vmalloc, //
    },
    attempt,
    AllocError,
    Allocator,
    Flags, //
};

/// Types for which all bytes zero are a value (`pin_init::Zeroable`).
pub trait Zeroable: Sized {
    /// That value.
    fn zeroed() -> Self;
}

macro_rules! impl_zeroable {
    ($($ty:ty = $zero:expr),+ $(,)?) => {
        $(impl Zeroable for $ty {
            fn zeroed() -> Self {
                $zero
            }
        })+
    };
}

impl_zeroable! {
    u8 = 0, u16 = 0, u32 = 0, u64 = 0, u128 = 0, usize = 0,
    i8 = 0, i16 = 0, i32 = 0, i64 = 0, i128 = 0, isize = 0, bool = false, () = (),
}

impl<T: Zeroable, const N: usize> Zeroable for [T; N] {
    fn zeroed() -> Self {
        core::array::from_fn(|_| T::zeroed())
    }
}

/// The kernel's [`Box`]: a `std` box that does not allocate without being asked.
pub struct Box<T: ?Sized, A>(std::boxed::Box<T>, PhantomData<A>);

/// [`Box`] with a [`Kmalloc`] allocator.
pub type KBox<T> = Box<T, Kmalloc>;
/// [`Box`] with a [`Vmalloc`] allocator.
pub type VBox<T> = Box<T, Vmalloc>;
/// [`Box`] with a [`KVmalloc`] allocator.
pub type KVBox<T> = Box<T, KVmalloc>;

impl<T, A: Allocator> Box<T, A> {
    /// Moves `x` to the heap.
    pub fn new(x: T, _flags: Flags) -> Result<Self, AllocError> {
        attempt()?;
        Ok(Self(std::boxed::Box::new(x), PhantomData))
    }

    /// A value that is all zeroes.
    pub fn zeroed(flags: Flags) -> Result<Self, AllocError>
    where
        T: Zeroable,
    {
        Self::new(T::zeroed(), flags)
    }

    /// Moves `x` to the heap, pinned.
    pub fn pin(x: T, flags: Flags) -> Result<Pin<std::boxed::Box<T>>, AllocError> {
        Ok(std::boxed::Box::into_pin(Self::new(x, flags)?.0))
    }

    /// Moves the value out again.
    pub fn into_inner(b: Self) -> T {
        *b.0
    }
}

impl<T: ?Sized, A> Box<T, A> {
    /// The `std` box inside, for [`super::Vec`].
    pub(super) fn into_std(self) -> std::boxed::Box<T> {
        self.0
    }
}

impl<T: ?Sized, A> Deref for Box<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized, A> DerefMut for Box<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + fmt::Display, A> fmt::Display for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, A> fmt::Debug for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
