// SPDX-License-Identifier: GPL-2.0

//! The kernel's [`Vec`].

use core::{
    borrow::{
        Borrow,
        BorrowMut, //
    },
    fmt,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut,
        Index,
        IndexMut, //
    },
    slice::{
        self,
        SliceIndex, //
    },
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
    Box,
    Flags,
    Zeroable, //
};
use crate::error::{
    code::EINVAL,
    Error, //
};

/// The kernel's [`Vec`] type: it grows only through methods that take [`Flags`] and may fail.
pub struct Vec<T, A>(std::vec::Vec<T>, PhantomData<A>);

/// [`Vec`] with a [`Kmalloc`] allocator.
pub type KVec<T> = Vec<T, Kmalloc>;
/// [`Vec`] with a [`Vmalloc`] allocator.
pub type VVec<T> = Vec<T, Vmalloc>;
/// [`Vec`] with a [`KVmalloc`] allocator.
pub type KVVec<T> = Vec<T, KVmalloc>;

/// Creates a [`KVec`] of the arguments.
#[macro_export]
macro_rules! kvec {
    () => { $crate::alloc::KVec::new() };
    ($elem:expr; $n:expr) => { $crate::alloc::KVec::from_elem($elem, $n, $crate::alloc::flags::GFP_KERNEL) };
    ($($x:expr),+ $(,)?) => {
        $crate::alloc::KBox::new([$($x),+], $crate::alloc::flags::GFP_KERNEL).map($crate::alloc::KVec::from)
    };
}

/// Error type for [`Vec::push_within_capacity`].
pub struct PushError<T>(pub T);

/// Error type for [`Vec::remove`].
pub struct RemoveError;

/// Error type for [`Vec::insert_within_capacity`].
pub enum InsertError<T> {
    /// The value could not be inserted because the index is out of bounds.
    IndexOutOfBounds(T),
    /// The value could not be inserted because the vector is out of capacity.
    OutOfCapacity(T),
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Not enough capacity")
    }
}

impl fmt::Debug for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index out of bounds")
    }
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InsertError::IndexOutOfBounds(_) => "Index out of bounds",
            InsertError::OutOfCapacity(_) => "Not enough capacity",
        })
    }
}

impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Error {
        EINVAL
    }
}

impl From<RemoveError> for Error {
    fn from(_: RemoveError) -> Error {
        EINVAL
    }
}

impl<T> From<InsertError<T>> for Error {
    fn from(_: InsertError<T>) -> Error {
        EINVAL
    }
}

impl<T, A> Vec<T, A> {
    /// The number of elements that fit without reallocating.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All elements.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// All elements, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, A: Allocator> Vec<T, A> {
    /// An empty vector, without an allocation.
    pub const fn new() -> Self {
        Self(std::vec::Vec::new(), PhantomData)
    }

    /// An empty vector with room for `capacity` elements.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut v = Self::new();
        v.reserve(capacity, flags)?;
        Ok(v)
    }

    /// `n` elements of zeroes.
    pub fn zeroed(n: usize, flags: Flags) -> Result<Self, AllocError>
    where
        T: Zeroable,
    {
        let mut v = Self::with_capacity(n, flags)?;
        v.0.resize_with(n, T::zeroed);
        Ok(v)
    }

    /// Makes room for `additional` more elements.
    pub fn reserve(&mut self, additional: usize, _flags: Flags) -> Result<(), AllocError> {
        if self.capacity() - self.len() >= additional {
            return Ok(());
        }
        attempt()?;
        // As the kernel grows: twice the capacity, or what is asked for, and not a byte of slack.
        let wanted = self.len().checked_add(additional).ok_or(AllocError)?;
        let capacity = wanted.max(self.capacity().saturating_mul(2));
        let more = capacity - self.len();
        self.0.try_reserve_exact(more).map_err(|_| AllocError)
    }

    /// Appends an element.
    pub fn push(&mut self, v: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(v);
        Ok(())
    }

    /// Appends an element without reallocating.
    pub fn push_within_capacity(&mut self, v: T) -> Result<(), PushError<T>> {
        if self.len() == self.capacity() {
            return Err(PushError(v));
        }
        self.0.push(v);
        Ok(())
    }

    /// Inserts an element at `index` without reallocating.
    pub fn insert_within_capacity(
        &mut self,
        index: usize,
        element: T,
    ) -> Result<(), InsertError<T>> {
        if index > self.len() {
            return Err(InsertError::IndexOutOfBounds(element));
        }
        if self.len() == self.capacity() {
            return Err(InsertError::OutOfCapacity(element));
        }
        self.0.insert(index, element);
        Ok(())
    }

    /// Removes the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Removes the element at `i`.
    pub fn remove(&mut self, i: usize) -> Result<T, RemoveError> {
        if i >= self.len() {
            return Err(RemoveError);
        }
        Ok(self.0.remove(i))
    }

    /// Removes all elements and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Takes all elements out and keeps the memory.
    pub fn drain_all(&mut self) -> DrainAll<'_, T> {
        DrainAll(self.0.drain(..))
    }

    /// Removes all elements for which `f` is false.
    pub fn retain(&mut self, f: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(f);
    }
}

