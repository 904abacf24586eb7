// SPDX-License-Identifier: GPL-2.0

//! Every interleaving of a few submissions and a close: `RUSTFLAGS="--cfg loom" cargo test -p permfs-core loom`.

use super::Gate;
use ::loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread, //
};
use std::sync::Arc;

/// The law of the gate: when it is closed and its count is zero, nothing is submitted any more, and
/// what was submitted is seen as completed.
#[test]
fn a_closed_and_empty_gate_stays_empty() {
    ::loom::model(|| {
        let gate = Arc::new(Gate::new());
        let _ = gate.in_flight();
        let submitted = Arc::new(AtomicUsize::new(0));
        let completed = Arc::new(AtomicUsize::new(0));
        let writers: std::vec::Vec<_> = (0..2)
            .map(|_| {
                let (gate, submitted, completed) =
                    (gate.clone(), submitted.clone(), completed.clone());
                thread::spawn(move || {
                    if gate.enter().is_ok() {
                        submitted.fetch_add(1, Ordering::Relaxed);
                        completed.fetch_add(1, Ordering::Relaxed);
                        gate.end();
                    }
                })
            })
            .collect();
        let at_close = gate.close() as usize;
        let settled = gate.in_flight() == 0;
        let before = completed.load(Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
        let after = submitted.load(Ordering::Relaxed);
        if settled {
            // Acquiring the zero has shown the completions of all that had passed.
            assert_eq!(before, after);
        }
        assert!(after <= before + at_close);
        assert_eq!(gate.in_flight(), 0);
    });
}
