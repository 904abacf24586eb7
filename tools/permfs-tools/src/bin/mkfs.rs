// SPDX-License-Identifier: GPL-2.0

//! `mkfs.permfs`.

fn main() -> std::process::ExitCode {
    permfs_tools::mkfs::main()
}
