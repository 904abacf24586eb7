// SPDX-License-Identifier: GPL-2.0

//! A volume's names, and what else must be as it was.

use crate::model::{Kind, Model, ROOT};
use std::collections::BTreeMap;

/// Of each path a line with type, permissions, links and target, and the inode.
pub type Names = BTreeMap<String, (String, u64)>;

/// The line of an entry.
pub fn line(mode: u16, nlink: u32, target: &str) -> String {
    format!("{mode:o} {nlink} {target}")
}

/// The names in a model.
pub fn of(model: &Model) -> Names {
    let mut names = Names::new();
    let mut todo = vec![(String::from("/"), ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let Some(node) = model.nodes.get(&ino) else {
            continue;
        };
        let mut target = "";
        if let Kind::Dir { entries, .. } = &node.kind {
            for (name, &ino) in entries {
                todo.push((format!("{path}{}/", name.escape_ascii()), ino));
            }
        } else if let Kind::Symlink(to) = &node.kind {
            target = std::str::from_utf8(to).unwrap_or_default();
        }
        names.insert(path, (line(node.mode, node.nlink, target), ino));
    }
    names
}

/// What is wrong with the names that were found; the inodes' numbers may differ.
pub fn differences(expected: &Names, found: &Names) -> Vec<String> {
    let missing = expected
        .iter()
        .filter_map(|(path, (line, _))| match found.get(path) {
            None => Some(format!("{path} is not there")),
            Some((other, _)) if other != line => Some(format!("{path} is {other}, not {line}")),
            _ => None,
        });
    let surplus = found.keys().filter(|path| !expected.contains_key(*path));
    missing
        .chain(surplus.map(|path| format!("{path} is there")))
        .collect()
}
