// SPDX-License-Identifier: GPL-2.0

//! `permfs quiesce`: brings a mounted volume and its device to rest.

use std::{fs::File, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{anyhow, Context, Result};
use permfs_core::{
    ioctl::{Quiesce, QUIESCE_DEFAULT_MS, QUIESCE_MAX_MS},
    panic::Flush,
};
use rustix::io::Errno;
use serde::Serialize;

/// Write a mounted volume back, drain its device, and flush the device's cache.
///
/// Files and metadata are written, then the device's request queue is frozen until nothing is in
/// flight, unfrozen, and the cache flushed. Writers wait meanwhile and get no error. When the time is
/// over, operations that have not completed are reported as possibly lost, nothing is claimed, and the
/// volume goes on.
///
/// Exit status: 0, everything that was written before is durable; 1, it is not known to be; 2, the
/// volume could not be asked.
#[derive(clap::Args, Debug)]
pub struct QuiesceArgs {
    /// How long it may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = QUIESCE_DEFAULT_MS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(QUIESCE_MAX_MS)))]
    timeout: u32,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
    /// Where the volume is mounted, or any file or directory on it
    mountpoint: PathBuf,
}

#[derive(Serialize)]
struct Outcome {
    version: u32,
    /// Everything that was written before is durable.
    durable: bool,
    drained: bool,
    in_flight: u32,
    /// As in panic lines; `unknown` from a newer module.
    flush: &'static str,
    /// Why not all was written; null if it was.
    error: Option<String>,
    elapsed_ns: u64,
    epoch: u64,
}

impl Outcome {
    fn of(arg: &Quiesce) -> Self {
        let error = (arg.error != 0).then(|| Errno::from_raw_os_error(arg.error as i32));
        Self {
            version: 1,
            durable: arg.is_durable(),
            drained: arg.drained == 1,
            in_flight: arg.in_flight,
            flush: Flush::from_u32(arg.flush).map_or("unknown", Flush::name),
            error: error.map(|e| std::io::Error::from(e).to_string()),
            elapsed_ns: arg.elapsed_ns,
            epoch: arg.epoch,
        }
    }

    fn sentence(&self) -> String {
        let took = Duration::from_nanos(self.elapsed_ns).as_secs_f64() * 1e3;
        let written = match &self.error {
            None => "written back".to_string(),
            Some(e) => format!("not all written back ({e})"),
        };
        let drained = match (self.drained, self.in_flight) {
            (true, _) => "drained".to_string(),
            (false, 0) => "not drained".to_string(),
            (false, 1) => "not drained, 1 operation may be lost".to_string(),
            (false, n) => format!("not drained, {n} operations may be lost"),
        };
        let flush = match self.flush {
            "ok" => "cache flushed",
            "not-attempted" => "cache not flushed",
            "failed" => "cache flush failed",
            "timeout" => "cache flush not completed in time",
            "refused" => "cache flush refused",
            _ => "cache flush unknown",
        };
        format!("{written}; {drained}; {flush}; {took:.1} ms")
    }
}

/// Runs the command.
pub fn run(args: &QuiesceArgs) -> Result<ExitCode> {
    let name = args.mountpoint.display();
    let file = File::open(&args.mountpoint).with_context(|| format!("cannot open {name}"))?;
    let mut arg = Quiesce {
        timeout_ms: args.timeout,
        ..Quiesce::default()
    };
    permfs_ioctl::quiesce(&file, &mut arg).map_err(|e| match e {
        Errno::NOTTY => anyhow!("{name} is not on a mounted PermFS volume"),
        Errno::PERM => anyhow!("{name}: quiescing a volume takes CAP_SYS_ADMIN"),
        e => anyhow!(std::io::Error::from(e)).context(format!("cannot quiesce {name}")),
    })?;
    let outcome = Outcome::of(&arg);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        println!("{name}: {}", outcome.sentence());
    }
    Ok(ExitCode::from(u8::from(!outcome.durable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_that_was_not_said() {
        let drained = Quiesce {
            drained: 1,
            flush: Flush::Ok.as_u32(),
            ..Quiesce::default()
        };
        assert!(Outcome::of(&drained).durable);
        let lost = Quiesce {
            in_flight: 3,
            error: 110,
            ..Quiesce::default()
        };
        let not = [
            Quiesce {
                flush: Flush::Failed.as_u32(),
                ..drained
            },
            Quiesce {
                flush: 9,
                ..drained
            },
            Quiesce {
                error: 5,
                ..drained
            },
            lost,
        ];
        for arg in &not {
            assert!(!Outcome::of(arg).durable, "{arg:?}");
        }
        let text = Outcome::of(&lost).sentence();
        assert!(
            text.contains("not drained, 3 operations may be lost; cache not flushed"),
            "{text}"
        );
        assert!(text.starts_with("not all written back ("), "{text}");
    }
}