impl<T: Clone, A: Allocator> Vec<T, A> {
    /// Appends `n` clones of `value`.
    pub fn extend_with(&mut self, n: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(n, flags)?;
        self.0.resize(self.0.len() + n, value);
        Ok(())
    }

    /// Appends clones of `other`'s elements.
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    /// `n` clones of `value`.
    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut v = Self::with_capacity(n, flags)?;
        v.extend_with(n, value, flags)?;
        Ok(v)
    }

    /// Truncates, or appends clones of `value`, to `new_len` elements.
    pub fn resize(&mut self, new_len: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        match new_len.checked_sub(self.len()) {
            Some(n) => self.extend_with(n, value, flags),
            None => {
                self.truncate(new_len);
                Ok(())
            }
        }
    }
}

impl<T> Vec<T, KVmalloc> {
    /// Gives back memory beyond `min_capacity` elements.
    pub fn shrink_to(&mut self, min_capacity: usize, _flags: Flags) -> Result<(), AllocError> {
        self.0.shrink_to(min_capacity);
        Ok(())
    }
}

impl<T, A: Allocator, const N: usize> From<Box<[T; N], A>> for Vec<T, A> {
    fn from(b: Box<[T; N], A>) -> Self {
        Self(
            (b.into_std() as std::boxed::Box<[T]>).into_vec(),
            PhantomData,
        )
    }
}

impl<T, A: Allocator> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug, A> fmt::Debug for Vec<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T, A> Deref for Vec<T, A> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, A> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, A> Borrow<[T]> for Vec<T, A> {
    fn borrow(&self) -> &[T] {
        &self.0
    }
}

impl<T, A> BorrowMut<[T]> for Vec<T, A> {
    fn borrow_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Eq, A> Eq for Vec<T, A> {}

impl<T, I: SliceIndex<[T]>, A> Index<I> for Vec<T, A> {
    type Output = I::Output;

    fn index(&self, index: I) -> &Self::Output {
        &self.0[index]
    }
}

impl<T, I: SliceIndex<[T]>, A> IndexMut<I> for Vec<T, A> {
    fn index_mut(&mut self, index: I) -> &mut Self::Output {
        &mut self.0[index]
    }
}

macro_rules! impl_slice_eq {
    ($([$($vars:tt)*] $lhs:ty, $rhs:ty,)*) => {
        $(
            impl<T, U, $($vars)*> PartialEq<$rhs> for $lhs
            where
                T: PartialEq<U>,
            {
                fn eq(&self, other: &$rhs) -> bool {
                    self[..] == other[..]
                }
            }
        )*
    };
}

impl_slice_eq! {
    [A1, A2] Vec<T, A1>, Vec<U, A2>,
    [A] Vec<T, A>, &[U],
    [A] Vec<T, A>, &mut [U],
    [A] &[T], Vec<U, A>,
    [A] &mut [T], Vec<U, A>,
    [A] Vec<T, A>, [U],
    [A] [T], Vec<U, A>,
    [A, const N: usize] Vec<T, A>, [U; N],
    [A, const N: usize] Vec<T, A>, &[U; N],
}

impl<'a, T, A> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, A> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// An [`Iterator`] over the moved-out elements of a [`Vec`].
pub struct IntoIter<T, A>(std::vec::IntoIter<T>, PhantomData<A>);

impl<T, A: Allocator> IntoIter<T, A> {
    /// The elements not yet taken, as a vector.
    pub fn collect(self, _flags: Flags) -> Vec<T, A> {
        Vec(self.0.collect(), PhantomData)
    }
}

impl<T, A> Iterator for IntoIter<T, A> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T, A> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = IntoIter<T, A>;

    fn into_iter(self) -> Self::IntoIter {
        IntoIter(self.0.into_iter(), PhantomData)
    }
}

/// An iterator that owns all items in a vector, but does not own its allocation.
pub struct DrainAll<'vec, T>(std::vec::Drain<'vec, T>);

impl<T> Iterator for DrainAll<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
