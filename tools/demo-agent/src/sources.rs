// SPDX-License-Identifier: GPL-2.0
//! The files to be copied.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::SourceArgs;

/// A regular file of a source folder.
pub(crate) struct Source {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// Its path in the copy: the source folder's own name, then the path below it.
    pub(crate) path: String,
    /// Its length in bytes.
    pub(crate) len: u64,
}

/// All regular files, in the order in which they are copied: within a group the largest first, so that many bytes are
/// reached with few files, and many files are still to come when the panic does.
pub(crate) fn list(args: &SourceArgs) -> Result<Vec<Source>> {
    let mut all = Vec::new();
    for group in [&args.from, &args.then] {
        let mut found = Vec::new();
        for folder in group {
            let name = folder
                .file_name()
                .with_context(|| format!("{} has no name", folder.display()))?;
            walk(folder, Path::new(name), &mut found)?;
        }
        found.sort_by(|a, b| b.len.cmp(&a.len).then_with(|| a.path.cmp(&b.path)));
        all.extend(found);
    }
    Ok(all)
}

fn walk(folder: &Path, path: &Path, found: &mut Vec<Source>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let below = path.join(entry.file_name());
        if kind.is_dir() {
            walk(&entry.path(), &below, found)?;
        } else if kind.is_file() {
            // The acknowledgements are lines: a name that is not text, or holds a newline, is none of them.
            if let Some(path) = below.to_str().filter(|path| !path.contains('\n')) {
                found.push(Source {
                    file: entry.path(),
                    path: path.to_owned(),
                    len: entry.metadata()?.len(),
                });
            }
        }
    }
    Ok(())
}
