// SPDX-License-Identifier: GPL-2.0

//! The breaker, and the limits of all settings.

use super::super::*;
use super::disk::Disk;
use super::mock::{end, of, World};

#[test]
fn the_breaker_halts_what_would_reboot_for_ever() {
    const S: u64 = 1_000_000_000;
    let now = 1_795_000_000_123_456_789;
    let settings = PanicSettings {
        strategy: PanicStrategy::Reboot,
        breaker_count: 3,
        breaker_secs: 600,
        ..PanicSettings::DEFAULT
    };
    let cases: [(&[u64], Option<u64>); 5] = [
        (&[], None),
        (&[now - S, now - 2 * S], None),
        (&[now - S, now - 2 * S, now - 600 * S], Some(4)),
        (&[now - S, now - 2 * S, now - 601 * S, now + 900 * S], None),
        (&[now - S, now + 2 * S, now + 600 * S, now - 3 * S], Some(5)),
    ];
    for (times, breaks) in cases {
        let mut world = World::new();
        world.halt.after = After::Deferred;
        world.reboot.after = After::Deferred;
        let disk = Disk::new(4, 4);
        let guard = world.mount_with("vda", disk.clone());
        let mut survey = disk.area.survey(&disk.image).unwrap();
        survey.recent[..times.len()].copy_from_slice(times);
        guard.set_area(&disk.area, &survey);
        let _other = world.mount("vdb");
        let hooks = world.hooks_with(settings).expect("once");
        hooks.panic(b"x");
        let records = world.records();
        let breaker = of(&records, "breaker");
        assert_eq!(breaker.first().map(|b| b.num("n")), breaks, "{times:?}");
        assert_eq!(of(&records, "begin")[0].get("strategy"), "reboot");
        let (halts, next) = match breaks {
            Some(_) => ((1, 0), "halt"),
            None => ((0, 1), "reboot"),
        };
        assert_eq!((world.halt.called.get(), world.reboot.called.get()), halts);
        assert_eq!(end(&records).get("next"), next);
        if breaks.is_some() {
            assert_eq!(breaker[0].num("secs"), 600);
            assert!(disk.newest().0.contains(" rec=breaker "));
        }
    }
}

#[test]
fn the_breaker_counts_what_is_on_the_volume() {
    let disk = Disk::new(8, 4);
    for n in 1..=4 {
        let mut world = World::new();
        world.halt.after = After::Deferred;
        world.reboot.after = After::Deferred;
        let _guard = world.mount_with("vda", disk.clone());
        let settings = PanicSettings {
            strategy: PanicStrategy::Reboot,
            breaker_count: 3,
            ..PanicSettings::DEFAULT
        };
        world.hooks_with(settings).expect("once").panic(b"x");
        assert_eq!(world.halt.called.get(), u32::from(n > 3), "panic {n}");
    }
    // It is the same loop if the kernel's own policy is to reboot.
    let mut world = World::new();
    world.halt.after = After::Deferred;
    world.machine.timeout = 10;
    let _guard = world.mount_with("vda", disk.clone());
    let settings = PanicSettings {
        breaker_count: 3,
        ..PanicSettings::DEFAULT
    };
    world.hooks_with(settings).expect("once").panic(b"x");
    assert_eq!(world.halt.called.get(), 1);
    assert_eq!(end(&world.records()).get("next"), "halt");
    for (strategy, breaker_count) in [(PanicStrategy::Kernel, 3), (PanicStrategy::Reboot, 0)] {
        let mut world = World::new();
        world.reboot.after = After::Deferred;
        let _guard = world.mount_with("vda", disk.clone());
        let settings = PanicSettings {
            strategy,
            breaker_count,
            ..PanicSettings::DEFAULT
        };
        world.hooks_with(settings).expect("once").panic(b"x");
        assert_eq!(world.halt.called.get(), 0);
        assert!(of(&world.records(), "breaker").is_empty());
    }
}

#[test]
fn settings_are_brought_into_range() {
    let wild = PanicSettings {
        deadline_ms: 0,
        breaker_count: 99,
        ..PanicSettings::DEFAULT
    };
    assert_eq!(
        (wild.clamped().deadline_ms, wild.clamped().breaker_count),
        (1, 16)
    );
    let long = PanicSettings {
        deadline_ms: 9999,
        ..wild
    };
    assert_eq!(long.clamped().deadline_ms, 2000);
    assert_eq!(PanicSettings::DEFAULT.clamped(), PanicSettings::DEFAULT);
}
