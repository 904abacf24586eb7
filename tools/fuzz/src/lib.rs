// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets share: reading a plan out of the fuzzer's bytes, a volume to damage, and blocks in
//! memory for trees.
//!
//! A target does not take an image from the fuzzer: nearly every one would end at a checksum. Its bytes are a
//! plan (what to change where), the checksums are made right afterwards, and so the fuzzer's small changes
//! stay small.

pub mod blocks;
pub mod image;
pub mod plan;
