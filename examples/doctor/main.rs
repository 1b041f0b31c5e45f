//! Examines a folder of pipeline configurations: does each project get its own core, whatever came before it?
//!
//! For each project: how its core is found, its version, whether it can be imported and how long that takes. Then every
//! ordered pair of projects is swapped, with a check of the core that Python code sees in each lease and a look at all
//! modules ([`sgtk_host::Host::audit`]). Then `--rounds` swaps in an order without a pattern, measured.
//!
//! `cargo run --example doctor` examines the fixtures, `cargo run --release --example doctor -- DIR` a studio's
//! configurations. `--json` prints what `findings.rs` describes.
//!
//! The exit status is 0 when everything is right; 1 when anything is wrong, a project that cannot be imported included,
//! or when the folder cannot be read or has no project; 2 when the arguments are wrong.

mod examination;
mod findings;
mod options;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use std::error::Error;
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
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("doctor: {error}");
            ExitCode::FAILURE
        }
    }
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
            fixtures.base()
        }
    };
    let host = Host::builder().configs(configs).build()?;
    // Draws on standard error, and only where that is a terminal.
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}")?);
    let findings = examination::examine(&host, options.rounds, &bar)?;
    bar.finish_and_clear();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        tables::print(&findings);
    }
    let interpreter = host.interpreter();
    drop(host);
    interpreter.shutdown(Duration::from_secs(10))?;
    Ok(findings.right)
}
