// SPDX-License-Identifier: GPL-2.0

//! Sets what Kbuild sets for the module: the panic part is in, unless PERMFS_PANIC=n; planted faults are, if PERMFS_PLANTED=y.

fn main() {
    println!("cargo::rerun-if-env-changed=PERMFS_PANIC");
    println!("cargo::rustc-check-cfg=cfg(permfs_panic)");
    if std::env::var("PERMFS_PANIC").as_deref() != Ok("n") {
        println!("cargo::rustc-cfg=permfs_panic");
    }
    println!("cargo::rerun-if-env-changed=PERMFS_PLANTED");
    println!("cargo::rustc-check-cfg=cfg(permfs_planted)");
    if std::env::var("PERMFS_PLANTED").as_deref() == Ok("y") {
        println!("cargo::rustc-cfg=permfs_planted");
    }
}
