// SPDX-License-Identifier: GPL-2.0

//! Man pages, made from the commands' own descriptions.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_mangen::Man;

/// Write the man pages into a folder.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// Folder, made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command for the program whose description is `permfs`.
pub fn run(args: &ManArgs, permfs: Command) -> Result<ExitCode> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    for command in [
        crate::mkfs::MkfsArgs::command(),
        crate::fsck::FsckArgs::command(),
        permfs,
    ] {
        write(args, command.clone())?;
        let name = command.get_name().to_string();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let full = format!("{name}-{}", sub.get_name());
            write(args, sub.clone().display_name(&full).name(full))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(args: &ManArgs, command: Command) -> Result<()> {
    let path = args.out.join(format!("{}.8", command.get_name()));
    let mut page = Vec::new();
    Man::new(command)
        .section("8")
        .manual("PermFS")
        .render(&mut page)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
