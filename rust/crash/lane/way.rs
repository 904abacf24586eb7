// SPDX-License-Identifier: GPL-2.0

//! The ways in which a lane reaches its device, and the reasons for having none.

/// How daring a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It refuses where it might hang.
    Auto,
    /// It refuses only what cannot work.
    Force,
    /// It neither collects nor writes.
    Off,
}

/// Why there is no way, found out when the lane was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was told to be off.
    Off,
    /// The device takes bios, not requests: device mapper, md, loop's like.
    NotMq,
    /// The driver is none that was proven, or the device is going.
    Driver,
    /// Zones or protection information.
    Format,
    /// The device takes no writes.
    ReadOnly,
    /// The area is smaller than the buffer, or not in whole blocks of the device.
    AreaSmall,
    /// The queues' interrupt handlers were not found, are shared, or run in threads.
    Vectors,
    /// Every hardware queue serves several CPUs.
    QueueShared,
}

impl Reason {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotMq => "not-mq",
            Self::Driver => "driver",
            Self::Format => "format",
            Self::ReadOnly => "read-only",
            Self::AreaSmall => "area-small",
            Self::Vectors => "vectors",
            Self::QueueShared => "queue-shared",
        }
    }
}

/// How completions are collected, or requests written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// virtio-blk, on a poll queue.
    VirtioPoll,
    /// virtio-blk, on a queue that has an interrupt.
    VirtioShared,
    /// A SCSI disk on virtio-scsi, on whatever queue.
    VirtioScsi,
    /// A SATA disk on AHCI, whose interrupt handler is called by hand.
    Ahci,
    /// NVMe, on a poll queue.
    NvmePoll,
    /// NVMe, on a queue whose interrupt handler is called by hand.
    NvmeReap,
    /// Not at all.
    None(Reason),
}

impl Way {
    /// Its name in logs, `none:` and the reason if there is none.
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtioPoll => "virtio-poll",
            Self::VirtioShared => "virtio-shared",
            Self::VirtioScsi => "virtio-scsi",
            Self::Ahci => "ahci",
            Self::NvmePoll => "nvme-poll",
            Self::NvmeReap => "nvme-reap",
            Self::None(Reason::Off) => "none:off",
            Self::None(Reason::NotMq) => "none:not-mq",
            Self::None(Reason::Driver) => "none:driver",
            Self::None(Reason::Format) => "none:format",
            Self::None(Reason::ReadOnly) => "none:read-only",
            Self::None(Reason::AreaSmall) => "none:area-small",
            Self::None(Reason::Vectors) => "none:vectors",
            Self::None(Reason::QueueShared) => "none:queue-shared",
        }
    }

    /// Whether its requests are SCSI's.
    pub fn is_scsi(self) -> bool {
        matches!(self, Self::VirtioScsi | Self::Ahci)
    }

    /// Whether it is one.
    pub fn works(self) -> bool {
        !matches!(self, Self::None(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_none_are_the_reasons() {
        let reasons = [
            Reason::Off,
            Reason::NotMq,
            Reason::Driver,
            Reason::Format,
            Reason::ReadOnly,
            Reason::AreaSmall,
            Reason::Vectors,
            Reason::QueueShared,
        ];
        for reason in reasons {
            let way = Way::None(reason);
            assert_eq!(way.name(), format!("none:{}", reason.name()));
            assert!(!way.works());
        }
        for way in [
            Way::VirtioPoll,
            Way::VirtioShared,
            Way::VirtioScsi,
            Way::Ahci,
            Way::NvmePoll,
            Way::NvmeReap,
        ] {
            assert!(way.works() && !way.name().starts_with("none"));
            let scsi = [Way::VirtioScsi, Way::Ahci].contains(&way);
            assert_eq!(way.is_scsi(), scsi);
        }
    }
}
