//! `demo`: a daemon to look at, on a site of this machine.

mod studio;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::run::Daemon;
use super::signals::Signals;
use super::{Error, prepare, say};
use crate::report::log::Log;

/// Options of `demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where the status page is; with port 0, at one that is free.
    #[arg(long, default_value = "127.0.0.1:8710")]
    http: String,
    /// Say all that the daemon logs.
    #[arg(long)]
    verbose: bool,
}

impl Demo {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let signals = Signals::handle()?;
        let log = Log::start(20, self.verbose);
        let studio = Arc::new(studio::Studio::new()?);
        let config = studio.config_file();
        let (settings, workers) = prepare::settings_and_workers(Some(&config)).await?;
        let daemon = Daemon::start(settings, workers, &log, Some(self.http.clone()), true).await?;
        let page = daemon.page().map_or(self.http, |address| address.to_string());
        say(format_args!("status page   http://{page}   (token for the buttons: {})", studio::TOKEN));
        say(format_args!("status here   sgtk-eventd status --watch --config {}", config.display()));
        say(format_args!("plugins       {}", studio.folder().join("plugins").display()));
        say("Edit a plugin there and it is loaded anew. Ctrl-C ends all of it.");
        let over = Arc::new(AtomicBool::new(false));
        let life = {
            let (studio, over) = (Arc::clone(&studio), Arc::clone(&over));
            std::thread::spawn(move || studio.live(&over))
        };
        daemon.serve(signals).await;
        over.store(true, Ordering::Relaxed);
        // It has nothing to say but that the site is gone.
        let _ = life.join();
        Ok(ExitCode::SUCCESS)
    }
}
