// SPDX-License-Identifier: GPL-2.0

//! `permfs doctor`: what a panic would leave if it came now.

mod facts;
mod findings;
#[cfg(test)]
mod tests;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};
use serde::Serialize;

use self::{
    facts::Facts,
    findings::{Finding, Grade},
};
use crate::plain::plain;

/// Say what a kernel panic would leave if it came now, and what stands in its way.
///
/// Looks at the panic lanes of the mounted volumes, at pstore and who owns it, at the kernel's policy after a panic,
/// at a crash kernel (kdump), at watchdogs, and at module signing. Nothing is written and nothing is tried: what a
/// lane can do in a panic is known only then. Must be run as root, for debugfs.
///
/// Exit status: 0, a panic leaves an account on a volume or in pstore and the machine comes up again; 1, it leaves one, and something is to be mended;
/// 2, it leaves none, or that could not be found out.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// Print JSON instead of sentences
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    version: u32,
    /// The worst grade of all findings.
    grade: Grade,
    /// What a panic would leave, in a sentence.
    leaves: String,
    findings: Vec<Finding>,
    facts: Facts,
}

impl Report {
    fn of(facts: Facts) -> Self {
        let findings = findings::of(&facts);
        let grade = findings.iter().map(|f| f.grade).max();
        Self {
            version: 1,
            grade: grade.unwrap_or(Grade::Good),
            leaves: findings::leaves(&facts),
            findings,
            facts,
        }
    }

    fn text(&self) -> String {
        let mut out = format!("A panic now: {}.\n\n", plain(&self.leaves));
        for finding in &self.findings {
            let mark = match finding.grade {
                Grade::Good => "ok  ",
                Grade::Mend => "mend",
                Grade::Bad => "BAD ",
            };
            out += &format!("{mark}  {:<10} {}\n", finding.about, plain(&finding.text));
            if let Some(advice) = &finding.advice {
                out += &format!("{:>18}{}\n", "", plain(advice));
            }
        }
        out
    }
}

/// Looks and says.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let facts = Facts::read(Path::new("/")).context("cannot look at this machine")?;
    let report = Report::of(facts);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(ExitCode::from(report.grade as u8))
}
