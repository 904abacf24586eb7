// SPDX-License-Identifier: GPL-2.0

//! Sets what Kbuild sets for the module: the panic part is in, unless PERMFS_PANIC=n.

fn main() {
    println!("cargo::rerun-if-env-changed=PERMFS_PANIC");
    println!("cargo::rustc-check-cfg=cfg(permfs_panic)");
    if std::env::var("PERMFS_PANIC").as_deref() != Ok("n") {
        println!("cargo::rustc-cfg=permfs_panic");
    }
}
