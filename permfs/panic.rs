// SPDX-License-Identifier: GPL-2.0

//! The kernel as a platform for the panic handler in `permfs_core`.
//!
//! Everything here but the constructor runs inside the panic notifier, under the laws of
//! `Documentation/panic-path.md`: no allocation, no lock, no formatting.

use crate::{
    fault,
    lanes::{Lanes, Later},
    oops::Containment,
    params::Settings,
    pstore::Pstore,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};
use permfs_core::panic::{
    area::PstoreMeta, install_panic_hooks, After, Context, PanicHalt, PanicHooks, PanicLogger,
    PanicMachine, PanicReboot, PanicSettings, TASK_LEN,
};
use vfs::{
    panic::{self, clock, DieRegistration, Notifier, Registration},
    printk::{self, Level},
};

/// `kernel.panic` that makes the kernel halt.
const HALT: i32 = 0;
/// `kernel.panic` that makes the kernel reboot at once.
const REBOOT_NOW: i32 = -1;

pub(crate) struct Kernel;

impl PanicLogger for Kernel {
    fn print_line(&self, line: &[u8]) {
        printk::line(Level::Emerg, line);
    }
}

impl PanicHalt for Kernel {
    fn chosen(&self) {
        panic::set_timeout(HALT);
    }

    fn halt(&self) -> After {
        // panic() halts when the notifiers and kmsg dumpers have run, because of the timeout.
        panic::set_timeout(HALT);
        After::Deferred
    }
}

impl PanicReboot for Kernel {
    fn chosen(&self) {
        panic::set_timeout(REBOOT_NOW);
    }

    fn reboot(&self) -> After {
        panic::set_timeout(REBOOT_NOW);
        After::Deferred
    }
}

impl PanicMachine for Kernel {
    fn now_ns(&self) -> u64 {
        clock::mono_ns()
    }

    fn wall_ns(&self) -> u64 {
        clock::real_ns()
    }

    fn cpu(&self) -> u32 {
        panic::cpu()
    }

    fn context(&self) -> Context {
        let now = panic::Context::current();
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
        let now = panic::Context::current();
        *name = now.comm;
        now.pid
    }

    fn panic_timeout(&self) -> i32 {
        // The handler asks for this in stage `known`, before the first line.
        fault::in_notifier();
        panic::timeout()
    }

    fn relax(&self) {
        panic::cpu_relax();
    }
}

/// What is to be known while a crash kernel is loaded.
const CRASH_KERNEL: &str = "a crash kernel is loaded: unless crash_kexec_post_notifiers is set, a panic goes there without breadcrumbs";

/// [`CRASH_KERNEL`], if it is so now.
pub(crate) fn crash_kernel() -> Option<&'static str> {
    panic::kexec_crash_loaded().then_some(CRASH_KERNEL)
}

/// Warns of a crash kernel, once for as long as one is loaded. Nobody is told when one is loaded, and
/// that is often after the mounts: so it is asked for at load and at each mount, and whoever reads
/// debugfs' `lanes` sees it as it is then.
pub(crate) fn warn_of_crash_kernel() {
    static WARNED: Atomic<u32> = Atomic::<u32>::new(0);
    let now = crash_kernel();
    let warned = WARNED.xchg(now.is_some().into(), Relaxed) != 0;
    if let (Some(text), false) = (now, warned) {
        pr_warn!("{text}\n");
    }
}

/// The handler, shared by those who hear of panics.
pub(crate) struct Handler(PanicHooks<Kernel, Kernel, Kernel, Kernel, Lanes>);

impl Handler {
    fn install(settings: &Settings) -> Result<Arc<Self>> {
        warn_of_crash_kernel();
        let settings = PanicSettings {
            strategy: settings.strategy,
            deadline_ms: settings.deadline_ms,
            breaker_count: settings.loop_count,
            breaker_secs: settings.loop_secs,
        };
        let hooks = install_panic_hooks(Kernel, Kernel, Kernel, Kernel, Lanes, settings)?;
        Ok(Arc::new(Self(hooks), GFP_KERNEL)?)
    }

    /// Leaves all that may hang to [`Self::finish_deferred`], or not: see [`PanicHooks::defer`].
    pub(crate) fn defer(&self, deferred: bool) {
        self.0.defer(deferred);
    }

    /// Does what was left. Panic context.
    pub(crate) fn finish_deferred(&self) {
        self.0.finish_deferred();
    }

    /// Bytes of log that [`Self::write_log`] takes at most; 0: no volume has a lane that works.
    pub(crate) fn log_capacity(&self) -> usize {
        self.0.log_capacity()
    }

    /// Writes a piece of the kernel's log to the first volume whose lane can, and gives the sequence of
    /// the record. Panic context.
    pub(crate) fn write_log(&self, meta: &PstoreMeta, data: &[u8]) -> Result<u64> {
        self.0.write_log(meta, data)
    }
}

/// The handler as panic notifier.
struct Hook(Arc<Handler>);

impl Notifier for Hook {
    fn notify(&self, message: &[u8]) {
        panic::freeze();
        self.0 .0.notify(message);
    }
}

/// The hooks, for as long as the module is loaded.
#[pin_data]
pub(crate) struct Hooks {
    // Dropped in this order: who calls the handler goes before it does.
    _pstore: Pstore,
    _later: Later,
    #[pin]
    oopses: DieRegistration<Containment>,
    #[pin]
    registration: Registration<Hook>,
}

impl Hooks {
    /// Installs the handler.
    pub(crate) fn new(settings: Settings) -> Result<impl PinInit<Self, Error>> {
        let handler = Handler::install(&settings)?;
        Ok(try_pin_init!(Self {
            registration <- Registration::new(Hook(handler.clone())),
            oopses <- DieRegistration::new(Containment),
            _later: Later::new(handler.clone())?,
            _pstore: Pstore::new(handler, settings.pstore),
        }))
    }
}
