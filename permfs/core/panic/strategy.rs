// SPDX-License-Identifier: GPL-2.0

//! What happens to the machine once everything was said.

/// Who decides how the machine stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicStrategy {
    /// What the kernel is set to (`kernel.panic`), which by default is to halt.
    #[default]
    Kernel,
    /// Halt.
    Halt,
    /// Reboot.
    Reboot,
}

impl PanicStrategy {
    /// Number of the strategy in the static report.
    pub const fn as_u32(self) -> u32 {
        match self {
            PanicStrategy::Kernel => 0,
            PanicStrategy::Halt => 1,
            PanicStrategy::Reboot => 2,
        }
    }

    /// Whether the machine comes up again by itself, `timeout` being the kernel's: 0 halts.
    pub const fn reboots(self, timeout: i32) -> bool {
        match self {
            PanicStrategy::Kernel => timeout != 0,
            PanicStrategy::Halt => false,
            PanicStrategy::Reboot => true,
        }
    }

    /// Name as printed in panic lines.
    pub const fn name(self) -> &'static str {
        match self {
            PanicStrategy::Kernel => "kernel",
            PanicStrategy::Halt => "halt",
            PanicStrategy::Reboot => "reboot",
        }
    }
}
