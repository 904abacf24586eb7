// SPDX-License-Identifier: GPL-2.0

//! What the panic handler asks of its platform. The kernel is one platform, a mock on the host another.
//!
//! Every method but `chosen` is called inside the notifier, under the laws of [`super`].

use super::Stage;

/// Bytes of a task's name.
pub const TASK_LEN: usize = 16;

/// The context that panicked: any of the constants, added; none of them is task context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context(pub u32);

impl Context {
    /// A non-maskable interrupt.
    pub const NMI: u32 = 1;
    /// An interrupt handler.
    pub const HARDIRQ: u32 = 2;
    /// A softirq, or a section that has them off.
    pub const SOFTIRQ: u32 = 4;

    /// The most restricted of them, as printed in panic lines.
    pub const fn name(self) -> &'static str {
        if self.0 & Self::NMI != 0 {
            "nmi"
        } else if self.0 & Self::HARDIRQ != 0 {
            "hardirq"
        } else if self.0 & Self::SOFTIRQ != 0 {
            "softirq"
        } else {
            "task"
        }
    }
}

/// Bytes of a text that a [`PanicMachine`] gives.
pub const TEXT_LEN: usize = 96;

/// A text that a [`PanicMachine`] gives, padded with zeroes.
pub type Text = [u8; TEXT_LEN];

/// What there is to know of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The kernel's release, as `uname -r` has it.
    Release,
    /// The UUID that the firmware has for the machine.
    Machine,
    /// The name that the machine has in the network.
    Node,
}

/// Where the code is that panicked.
pub struct Origin {
    /// An instruction that faulted, so that the panic came of an oops; else what the call of `panic()`
    /// returns to.
    pub faulted: bool,
    /// Its address.
    pub address: u64,
    /// The same as a backtrace has it: symbol, offset, size, module; padded with zeroes.
    pub symbol: Text,
}

/// Where lines go.
pub trait PanicLogger {
    /// Prints one line, at most [`super::LINE_MAX`] printable ASCII bytes without a newline.
    fn print_line(&self, line: &[u8]);
}

/// What a halt or reboot hook did when it came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is arranged: the kernel carries it out when the notifier has returned, after the other
    /// notifiers and the kmsg dumpers, pstore among them, have run.
    Deferred,
    /// It was to happen there and then, and did not.
    Failed,
}

/// A way to halt the machine.
pub trait PanicHalt {
    /// The strategy was chosen; in process context, when the hooks are installed.
    fn chosen(&self);
    /// Halts, or arranges it.
    fn halt(&self) -> After;
}

/// A way to reboot the machine.
pub trait PanicReboot {
    /// The strategy was chosen; in process context, when the hooks are installed.
    fn chosen(&self);
    /// Reboots, or arranges it.
    fn reboot(&self) -> After;
}

/// The clock, and where the panic happened.
pub trait PanicMachine {
    /// Monotonic nanoseconds, safe in NMI; may step back.
    fn now_ns(&self) -> u64;
    /// Nanoseconds since 1970, safe in NMI.
    fn wall_ns(&self) -> u64;
    /// The CPU that this runs on.
    fn cpu(&self) -> u32;
    /// The context.
    fn context(&self) -> Context;
    /// The task's PID, and its name, padded with zeroes.
    fn task(&self, name: &mut [u8; TASK_LEN]) -> i32;
    /// Something of the machine, all zeroes if it is not known.
    fn host(&self, what: Host) -> Text;
    /// Where the panic comes from, if the stack tells.
    fn origin(&self) -> Option<Origin>;
    /// Seconds after which the kernel reboots; 0: never, negative: at once.
    fn panic_timeout(&self) -> i32;
    /// One turn of a wait that does not end.
    fn relax(&self);
    /// The handler begins with `stage`, and has stored that. For those who test what becomes of a handler
    /// that dies there.
    fn reached(&self, _stage: Stage) {}
}
