// SPDX-License-Identifier: GPL-2.0

//! Directories: a few entries in the inode's record, more in a tree.
//!
//! In both forms an entry has one 63-bit key for as long as it lives: 56 bits of keyed hash and a
//! collision number, the first that was free when it was made. The key is the readdir cookie, so
//! neither a conversion to a tree nor entries that come and go can make readdir skip or repeat one.
//! A lookup looks at all collision numbers of the hash; removing one leaves no trace to probe over.

use crate::{
    btree::Tree,
    format::{inode::TreeEntry, NAME_MAX},
    inode::{ForkKind, Record},
    meta::{MetaRead, MetaWrite},
};
use hash::COLLISIONS;
use kernel::prelude::*;

pub mod hash;
pub mod inline;

/// A directory entry, its name where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Key, the readdir cookie.
    pub key: u64,
    /// Inode.
    pub ino: u64,
    /// `DT_*`.
    pub kind: u8,
    /// Name, 1 to 255 bytes, without `/` and NUL.
    pub name: &'a [u8],
}

/// What a lookup finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Key of the entry.
    pub key: u64,
    /// Inode.
    pub ino: u64,
    /// `DT_*`.
    pub kind: u8,
}

/// Whether `name` may stand in a directory.
pub fn valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.iter().any(|&b| b == b'/' || b == 0)
        && name != b"."
        && name != b".."
}

/// Bytes that a name counts for in the size of its directory: those of its inline form.
pub fn entry_size(name: &[u8]) -> u64 {
    (inline::HEAD + name.len()) as u64
}

/// Reads the value of a directory tree. Errors: `EFSCORRUPTED`.
pub fn tree_entry(key: u64, value: &[u8]) -> Result<Entry<'_>> {
    let (head, name) = TreeEntry::ref_from_prefix(value).map_err(|_| EFSCORRUPTED)?;
    let ino = head.ino.get();
    if ino == 0 || !(hash::KEY_MIN..=i64::MAX as u64 - 1).contains(&key) || !valid_name(name) {
        return Err(EFSCORRUPTED);
    }
    Ok(Entry {
        key,
        ino,
        kind: head.kind,
        name,
    })
}

