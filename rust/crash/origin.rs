// SPDX-License-Identifier: GPL-2.0

//! Who panicked: which machine, which kernel, and where in the code.
//!
//! C header: [`include/linux/stacktrace.h`](srctree/include/linux/stacktrace.h),
//! [`include/linux/utsname.h`](srctree/include/linux/utsname.h), [`include/linux/dmi.h`](srctree/include/linux/dmi.h)
//!
//! All of it is for any context, NMI included. The stack is walked, and a symbol looked up, with the code
//! that prints the backtrace of every oops: stacks and static tables, no lock.

use crate::bindings;

mod choose;

use self::choose::{choose, Kind};

/// Bytes of a text that are kept.
pub const TEXT_LEN: usize = 96;
/// Return addresses that are looked at: what lies between a panic notifier and the code that an oops came
/// from is half of it.
const DEPTH: usize = 40;

/// A text of the kernel's, cut to [`TEXT_LEN`] bytes.
pub struct Text {
    bytes: [u8; TEXT_LEN],
    len: usize,
}

impl Text {
    /// What `fill` writes into the buffer that it gets; it returns how many bytes these are.
    #[inline]
    fn new(fill: impl FnOnce(&mut [u8; TEXT_LEN]) -> usize) -> Self {
        let mut bytes = [0; TEXT_LEN];
        let len = fill(&mut bytes);
        Self { bytes, len }
    }

    /// Its bytes, without a NUL.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// The kernel's release, as `uname -r` has it.
#[inline]
pub fn kernel_release() -> Text {
    // SAFETY: Writes no byte behind the length that is passed, and reads the kernel image.
    Text::new(|buf| unsafe {
        bindings::crash_helper_kernel_release(buf.as_mut_ptr().cast(), buf.len())
    })
}

/// The machine's name, as `uname -n` has it outside of containers.
#[inline]
pub fn node_name() -> Text {
    // SAFETY: Writes no byte behind the length that is passed, and reads the kernel image.
    Text::new(|buf| unsafe { bindings::crash_helper_node_name(buf.as_mut_ptr().cast(), buf.len()) })
}

/// The machine's UUID in its firmware's tables (SMBIOS), as `/sys/class/dmi/id/product_uuid` has it; empty if
/// it has none.
#[inline]
pub fn machine_uuid() -> Text {
    // SAFETY: Writes no byte behind the length that is passed. The text ends with a NUL, was made when the
    // kernel started, and is never freed.
    Text::new(|buf| unsafe {
        bindings::crash_helper_machine_uuid(buf.as_mut_ptr().cast(), buf.len())
    })
}

/// Where the code is that panicked.
pub struct Origin {
    /// Of the instruction that faulted, or that the call of `panic()` returns to.
    pub address: usize,
    /// It is an instruction that faulted: the panic came of an oops.
    pub faulted: bool,
    /// The address as a backtrace has it: symbol, offset, size, module.
    pub symbol: Text,
}

/// Where this panic comes from; `None` outside of `panic()`, or if the stack does not tell.
#[inline(never)]
pub fn origin() -> Option<Origin> {
    let mut trace = [0; DEPTH];
    // SAFETY: It writes so many addresses at most. This stack stays as it is while it is walked.
    let depth = unsafe { bindings::stack_trace_save(trace.as_mut_ptr(), DEPTH as u32, 0) };
    let trace = trace.get(..depth as usize).unwrap_or(&[]);
    let chosen = choose(trace, |&address| Kind::of(symbol(address, true).bytes()))?;
    let address = *trace.get(chosen.index)?;
    Some(Origin {
        address,
        faulted: chosen.faulted,
        symbol: symbol(address, !chosen.faulted),
    })
}

#[inline(never)]
fn symbol(address: usize, return_address: bool) -> Text {
    // SAFETY: Writes no byte behind the length that is passed. The address is looked up, and not followed.
    Text::new(|buf| unsafe {
        bindings::crash_helper_symbol(buf.as_mut_ptr().cast(), buf.len(), address, return_address)
    })
}
