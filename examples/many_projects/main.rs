//! What many projects on one core cost: memory, first imports, swaps, and looks at all of them.
//!
//! `cargo run --release --example many_projects` lays out configurations of the fixtures' core, all attached
//! to one; `-- --core DIR` attaches them to the core of a configuration instead (`DIR/install/core`).
//! `--counts 1,10,100,1000` says at how many projects a line of the table is printed, `--no-code-cache` keeps
//! compiled code in memory alone.
//!
//! Imports are given as the median since the line before, and as processor time per project beside it, which
//! tells more where the machine has other work. Swaps are between projects that are not each other's
//! neighbours.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "it has what the other examples need as well")]
mod support;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host::config::CodeCache;
use sgtk_host_fixtures::{Configs, Core};

/// About as much source in the zips as the real core's, relative to its modules.
const VENDOR_LINES: usize = 4_000;

const SWAPS: usize = 2_000;

const USAGE: &str = "usage: many_projects [--core DIR] [--counts 1,10,100,1000] [--no-code-cache]";

struct Options {
    core: Option<PathBuf>,
    counts: Vec<usize>,
    code_cache: CodeCache,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) => support::exit_status("many_projects", run(&options)),
        Err(reason) => {
            eprintln!("many_projects: {reason}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { core: None, counts: vec![1, 10, 100, 1_000], code_cache: CodeCache::standard() };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match &*argument {
            "--core" => options.core = Some(value()?.into()),
            "--counts" => {
                let counts: Result<_, _> = value()?.split(',').map(str::parse).collect();
                options.counts = counts.map_err(|error| format!("--counts: {error}"))?;
                options.counts.sort_unstable();
            }
            "--no-code-cache" => options.code_cache = CodeCache::off(),
            other => return Err(format!("unknown argument '{other}'")),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let configs = Configs::new()?;
    support::remove_when_interrupted(vec![configs.root()])?;
    let projects: Vec<String> =
        (1..=options.counts.last().copied().unwrap_or(0)).map(|number| format!("p{number:04}")).collect();
    let core = Core::newer("v0.24.0").vendor_lines(VENDOR_LINES);
    for project in &projects {
        configs.attached(project, &core)?;
        if let Some(core) = &options.core {
            configs.pointer(project, core.canonicalize()?.to_string_lossy().as_ref())?;
        }
    }
    let host = Host::builder().configs(configs.base()).code_cache(options.code_cache.clone()).build()?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| projects | memory | each | import (median) | processor time | swap p50 | p99 | audit | resident |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
    let empty = support::resident_memory();
    let (mut imported, mut is_right) = (0, true);
    for &count in &options.counts {
        let mut imports = Vec::new();
        let worked = processor_time();
        for project in &projects[imported..count] {
            let start = Instant::now();
            host.with_sgtk(project.as_str(), |_| Ok(()))?;
            imports.push(start.elapsed());
        }
        let worked = (processor_time() - worked) / imports.len().max(1) as u32;
        imported = count;
        let memory = support::resident_memory();
        let each = memory.zip(empty).map(|(now, empty)| (now - empty) / count.max(1) as u64);
        let swaps = swaps(&host, &projects[..count])?;
        let start = Instant::now();
        let (found, audit) = Python::attach(|py| host.audit(py).map(|found| (found, start.elapsed())))?;
        is_right &= found.is_empty();
        let start = Instant::now();
        is_right &= host.residents().len() == count;
        let resident = start.elapsed();
        writeln!(
            out,
            "| {count} | {} | {} | {:.0} ms | {:.0} ms | {} | {} | {:.1} ms | {:.2} ms |",
            support::mebibytes(memory),
            support::mebibytes(each),
            support::percentile(&imports, 50).unwrap_or(0) as f64 / 1e3,
            worked.as_secs_f64() * 1e3,
            support::micros(support::percentile(&swaps, 50)),
            support::micros(support::percentile(&swaps, 99)),
            audit.as_secs_f64() * 1e3,
            resident.as_secs_f64() * 1e3,
        )?;
        out.flush()?;
    }
    Ok(is_right)
}

/// How long leases take, project after project in strides.
fn swaps(host: &Host, projects: &[String]) -> sgtk_host::Result<Vec<Duration>> {
    // A prime, so that each comes up.
    let mut turn = (0..).map(|index: usize| &*projects[index * 7_919 % projects.len()]);
    Python::attach(|py| {
        (0..SWAPS)
            .map(|_| {
                let project = turn.next().unwrap_or_default();
                let start = Instant::now();
                host.lease(py, project)?.finish()?;
                Ok(start.elapsed())
            })
            .collect()
    })
}

/// What this process has used of the processors.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of this function's.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
