// SPDX-License-Identifier: GPL-2.0

//! How far a volume's I/O was stopped: by an orderly quiesce, in a context that may sleep, or in a panic.

/// What became of the cache flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// None was issued.
    NotAttempted,
    /// The panic lane will issue one after this was said, and tells of it in a line of its own.
    Pending,
    /// It completed: what the device had acknowledged before is durable.
    Ok,
    /// The device answered with an error.
    Failed,
    /// It had not completed when the time was over.
    Timeout,
    /// It could not be issued in this context or on this device.
    Refused,
}

impl Flush {
    /// Number in the static report, and in the result of `PERMFS_IOC_QUIESCE`.
    pub const fn as_u32(self) -> u32 {
        match self {
            Flush::NotAttempted => 0,
            Flush::Pending => 1,
            Flush::Ok => 2,
            Flush::Failed => 3,
            Flush::Timeout => 4,
            Flush::Refused => 5,
        }
    }

    /// The outcome with that number.
    pub const fn from_u32(n: u32) -> Option<Self> {
        Some(match n {
            0 => Flush::NotAttempted,
            1 => Flush::Pending,
            2 => Flush::Ok,
            3 => Flush::Failed,
            4 => Flush::Timeout,
            5 => Flush::Refused,
            _ => return None,
        })
    }

    /// Name as printed in panic lines.
    pub const fn name(self) -> &'static str {
        match self {
            Flush::NotAttempted => "not-attempted",
            Flush::Pending => "pending",
            Flush::Ok => "ok",
            Flush::Failed => "failed",
            Flush::Timeout => "timeout",
            Flush::Refused => "refused",
        }
    }

    /// How much of all that was to be flushed is not known to be: 0, nothing.
    const fn rank(self) -> u32 {
        match self {
            Flush::Ok => 0,
            Flush::NotAttempted => 1,
            Flush::Refused => 2,
            Flush::Pending => 3,
            Flush::Timeout => 4,
            Flush::Failed => 5,
        }
    }

    /// What is to be said of two volumes together: `Ok` only if it is so of both.
    pub const fn and(self, other: Self) -> Self {
        if self.rank() >= other.rank() {
            self
        } else {
            other
        }
    }
}

/// How far I/O was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicQuiesceResult {
    /// Nothing is in flight, and nothing more can be submitted.
    pub drained: bool,
    /// Submissions that have not completed; may be too high, never too low ([`super::Gate`]).
    pub in_flight: u32,
    /// What became of the cache flush.
    pub flush_issued: Flush,
}
