//! The program's commands.

mod ask;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod ids;
#[cfg(feature = "nats")]
mod many;
mod prepare;
mod progress;
mod run;
mod signals;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::control::socket::AskError;

/// What ends a command early, for the person who gave it.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs plugins for the events of ShotGrid (Flow Production Tracking) sites: those of shotgunEvents, with its
/// configuration file.
#[derive(Debug, Parser)]
#[command(
    name = "sgtk-eventd",
    version,
    after_help = "Exit status: 0 done; 1 it failed, or `check` found a fault; 2 the command is not understood; \
                  3 no daemon runs."
)]
struct Arguments {
    /// The configuration file. Default: shotgunEventDaemon.conf beside this program, or in /etc.
    #[arg(long, global = true, value_name = "FILE", env = "SGTK_EVENTD_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground, until SIGTERM or Ctrl-C; SIGHUP loads all plugins anew.
    #[command(alias = "foreground")]
    Run(run::Run),
    /// Many hosts: fill the stream of a NATS server with the events of the sites.
    #[cfg(feature = "nats")]
    Publish(many::Publish),
    /// Many hosts: run the plugins for the events of that stream, beside other hosts.
    #[cfg(feature = "nats")]
    Serve(many::Serve),
    /// Load everything, print the callbacks with their filters, try keys, cores, folders and mail, and change
    /// nothing.
    Check(check::Check),
    /// How the daemon is.
    Status(ask::Status),
    /// The events that failed for good, the last ones first.
    Dead(ask::Dead),
    /// Try an event that failed again, at once.
    Retry(ask::OfEvent),
    /// Have the plugins that have stopped at an event go on with the next; it becomes a dead letter.
    Skip(ask::OfEvent),
    /// Give an event out again, whatever has become of it.
    Replay(ask::Replay),
    /// Give a plugin no more events until it is resumed. They wait.
    Pause(ask::OfPlugin),
    /// Let a plugin go on that was paused or has stopped.
    Resume(ask::Resume),
    /// Load all plugins anew, in new processes, with what they import.
    Reload,
    /// Go on where shotgunEvents was, by its eventIdFile. `run` does so by itself where it has no state yet.
    ImportIds(ids::Import),
    /// Write an eventIdFile, so that shotgunEvents goes on where this daemon is.
    ExportIds(ids::Export),
    /// A daemon to look at: a site, plugins and a status page, all on this machine and gone with Ctrl-C.
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
    /// Of shotgunEvents; says what to do instead.
    #[command(hide = true, alias = "stop", alias = "restart")]
    Start {
        /// Whatever is said beside it.
        #[arg(hide = true)]
        more: Vec<String>,
    },
    /// Completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Prints a line. Whoever reads may have seen enough, as `head` has: then this ends as well.
fn say(line: impl Display) {
    let written = writeln!(io::stdout().lock(), "{line}");
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(feature = "embedded")]
    if std::env::args_os().nth(1).is_some_and(|word| word == crate::in_process::COMMAND) {
        return crate::in_process::host::main();
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sgtk-eventd: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(arguments.run());
    // A signal may have ended it while workers were being started, which nobody waits for any more.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sgtk-eventd: {error}");
            match error.downcast_ref::<AskError>() {
                Some(error) if error.is_absent() => ExitCode::from(NOT_RUNNING),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The exit status where no daemon runs, as init scripts have it.
const NOT_RUNNING: u8 = 3;

impl Arguments {
    async fn run(self) -> Result<ExitCode, Error> {
        let config = self.config.as_deref();
        match self.command {
            Command::Run(run) => run.run(config).await,
            #[cfg(feature = "nats")]
            Command::Publish(publish) => publish.run(config).await,
            #[cfg(feature = "nats")]
            Command::Serve(serve) => serve.run(config).await,
            Command::Check(check) => check.run(config).await,
            Command::Status(status) => status.run(config).await,
            Command::Dead(dead) => dead.run(config).await,
            Command::Retry(of) => of.retry(config).await,
            Command::Skip(of) => of.skip(config).await,
            Command::Replay(replay) => replay.run(config).await,
            Command::Pause(of) => of.pause(config).await,
            Command::Resume(resume) => resume.run(config).await,
            Command::Reload => ask::reload(config).await,
            Command::ImportIds(import) => import.run(config).await,
            Command::ExportIds(export) => export.run(config).await,
            #[cfg(feature = "demo")]
            Command::Demo(demo) => demo.run().await,
            Command::Start { .. } => {
                eprintln!(
                    "sgtk-eventd: start, stop and restart are for a service manager (deploy/sgtk-eventd.service \
                     is a unit for systemd). `run` is the daemon in the foreground; SIGTERM ends it"
                );
                Ok(ExitCode::from(2))
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Arguments::command(), "sgtk-eventd", &mut script);
                say(String::from_utf8_lossy(&script).trim_end());
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Arguments::command().debug_assert();
    }
}
