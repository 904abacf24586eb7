// SPDX-License-Identifier: GPL-2.0

//! The one deadline of a panic, in time and in turns.
//!
//! The clock may step back or stand still, so every look at it is also counted: a wait ends after so many
//! turns whatever the clock says.

/// Turns a millisecond: a turn asks every device, reads the clock and relaxes the CPU, which no machine
/// does in less than 100 ns.
const TURNS_PER_MS: u32 = 10_000;
const NS_PER_MS: u64 = 1_000_000;

/// A deadline, and the turns that were taken on the way to it.
#[derive(Debug)]
pub struct Deadline {
    start_ns: u64,
    limit_ns: u64,
    turns: u32,
    turns_max: u32,
}

impl Deadline {
    /// `limit_ns` from `start_ns`.
    pub const fn new(start_ns: u64, limit_ns: u64) -> Self {
        let ms = limit_ns.div_ceil(NS_PER_MS);
        // Lossless for every limit that settings allow, which is 2 seconds.
        let turns_max = (ms as u32).saturating_mul(TURNS_PER_MS);
        Self {
            start_ns,
            limit_ns,
            turns: 0,
            turns_max,
        }
    }

    /// At `end_ns`, seen from `now_ns`.
    pub const fn until(now_ns: u64, end_ns: u64) -> Self {
        Self::new(now_ns, end_ns.saturating_sub(now_ns))
    }

    /// When it is, if the clock goes on.
    pub const fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.limit_ns)
    }

    /// Takes a turn: whether it may be taken by those who may use so many eighths of time and turns.
    pub fn turn(&mut self, now_ns: u64, eighths: u32) -> bool {
        self.turns = self.turns.saturating_add(1);
        let limit_ns = (self.limit_ns / 8).saturating_mul(eighths.into());
        let turns_max = (self.turns_max / 8).saturating_mul(eighths);
        self.turns <= turns_max && now_ns.saturating_sub(self.start_ns) < limit_ns
    }
}

/// What the drain may use of a deadline, in eighths.
pub(super) const FOR_DRAIN: u32 = 4;
/// Up to where the records may use it: the outcome is to be written to those devices that answer.
pub(super) const FOR_RECORDS: u32 = 7;
/// All of it.
pub(super) const FOR_ALL: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_time() {
        let mut deadline = Deadline::new(1_000, 800 * NS_PER_MS);
        for (eighths, end) in [(FOR_DRAIN, 400), (FOR_RECORDS, 700), (FOR_ALL, 800)] {
            assert!(deadline.turn(1_000 + end * NS_PER_MS - 1, eighths));
            assert!(!deadline.turn(1_000 + end * NS_PER_MS, eighths));
        }
        assert_eq!(deadline.end_ns(), 1_000 + 800 * NS_PER_MS);
    }

    #[test]
    fn it_ends_by_turns_when_the_clock_does_not_go_on() {
        for now in [0, 1_000] {
            let mut deadline = Deadline::new(1_000, 2 * NS_PER_MS);
            let mut turns = |eighths| {
                (0..100_000)
                    .take_while(|_| deadline.turn(now, eighths))
                    .count()
            };
            assert_eq!(turns(FOR_DRAIN), 10_000);
            // One was lost in finding out.
            assert_eq!(turns(FOR_ALL), 9_999);
        }
    }

    #[test]
    fn none_is_left_of_what_is_over() {
        assert!(!Deadline::until(5, 5).turn(5, FOR_ALL));
        assert!(!Deadline::until(6, 5).turn(6, FOR_ALL));
    }
}
