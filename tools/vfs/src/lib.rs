// SPDX-License-Identifier: GPL-2.0

//! Parts of crate `vfs` that know no kernel, so that their tests run on the host. Nothing else uses
//! this.

#![cfg(test)]

#[path = "../../../rust/block/lane/span.rs"]
mod span;
#[path = "../../../rust/block/lane/way.rs"]
mod way;
