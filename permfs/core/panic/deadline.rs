// SPDX-License-Identifier: GPL-2.0

//! Time for the disk in a panic, by the clock and by what was asked.
//!
//! The clock may step back, stand still or crawl, so what is asked meanwhile is counted, too. A *question* is
//! one hardware queue that is looked at for completions: 0.1 us at the least (a read of memory), some 10 us
//! at the most (a handler that reads a few registers of its device). A wait over many queues asks many
//! questions a turn, and so takes fewer turns.
//!
//! - A clock that goes on ends the wait by itself; one that only crawls ends it after [`QUESTIONS_PER_MS`],
//!   which no machine asks in a millisecond.
//! - One that has not gone on for [`STILL_PER_MS`] questions a millisecond of the limit stands still: the
//!   coarsest that runs with interrupts off (the ACPI timer, 280 ns) goes on with every third question.
//!
//! So with the default of 500 ms and a clock that stands still, the wait is over after 0.05 s to 5 s, whatever
//! the number of volumes and queues.

/// Questions in a millisecond.
const QUESTIONS_PER_MS: u32 = 10_000;
/// Questions, a millisecond of the limit, after which a clock stands still that has not gone on meanwhile.
const STILL_PER_MS: u32 = 1_000;
const NS_PER_MS: u64 = 1_000_000;

/// A deadline, and what was asked on the way to it.
#[derive(Debug)]
pub struct Deadline {
    start_ns: u64,
    limit_ns: u64,
    latest_ns: u64,
    questions: u32,
    still: u32,
}

impl Deadline {
    /// `limit_ns` from `start_ns`.
    pub const fn new(start_ns: u64, limit_ns: u64) -> Self {
        Self {
            start_ns,
            limit_ns,
            latest_ns: start_ns,
            questions: 0,
            still: 0,
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

    /// What is left of it at `now_ns`, nanoseconds; by the clock, or by what was asked if that is less.
    pub fn left_ns(&self, now_ns: u64) -> u64 {
        let left = self.end_ns().saturating_sub(now_ns.max(self.latest_ns));
        let standing = u64::from(self.still).saturating_mul(NS_PER_MS / u64::from(STILL_PER_MS));
        left.min(self.limit_ns.saturating_sub(standing))
    }

    /// Takes a turn, in which so many questions were asked: whether another may be taken by those who may
    /// use so many eighths of it.
    pub fn turn(&mut self, now_ns: u64, questions: u32, eighths: u32) -> bool {
        self.questions = self.questions.saturating_add(questions);
        if now_ns > self.latest_ns {
            self.latest_ns = now_ns;
            self.still = 0;
        } else {
            self.still = self.still.saturating_add(questions);
        }
        let limit_ns = (self.limit_ns / 8).saturating_mul(eighths.into());
        self.questions <= self.most(QUESTIONS_PER_MS, eighths)
            && self.still <= self.most(STILL_PER_MS, eighths)
            && now_ns.saturating_sub(self.start_ns) < limit_ns
    }

    fn most(&self, per_ms: u32, eighths: u32) -> u32 {
        // Lossless for every limit that settings allow, which is 2 seconds.
        let ms = self.limit_ns.div_ceil(NS_PER_MS) as u32;
        (ms.saturating_mul(per_ms) / 8).saturating_mul(eighths)
    }
}

/// What the records may use of the time, in eighths: the rest is kept for what others have in flight and for
/// the outcome.
pub(super) const FOR_ACCOUNT: u32 = 5;
/// What, before a record, may be used until there is room for its request.
pub(super) const FOR_ROOM: u32 = 2;
/// What the drain may use of the time that the records have left.
pub(super) const FOR_DRAIN: u32 = 4;
/// Up to where the flush behind it may use that: the outcome is to be written to those devices that answer.
pub(super) const FOR_FLUSH: u32 = 7;
/// All of it.
pub(super) const FOR_ALL: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_time() {
        let mut deadline = Deadline::new(1_000, 800 * NS_PER_MS);
        for (eighths, end) in [(FOR_DRAIN, 400), (FOR_FLUSH, 700), (FOR_ALL, 800)] {
            assert!(deadline.turn(1_000 + end * NS_PER_MS - 1, 1, eighths));
            assert!(!deadline.turn(1_000 + end * NS_PER_MS, 1, eighths));
        }
        assert_eq!(deadline.end_ns(), 1_000 + 800 * NS_PER_MS);
        assert_eq!(deadline.left_ns(1_000 + 300 * NS_PER_MS), 0, "it was later");
    }

    #[test]
    fn it_ends_by_questions_when_the_clock_does_not_go_on() {
        for now in [0, 1_000] {
            let mut deadline = Deadline::new(1_000, 16 * NS_PER_MS);
            let mut turns = |questions, eighths| {
                (0..100_000)
                    .take_while(|_| deadline.turn(now, questions, eighths))
                    .count()
            };
            assert_eq!(turns(1, FOR_DRAIN), 8_000);
            // One was lost in finding out. Many queues take as many turns less.
            assert_eq!(turns(128, FOR_ALL), 62);
            assert_eq!(deadline.left_ns(now), 0);
        }
    }

    #[test]
    fn a_clock_that_crawls_ends_it_by_questions() {
        let mut deadline = Deadline::new(0, 16 * NS_PER_MS);
        let turns = (1..1_000_000).take_while(|now| deadline.turn(*now, 1, FOR_ALL));
        assert_eq!(turns.count(), 160_000);
    }

    #[test]
    fn none_is_left_of_what_is_over() {
        assert!(!Deadline::until(5, 5).turn(5, 1, FOR_ALL));
        assert!(!Deadline::until(6, 5).turn(6, 1, FOR_ALL));
        assert_eq!(Deadline::new(5, 10).left_ns(7), 8);
        assert_eq!(Deadline::new(5, 10).left_ns(70), 0);
    }
}
