// SPDX-License-Identifier: GPL-2.0

//! `fsck.permfs`.

fn main() -> std::process::ExitCode {
    permfs_tools::fsck::main()
}
