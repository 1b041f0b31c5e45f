//! Examines a folder of pipeline configurations: does each project get its own core, whatever came before it?
//!
//! For each configuration, those too that something is wrong with: its project's number, how its core is
//! found, its version, whether it can be imported and how long that takes. Then every ordered pair of
//! projects is swapped (`--pairs sample`: some of them), with a check of the core that Python code sees in
//! each lease and a look at all that the swap could have changed ([`sgtk_host::Host::audit_projects`]). Then
//! `--rounds` swaps in an order without a pattern, measured, and a look at everything
//! ([`sgtk_host::Host::audit`]).
//!
//! `cargo run --example doctor` examines the fixtures, `cargo run --release --example doctor -- DIR` a
//! studio's configurations. `--json` prints what `findings.rs` describes.
//!
//! The exit status is 0 when everything is right; 1 when anything is wrong, a project that cannot be imported
//! included, or when the folder cannot be read or has no project; 2 when the arguments are wrong.

mod examination;
mod findings;
mod options;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sgtk_host::Host;

use crate::options::{Options, USAGE};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("doctor: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    support::exit_status("doctor", run(options))
}

/// Whether everything is right.
fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    if options.log {
        support::show_tracing();
    }
    let fixtures;
    let configs = match options.configs {
        Some(configs) => configs,
        None => {
            // In a temporary folder, which goes with this value.
            fixtures = sgtk_host_fixtures::bundled()?;
            support::remove_when_interrupted(vec![fixtures.root()])?;
            fixtures.base()
        }
    };
    let host = Host::builder().configs(configs).build()?;
    // Draws on standard error, and only where that is a terminal.
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}, {eta} left")?);
    let findings = examination::examine(&host, options.pairs, options.rounds, &bar)?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        tables::write(&mut out, &findings)?;
    }
    let interpreter = host.interpreter();
    drop(host);
    interpreter.shutdown(Duration::from_secs(10))?;
    Ok(findings.right)
}
