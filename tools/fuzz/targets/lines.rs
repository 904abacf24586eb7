// SPDX-License-Identifier: GPL-2.0

//! Logs with panic lines in them: lines with right checksums and any fields, torn ones, and noise between.

#![no_main]

use libfuzzer_sys::fuzz_target;
use permfs_core::crc::crc32c;

/// A text in which each `~` stands for the checksum of what is before it in its line.
fn log(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len());
    for line in data.split_inclusive(|&b| b == b'\n') {
        let start = line
            .windows(7)
            .position(|w| w == b"permfs-")
            .unwrap_or_default();
        match line.iter().position(|&b| b == b'~') {
            Some(end) if end > start => {
                let crc = crc32c(0, &line[start..end]);
                text.extend_from_slice(&line[..end]);
                text.extend_from_slice(format!(" crc={crc:08x}").as_bytes());
                text.extend_from_slice(&line[end + 1..]);
            }
            _ => text.extend_from_slice(line),
        }
    }
    text
}

fuzz_target!(|data: &[u8]| {
    let told = permfs_tools::panic::told_of(log(data));
    for text in told {
        let quiet = |c: char| !c.is_control() || c == '\n';
        assert!(text.chars().all(quiet), "it could drive a terminal");
    }
});