/// Calls `f` with the entries of which the hash is that of `base`, in order, until it says false.
fn each_collision<M: MetaRead>(
    m: &mut M,
    tree: &Tree,
    base: u64,
    mut f: impl FnMut(Entry<'_>) -> bool,
) -> Result {
    tree.scan(m, base, |key, value| {
        if key >= base + COLLISIONS {
            return Ok(false);
        }
        // Only a node that is out of order can give it.
        if key < base {
            return Err(EFSCORRUPTED);
        }
        Ok(f(tree_entry(key, value)?))
    })
}

/// Looks for `name`, the hash of which is that of `base`.
pub fn find<M: MetaRead>(m: &mut M, dir: &Record, base: u64, name: &[u8]) -> Result<Option<Found>> {
    if dir.fork_kind()? == ForkKind::Inline {
        return inline::find(&dir.fork, base, name);
    }
    find_in_tree(m, &dir.tree(), base, name)
}

/// Like [`find`], in a directory's tree.
pub fn find_in_tree<M: MetaRead>(
    m: &mut M,
    tree: &Tree,
    base: u64,
    name: &[u8],
) -> Result<Option<Found>> {
    let mut found = None;
    each_collision(m, tree, base, |e| {
        if e.name == name {
            found = Some(Found {
                key: e.key,
                ino: e.ino,
                kind: e.kind,
            });
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Enters `name`; the caller stores `dir`. Errors: `EEXIST`, `ENOSPC`, also if 128 names collide.
pub fn insert<M: MetaWrite>(
    m: &mut M,
    dir: &mut Record,
    base: u64,
    name: &[u8],
    ino: u64,
    kind: u8,
) -> Result {
    let key = free_key(m, dir, base, name)?;
    let entry = Entry {
        key,
        ino,
        kind,
        name,
    };
    if dir.fork_kind()? == ForkKind::Inline {
        let room = dir.inline_room();
        if inline::push(&mut dir.fork, room, &entry)? {
            return grow(dir, name);
        }
        to_tree(m, dir)?;
    }
    let mut tree = dir.tree();
    insert_in_tree(m, &mut tree, &entry)?;
    dir.set_tree(&tree);
    grow(dir, name)
}

/// The first key from `base` on that no entry of `dir` has. Errors: `EEXIST` if `name` is there.
fn free_key<M: MetaRead>(m: &mut M, dir: &Record, base: u64, name: &[u8]) -> Result<u64> {
    let mut taken = [false; COLLISIONS as usize];
    let mut exists = false;
    let mut note = |e: Entry<'_>| {
        if let Some(place) = taken.get_mut((e.key - base) as usize) {
            *place = true;
        }
        exists |= e.name == name;
        !exists
    };
    if dir.fork_kind()? == ForkKind::Inline {
        for e in inline::entries(&dir.fork) {
            let e = e?;
            if (base..base + COLLISIONS).contains(&e.key) {
                note(e);
            }
        }
    } else {
        each_collision(m, &dir.tree(), base, note)?;
    }
    if exists {
        return Err(EEXIST);
    }
    let number = taken.iter().position(|taken| !taken).ok_or(ENOSPC)?;
    Ok(base + number as u64)
}

fn insert_in_tree<M: MetaWrite>(m: &mut M, tree: &mut Tree, e: &Entry<'_>) -> Result {
    let value = tree_value(e)?;
    tree.insert(m, e.key, &value)
}

fn tree_value(e: &Entry<'_>) -> Result<KVec<u8>> {
    let head = TreeEntry {
        ino: e.ino.into(),
        kind: e.kind,
    };
    let mut value = KVec::with_capacity(size_of::<TreeEntry>() + e.name.len(), GFP_KERNEL)?;
    value.extend_from_slice(head.as_bytes(), GFP_KERNEL)?;
    value.extend_from_slice(e.name, GFP_KERNEL)?;
    Ok(value)
}

fn to_tree<M: MetaWrite>(m: &mut M, dir: &mut Record) -> Result {
    let mut tree = Tree::empty(dir.ino);
    for e in inline::entries(&dir.fork) {
        insert_in_tree(m, &mut tree, &e?)?;
    }
    dir.fork.clear();
    dir.set_tree(&tree);
    Ok(())
}

fn grow(dir: &mut Record, name: &[u8]) -> Result {
    let size = dir
        .head
        .size
        .get()
        .checked_add(entry_size(name))
        .ok_or(EFSCORRUPTED)?;
    dir.head.size.set(size);
    Ok(())
}

/// Takes out the entry at `key`, which a lookup of `name` has just found; the caller stores `dir`.
pub fn remove<M: MetaWrite>(m: &mut M, dir: &mut Record, key: u64, name: &[u8]) -> Result {
    if dir.fork_kind()? == ForkKind::Inline {
        inline::remove(&mut dir.fork, key)?;
    } else {
        let mut tree = dir.tree();
        tree.remove(m, key)?;
        dir.set_tree(&tree);
    }
    let size = dir
        .head
        .size
        .get()
        .checked_sub(entry_size(name))
        .ok_or(EFSCORRUPTED)?;
    dir.head.size.set(size);
    Ok(())
}

/// Points the entry `e.key`, found under `e.name`, at another inode; the caller stores `dir`.
pub fn replace<M: MetaWrite>(m: &mut M, dir: &mut Record, e: &Entry<'_>) -> Result {
    if dir.fork_kind()? == ForkKind::Inline {
        return inline::replace(&mut dir.fork, e);
    }
    let value = tree_value(e)?;
    let mut tree = dir.tree();
    tree.update(m, e.key, &value)?;
    dir.set_tree(&tree);
    Ok(())
}

/// Whether `dir` has no entry.
pub fn is_empty(dir: &Record) -> Result<bool> {
    match dir.fork_kind()? {
        ForkKind::Inline => Ok(inline::entries(&dir.fork).next().transpose()?.is_none()),
        _ => Ok(dir.head.fork_root.get() == 0),
    }
}

/// Calls `emit` with the entries from key `from` on, in key order, until it says false.
pub fn read<M: MetaRead>(
    m: &mut M,
    dir: &Record,
    from: u64,
    mut emit: impl FnMut(Entry<'_>) -> bool,
) -> Result {
    if dir.fork_kind()? == ForkKind::Inline {
        let mut from = from;
        while let Some(e) = inline::at_or_after(&dir.fork, from)? {
            from = e.key + 1;
            if !emit(e) {
                break;
            }
        }
        return Ok(());
    }
    dir.tree()
        .scan(m, from, |key, value| Ok(emit(tree_entry(key, value)?)))
}

#[cfg(test)]
mod tests;
