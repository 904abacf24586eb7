// SPDX-License-Identifier: GPL-2.0

//! The kernel's own backtrace, out of its log.

/// Lines of one at most; a stack has some 30 frames.
const LINES_MAX: usize = 64;
const PANIC: &str = "Kernel panic - not syncing: ";

/// The backtrace of the panic `id` in `log`: its own, or else the last before it, which is of the oops that it came of.
pub(super) fn of_panic(log: &[u8], id: &str) -> Vec<String> {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<_> = log.lines().map(text_of).collect();
    let named = format!(" id={id} ");
    let told = lines.iter().position(|line| line.contains(&named));
    let before = lines.get(..told.unwrap_or(lines.len())).unwrap_or_default();
    let Some(panic) = before.iter().rposition(|line| line.starts_with(PANIC)) else {
        return Vec::new();
    };
    let is_trace = |line: &&str| *line == "Call Trace:";
    let own = before
        .iter()
        .skip(panic)
        .position(is_trace)
        .map(|n| panic + n);
    let Some(trace) = own.or_else(|| before.iter().rposition(is_trace)) else {
        return Vec::new();
    };
    let frames = lines.iter().skip(trace + 1).take(LINES_MAX);
    frames
        .take_while(|line| **line != "</TASK>")
        .filter(|line| is_frame(line))
        .map(|line| (*line).to_owned())
        .collect()
}

/// `function+0x12/0x34 [module]`, perhaps with a mark of doubt before it, or where the stack changes.
fn is_frame(line: &str) -> bool {
    let frame = line.strip_prefix("? ").unwrap_or(line);
    let function = frame.split([' ', '\t']).next().unwrap_or_default();
    function.contains("+0x") && function.contains('/')
        || matches!(frame, "<IRQ>" | "<NMI>" | "<#DF>" | "</IRQ>" | "</NMI>")
}

/// A line without level and time stamp.
fn text_of(line: &str) -> &str {
    let line = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((level, rest)) if level.parse::<u32>().is_ok() => rest,
        _ => line,
    };
    let text = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((stamp, rest)) if stamp.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    };
    text.trim()
}

#[cfg(test)]
mod tests {
    use super::of_panic;

    const LOG: &str = "\
<4>[    1.0] Call Trace:
<4>[    1.0]  <TASK>
<4>[    1.0]  somebody_else+0x1/0x2
<4>[    1.0]  </TASK>
<0>[    3.1] Kernel panic - not syncing: sysrq triggered crash
<4>[    3.2] CPU: 1 UID: 0 PID: 243 Comm: bash
<4>[    3.2] Call Trace:
<4>[    3.2]  <IRQ>
<4>[    3.2]  ? vpanic+0x166/0x360
<4>[    3.2]  </IRQ>
<4>[    3.2]  <TASK>
<4>[    3.2]  write+0x5a/0xa0 [permfs]
<4>[    3.2] RIP: 0033:0x7f9922d5f3a7
<4>[    3.2]  </TASK>
<0>[    3.3] permfs-panic: v=1 rec=begin id=00000007 i=0
<4>[    3.4]  later+0x1/0x2
";

    #[test]
    fn frames_are_those_of_the_panic() {
        let own = [
            "<IRQ>",
            "? vpanic+0x166/0x360",
            "</IRQ>",
            "write+0x5a/0xa0 [permfs]",
        ];
        assert_eq!(of_panic(LOG.as_bytes(), "00000007"), own);
        let (oops, panic) = LOG.split_once("<4>[    3.2] CPU").expect("it is there");
        let (_, told) = panic.split_once("<0>").expect("it is there");
        let of_oops = format!("{oops}<0>{told}");
        assert_eq!(
            of_panic(of_oops.as_bytes(), "00000007"),
            ["somebody_else+0x1/0x2"]
        );
        assert!(of_panic(b"Call Trace:\n a+0x1/0x2\n", "00000007").is_empty());
    }
}
