// SPDX-License-Identifier: GPL-2.0

//! Which entry of a backtrace is the one that a panic comes from. Knows no kernel.

/// What `panic()` itself and those that do nothing but call it are called.
const PANIC: [&[u8]; 5] = [
    b"vpanic",
    b"panic",
    b"nmi_panic",
    b"check_panic_on_warn",
    b"__stack_chk_fail",
];
/// The end of an oops, which may call `panic()`.
const OOPS_END: &[u8] = b"oops_end";
/// How the entries of exceptions begin. What comes behind one is the instruction that it was raised for.
const EXCEPTION: &[u8] = b"asm_exc_";

/// What an entry's name tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `panic()` itself.
    Panic,
    /// The end of an oops.
    OopsEnd,
    /// The entry of an exception.
    Exception,
    /// Anything else.
    Other,
}

impl Kind {
    /// Of an entry's name, as backtraces have it.
    pub(crate) fn of(name: &[u8]) -> Self {
        let function = function(name);
        if PANIC.contains(&function) {
            Self::Panic
        } else if function == OOPS_END {
            Self::OopsEnd
        } else if name.starts_with(EXCEPTION) {
            Self::Exception
        } else {
            Self::Other
        }
    }
}

/// The entry chosen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Its place in the trace.
    pub index: usize,
    /// It is the instruction of an exception that became an oops, not a call of `panic()`.
    pub faulted: bool,
}

/// Chooses of `trace`, innermost first.
pub(crate) fn choose<A>(trace: &[A], kind: impl Fn(&A) -> Kind) -> Option<Chosen> {
    // Not `enumerate`, whose counter is checked for overflow by a panic.
    let mut entries = (0..trace.len()).zip(trace.iter().map(kind));
    entries.by_ref().find(|(_, kind)| *kind == Kind::Panic)?;
    let (caller, what) = entries.by_ref().find(|(_, kind)| *kind != Kind::Panic)?;
    let call = Chosen {
        index: caller,
        faulted: false,
    };
    if what != Kind::OopsEnd {
        return Some(call);
    }
    let raised = entries.by_ref().any(|(_, kind)| kind == Kind::Exception);
    let instruction = entries.next().filter(|_| raised);
    Some(instruction.map_or(call, |(index, _)| Chosen {
        index,
        faulted: true,
    }))
}

/// The function's own name in `name+0x12/0x34 [module]`, without what the compiler has added to it.
fn function(name: &[u8]) -> &[u8] {
    let end = |&b: &u8| b == b'+' || b == b'.' || b == b' ';
    name.split(end).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trace: &[&str]) -> Option<Chosen> {
        choose(trace, |entry| Kind::of(entry.as_bytes()))
    }

    const OURS: [&str; 3] = [
        "origin+0x1/0x2 [permfs]",
        "notifier_call_chain+0x5a/0x90",
        "atomic_notifier_call_chain+0x32/0x50",
    ];

    #[test]
    fn the_caller_of_panic() {
        let trace = [
            &OURS[..],
            &[
                "vpanic+0x2ad/0x2f0",
                "panic+0x6b/0x70",
                "sysrq_handle_crash+0x1a/0x20",
                "panic+0x1/0x2",
            ],
        ]
        .concat();
        assert_eq!(
            of(&trace),
            Some(Chosen {
                index: 5,
                faulted: false
            })
        );
        // The name is the function's, whatever the compiler has made of it, and not its beginning.
        let trace = ["vpanic.cold+0x1/0x2", "panic_on_everything+0x1/0x2"];
        assert_eq!(
            of(&trace),
            Some(Chosen {
                index: 1,
                faulted: false
            })
        );
    }

    #[test]
    fn the_instruction_that_an_oops_came_of() {
        let oops = [
            "panic+0x6b/0x70",
            "oops_end.cold+0x18/0x18",
            "page_fault_oops+0x1/0x2",
            "exc_page_fault+0x1/0x2",
        ];
        let trace = [
            &OURS[..],
            &oops,
            &[
                "asm_exc_page_fault+0x26/0x30",
                "broken+0x4/0x10 [broken]",
                "ksys_write+0x1/0x2",
            ],
        ]
        .concat();
        assert_eq!(
            of(&trace),
            Some(Chosen {
                index: 8,
                faulted: true
            })
        );
        // The stack ends before: what called panic() is still known.
        assert_eq!(
            of(&[&OURS[..], &oops].concat()),
            Some(Chosen {
                index: 4,
                faulted: false
            })
        );
        let trace = [&OURS[..], &oops, &["asm_exc_page_fault+0x26/0x30"]].concat();
        assert_eq!(
            of(&trace),
            Some(Chosen {
                index: 4,
                faulted: false
            })
        );
    }

    #[test]
    fn an_exception_that_is_no_oops_is_none() {
        let trace = [
            "panic+0x6b/0x70",
            "filesystem_fault+0x1/0x2",
            "exc_page_fault+0x1/0x2",
            "asm_exc_page_fault+0x26/0x30",
            "user+0x1/0x2",
        ];
        assert_eq!(
            of(&trace),
            Some(Chosen {
                index: 1,
                faulted: false
            })
        );
    }

    #[test]
    fn without_a_panic_there_is_none() {
        assert_eq!(of(&OURS), None);
        assert_eq!(of(&["panic+0x6b/0x70"]), None);
        assert_eq!(of(&[]), None);
    }
}
