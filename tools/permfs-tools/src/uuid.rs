// SPDX-License-Identifier: GPL-2.0

//! UUIDs (RFC 9562) and other random numbers.

use std::{fs::File, io::Read};

use anyhow::{Context, Result};

/// Random bytes from the kernel.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut source = File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    source
        .read_exact(&mut bytes)
        .context("cannot read /dev/urandom")?;
    Ok(bytes)
}

/// A random UUID (version 4).
pub fn new() -> Result<[u8; 16]> {
    let mut uuid = random::<16>()?;
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok(uuid)
}

/// The usual notation, 8-4-4-4-12.
pub fn format(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Reads the usual notation. The error is a sentence.
pub fn parse(text: &str) -> Result<[u8; 16], String> {
    let wrong = || format!("{text} is not a UUID such as {}", format(&[0x5a; 16]));
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let dashes = text.char_indices().filter(|(_, c)| !c.is_ascii_hexdigit());
    if digits.len() != 32 || !dashes.eq([8, 13, 18, 23].map(|i| (i, '-'))) {
        return Err(wrong());
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (pair[0] << 4 | pair[1]) as u8;
    }
    if uuid == [0; 16] {
        return Err(wrong());
    }
    Ok(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_goes_both_ways() {
        let uuid = new().unwrap();
        assert_eq!(parse(&format(&uuid)), Ok(uuid));
        assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (4, 2));
        let zero = "00000000-0000-0000-0000-000000000000";
        let moved = "5a5a5a5a5-a5a-5a5a-5a5a-5a5a5a5a5a5a";
        for wrong in [
            "",
            "5a5a",
            zero,
            moved,
            "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5ä",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
