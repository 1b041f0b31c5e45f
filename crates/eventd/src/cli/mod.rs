//! The program's commands.

mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs plugins for the events of ShotGrid (Flow Production Tracking) sites: those of shotgunEvents, with its configuration
/// file.
#[derive(Debug, Parser)]
#[command(name = "sgtk-eventd", version)]
struct Arguments {
    /// The configuration file. Default: shotgunEventDaemon.conf beside this program, or in /etc.
    #[arg(long, global = true, value_name = "FILE", env = "SGTK_EVENTD_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground, until SIGTERM or Ctrl-C.
    #[command(alias = "foreground")]
    Run(run::Run),
}

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sgtk-eventd: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Run(run) => run.run(arguments.config.as_deref()).await,
        }
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sgtk-eventd: {error}");
            ExitCode::FAILURE
        }
    }
}
