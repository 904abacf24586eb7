// SPDX-License-Identifier: GPL-2.0

//! Fourth pass: orphans, counts of links, and whether every directory hangs on the root.

use super::{Checker, Finding, Problem};
use crate::{
    btree::Tree,
    format::{inode::*, *},
    inode::S_IFMT,
    inode::S_IFREG,
    meta::MetaRead,
};
use kernel::prelude::*;

/// Sentence-worthy facts about one inode.
struct Verdict {
    ino: u64,
    problem: Problem,
    detail: u64,
}

impl<F: FnMut(Finding)> Checker<'_, F> {
    /// Visits the orphan tree.
    pub(super) fn orphans<S: MetaRead>(&mut self, store: &mut S, state: &State) -> Result {
        let Ok(tree) = Tree::from_disk(&state.orphans, OWNER_ORPHANS) else {
            self.found(Problem::Node, 0, state.orphans.root.get(), 0);
            return Ok(());
        };
        self.tree(store, &tree, 0, |c, ino, value| {
            c.summary.orphans += 1;
            let record = OrphanRecord::read_from_bytes(value).ok();
            let fits = match (c.inodes.get_mut(&ino), record.map(|record| record.kind)) {
                (Some(info), Some(ORPHAN_DELETE)) => {
                    info.orphan = true;
                    info.nlink == 0
                }
                (Some(info), Some(ORPHAN_TRUNCATE)) => info.mode & S_IFMT == S_IFREG,
                _ => false,
            };
            if !fits {
                c.found(Problem::Orphan, ino, 0, 0);
            }
            Ok(())
        })
    }

    /// Compares what the records say of names with the names that were found.
    pub(super) fn links(&mut self) -> Result {
        let mut verdicts = KVVec::new();
        for (&ino, info) in self.inodes.iter() {
            let mut say = |problem, detail| {
                verdicts.push(
                    Verdict {
                        ino,
                        problem,
                        detail,
                    },
                    GFP_KERNEL,
                )
            };
            if info.nlink == 0 && !info.orphan {
                say(Problem::Orphan, 0)?;
            }
            if ino == ROOT_INO {
                if info.nlink != info.subdirs.saturating_add(2) {
                    say(Problem::LinkCount, u64::from(info.subdirs) + 2)?;
                }
                if info.is_dir() && info.parent != ROOT_INO {
                    say(Problem::Parent, ROOT_INO)?;
                }
                continue;
            }
            let links = match (info.is_dir(), info.names) {
                // A removed directory that is still open has no links at all.
                (_, 0) => 0,
                (true, _) => u64::from(info.subdirs) + 2,
                (false, names) => names.into(),
            };
            if info.names == 0 && info.nlink != 0 {
                say(Problem::Unreachable, 0)?;
            } else if u64::from(info.nlink) != links {
                say(Problem::LinkCount, links)?;
            }
            if info.is_dir() && info.found_in != 0 && info.parent != info.found_in {
                say(Problem::Parent, info.found_in)?;
            }
        }
        for v in &verdicts {
            self.found(v.problem, v.ino, 0, v.detail);
        }
        self.cycles()
    }

    /// Climbs from every directory to one that is known to hang on the root.
    fn cycles(&mut self) -> Result {
        let mut dirs = KVVec::new();
        for (&ino, _) in self.inodes.iter().filter(|(_, info)| info.is_dir()) {
            dirs.push(ino, GFP_KERNEL)?;
        }
        let mut way = KVVec::new();
        for &start in &dirs {
            way.clear();
            let mut at = start;
            // Every directory on the way is marked at once: coming to it again closes a cycle.
            let closed = loop {
                let Some(info) = self.inodes.get_mut(&at) else {
                    break false;
                };
                if info.settled {
                    break way.contains(&at);
                }
                info.settled = true;
                way.push(at, GFP_KERNEL)?;
                at = info.found_in;
            };
            if closed {
                self.found(Problem::Cycle, at, 0, 0);
            }
        }
        Ok(())
    }
}
