// SPDX-License-Identifier: GPL-2.0

//! Parts of the crates under rust/ that know no kernel, so that their tests run on the host. Nothing else uses
//! this.

#![cfg(test)]

#[path = "../../../rust/crash/origin/choose.rs"]
pub mod choose;
#[path = "../../../rust/crash/lane/span.rs"]
pub mod span;
#[path = "../../../rust/crash/lane/way.rs"]
pub mod way;
