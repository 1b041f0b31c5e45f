//! Commands that ask the daemon that runs.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Error, prepare, say};
use crate::control::{self, Request, first_line, short, socket};
use crate::queue::{DeadLetter, LaneName};

/// Options of `status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Show it again each second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

/// Options of `dead`.
#[derive(Debug, Args)]
pub(super) struct Dead {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// With tracebacks.
    #[arg(long)]
    full: bool,
    /// How many.
    #[arg(long, default_value_t = 20)]
    most: usize,
}

/// An event that failed.
#[derive(Debug, Args)]
pub(super) struct OfEvent {
    /// The event's id.
    #[arg(value_name = "ID")]
    event: i64,
    /// The plugin, by its name or path. Default: all in which the event failed.
    #[arg(long)]
    plugin: Option<String>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The event's id.
    #[arg(value_name = "ID")]
    event: i64,
    /// The plugin, by its name or path. Default: all.
    #[arg(long)]
    plugin: Option<String>,
    /// The site, where there are several.
    #[arg(long)]
    site: Option<String>,
}

/// A plugin.
#[derive(Debug, Args)]
pub(super) struct OfPlugin {
    /// Its name or path.
    plugin: String,
}

/// Options of `resume`.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The plugin's name or path, or with a project: note@176.
    plugin: String,
    /// The event that it has stopped at becomes a dead letter, and it goes on with the next.
    #[arg(long)]
    skip: bool,
}

async fn ask(config: Option<&Path>, request: &Request) -> Result<Value, Error> {
    let settings = prepare::settings(config).await?;
    Ok(socket::ask(&settings.socket, request).await?)
}

/// Says what was done to which lanes: `{"retried": [lanes]}`.
fn tell(answer: &Value) -> ExitCode {
    for (what, lanes) in answer.as_object().into_iter().flatten() {
        let lanes: Vec<LaneName> = serde_json::from_value(lanes.clone()).unwrap_or_default();
        let names: Vec<_> = lanes.iter().map(short).collect();
        say(format_args!("{what} {}", names.join(", ")));
    }
    ExitCode::SUCCESS
}

impl Status {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let settings = prepare::settings(config).await?;
        loop {
            let answer = socket::ask(&settings.socket, &Request::Status).await?;
            let text = if self.json {
                serde_json::to_string_pretty(&answer)?
            } else {
                serde_json::from_value::<control::Status>(answer)?.to_string()
            };
            if !self.watch {
                say(text.trim_end());
                return Ok(ExitCode::SUCCESS);
            }
            // From the upper left corner, and nothing of the last time below.
            say(format_args!("\x1b[H\x1b[2J{}", text.trim_end()));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

impl Dead {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let answer = ask(config, &Request::Dead { most: self.most }).await?;
        if self.json {
            say(serde_json::to_string_pretty(&answer)?);
            return Ok(ExitCode::SUCCESS);
        }
        for letter in serde_json::from_value::<Vec<DeadLetter>>(answer)? {
            let (lane, failure) = (short(&letter.lane), &letter.failure);
            let reason = if self.full { failure.reason.clone() } else { first_line(&failure.reason) };
            let tries = if letter.attempts == 1 { "try" } else { "tries" };
            let DeadLetter { at, event, attempts, .. } = &letter;
            say(format_args!("{at}  event {event}  {lane}  {attempts} {tries}  {reason}"));
            if let Some(traceback) = failure.traceback.as_ref().filter(|_| self.full) {
                say(format_args!("{traceback}\n"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl OfEvent {
    pub(super) async fn retry(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        Ok(tell(&ask(config, &Request::Retry { event: self.event, plugin: self.plugin }).await?))
    }

    pub(super) async fn skip(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        Ok(tell(&ask(config, &Request::Skip { event: self.event, plugin: self.plugin }).await?))
    }
}

impl Replay {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let request = Request::Replay { event: self.event, plugin: self.plugin, site: self.site };
        Ok(tell(&ask(config, &request).await?))
    }
}

impl OfPlugin {
    pub(super) async fn pause(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        Ok(tell(&ask(config, &Request::Pause { plugin: self.plugin }).await?))
    }
}

impl Resume {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        Ok(tell(&ask(config, &Request::Resume { plugin: self.plugin, skip: self.skip }).await?))
    }
}

pub(super) async fn reload(config: Option<&Path>) -> Result<ExitCode, Error> {
    ask(config, &Request::Reload).await?;
    say("all plugins are being loaded anew; the log says what has become of it");
    Ok(ExitCode::SUCCESS)
}
