// SPDX-License-Identifier: GPL-2.0

//! Sizes as people write them: bytes, or with a binary suffix.

use permfs_core::format::BLOCK_SIZE;

/// Blocks in "64M", "1GiB", "1048576". The error is a sentence.
pub fn parse_blocks(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    let block = BLOCK_SIZE as u64;
    if bytes == 0 || bytes % block != 0 {
        return Err(format!(
            "{text} is not a positive multiple of {block} bytes"
        ));
    }
    Ok(bytes / block)
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        "p" | "pib" => 50,
        other => return Err(format!("unknown suffix {other}: use K, M, G, T or P")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text} is not a size such as 64M"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("{text} is too large"))
}

/// "1.5 GiB", for people.
pub fn human(blocks: u64) -> String {
    let mut value = blocks as f64 * (BLOCK_SIZE / 1024) as f64;
    for unit in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}").replace(".0 ", " ");
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB").replace(".0 ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse_blocks("8192"), Ok(2));
        assert_eq!(parse_blocks("64K"), Ok(16));
        assert_eq!(parse_blocks("1gib"), Ok(1 << 18));
        for wrong in [
            "",
            "M",
            "-4K",
            "1.5G",
            "4097",
            "0",
            "5X",
            "16777216P",
            "4K K",
        ] {
            assert!(parse_blocks(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(1), "4 KiB");
        assert_eq!(human(384 * 1024), "1.5 GiB");
        assert_eq!(human(1 << 40), "4 PiB");
    }
}
