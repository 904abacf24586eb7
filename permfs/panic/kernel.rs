// SPDX-License-Identifier: GPL-2.0

//! The kernel as a platform for the panic handler in `permfs_core`.
//!
//! All of it runs inside a panic, under the laws of `Documentation/panic-path.md`: no allocation, no lock,
//! no formatting.

use crate::fault;
use crash::{
    context, origin,
    printk::{self, Level},
};
use permfs_core::panic::{
    After, Context, Host, Origin, PanicHalt, PanicLogger, PanicMachine, PanicReboot, Stage, Text,
    TASK_LEN, TEXT_LEN,
};
use vfs::time;

/// `kernel.panic` that makes the kernel halt.
const HALT: i32 = 0;
/// `kernel.panic` that makes the kernel reboot at once.
const REBOOT_NOW: i32 = -1;

/// Console, clock, current task, and the kernel's own policy.
pub(crate) struct Kernel;

impl PanicLogger for Kernel {
    fn print_line(&self, line: &[u8]) {
        printk::line(Level::Emerg, line);
    }
}

impl PanicHalt for Kernel {
    fn chosen(&self) {
        context::set_timeout(HALT);
    }

    fn halt(&self) -> After {
        // panic() halts when the notifiers and kmsg dumpers have run, because of the timeout.
        context::set_timeout(HALT);
        After::Deferred
    }
}

impl PanicReboot for Kernel {
    fn chosen(&self) {
        context::set_timeout(REBOOT_NOW);
    }

    fn reboot(&self) -> After {
        context::set_timeout(REBOOT_NOW);
        After::Deferred
    }
}

impl PanicMachine for Kernel {
    fn now_ns(&self) -> u64 {
        time::mono_fast_ns()
    }

    fn wall_ns(&self) -> u64 {
        time::real_fast_ns()
    }

    fn cpu(&self) -> u32 {
        context::cpu()
    }

    fn context(&self) -> Context {
        let now = context::Context::current();
        let bits = [
            (now.in_nmi, Context::NMI),
            (now.in_hardirq, Context::HARDIRQ),
            (now.in_softirq, Context::SOFTIRQ),
        ];
        Context(
            bits.iter()
                .fold(0, |sum, (on, bit)| if *on { sum | bit } else { sum }),
        )
    }

    fn task(&self, name: &mut [u8; TASK_LEN]) -> i32 {
        let now = context::Context::current();
        *name = now.comm;
        now.pid
    }

    fn host(&self, what: Host) -> Text {
        let text = match what {
            Host::Release => origin::kernel_release(),
            Host::Machine => origin::machine_uuid(),
            Host::Node => origin::node_name(),
        };
        padded(text.bytes())
    }

    fn origin(&self) -> Option<Origin> {
        let origin = origin::origin()?;
        Some(Origin {
            faulted: origin.faulted,
            address: origin.address as u64,
            symbol: padded(origin.symbol.bytes()),
        })
    }

    fn panic_timeout(&self) -> i32 {
        context::timeout()
    }

    fn reached(&self, stage: Stage) {
        fault::in_handler(stage);
    }

    fn relax(&self) {
        context::cpu_relax();
    }
}

fn padded(bytes: &[u8]) -> Text {
    let mut text = [0; TEXT_LEN];
    for (place, byte) in text.iter_mut().zip(bytes) {
        *place = *byte;
    }
    text
}
