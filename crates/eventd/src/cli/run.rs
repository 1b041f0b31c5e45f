//! `run`: the daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{self, Settings};
use crate::lanes::{Lanes, Shared};
use crate::queue::file::FileQueue;
use crate::queue::{Queue, QueueError};
use crate::report::board::Board;
use crate::report::log::{Destinations, Log};
use crate::report::mail::Mailer;
use crate::report::metrics::Metrics;
use crate::report::timing::Timing;
use crate::source::poll::{Poller, Readers};
use crate::workers::{WorkerOptions, Workers};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Options of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Say nothing on standard output.
    #[arg(long)]
    quiet: bool,
}

impl Run {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let log = Log::start(20, !self.quiet);
        let path = config::find(config)?;
        let daemon = Daemon::start(&path, &log).await?;
        daemon.serve().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Lanes are what has to be ready for events.
struct LaneReaders(Arc<Lanes>);

#[async_trait]
impl Readers for LaneReaders {
    async fn expect(&self, site: &Arc<str>, projects: Vec<i64>) -> Result<(), QueueError> {
        self.0.expect(site, projects).await
    }
}

/// A daemon that runs.
struct Daemon {
    shared: Shared,
    lanes: Arc<Lanes>,
    pollers: JoinSet<()>,
    stop: watch::Sender<bool>,
    pid_file: Option<PathBuf>,
}

impl Daemon {
    async fn start(path: &Path, log: &Log) -> Result<Daemon, Error> {
        // The configuration says which Python workers are to be, so this one is read by the default.
        let first = Workers::new(&WorkerOptions::default())?;
        let settings = Settings::read(&first, path).await;
        tokio::task::spawn_blocking(move || first.shut_down(Duration::ZERO)).await?;
        let settings = Arc::new(settings?);
        let workers = Arc::new(Workers::new(&WorkerOptions {
            python: settings.python.clone(),
            configs: settings.configs.clone().filter(|_| !settings.project_paths.is_empty()),
            max_workers: settings.max_workers,
            memory: settings.memory_limit,
            idle: settings.idle,
        })?);
        let board = Arc::new(Board::default());
        let main = settings.log_file.as_ref().map(|name| settings.log_file_path(name));
        let mail = settings.emails.as_ref().map(|emails| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mailer = Mailer {
                workers: Arc::clone(&workers),
                board: Arc::clone(&board),
                config: settings.path.to_string_lossy().into_owned(),
                to: emails.to.clone(),
                digest: emails.digest,
            };
            tokio::spawn(mailer.run(receiver));
            sender
        });
        log.send_to(Destinations {
            main: main.clone(),
            per_plugin: settings.log_per_plugin.then(|| settings.log_file_path("")),
            level: settings.log_level,
            json: settings.log_json,
            mail,
        });
        tracing::info!(version = env!("CARGO_PKG_VERSION"), file = %path.display(), "sgtk-eventd starts");
        for note in &settings.notes {
            tracing::info!("{note}");
        }
        let timing = main.filter(|_| settings.timing_log).map(|mut path| {
            path.as_mut_os_string().push(".timing");
            Arc::new(Timing::new(path))
        });
        let queue: Arc<dyn Queue> = Arc::new(FileQueue::open(&settings.state)?);
        let metrics = Arc::new(Metrics::default());
        let shared = Shared { settings, workers, queue, board, metrics, timing };
        let lanes = Arc::new(Lanes::new(shared.clone()));
        lanes.start().await?;
        let (stop, stopped) = watch::channel(false);
        let mut pollers = JoinSet::new();
        for site in &shared.settings.sites {
            let poller = Poller {
                settings: Arc::clone(&shared.settings),
                site: site.clone(),
                workers: Arc::clone(&shared.workers),
                queue: Arc::clone(&shared.queue),
                readers: Arc::new(LaneReaders(Arc::clone(&lanes))),
                board: Arc::clone(&shared.board),
                metrics: Arc::clone(&shared.metrics),
                wake: Arc::new(Notify::new()),
                stop: stopped.clone(),
            };
            pollers.spawn(poller.run());
        }
        let pid_file = shared.settings.pid_file.clone().filter(|file| write_pid(file));
        Ok(Daemon { shared, lanes, pollers, stop, pid_file })
    }

    /// Works until a signal ends it.
    async fn serve(self) {
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
            tracing::error!("signals cannot be handled");
            return;
        };
        let mut look = tokio::time::interval(self.shared.settings.fetch_interval.max(Duration::from_millis(100)));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: all plugins are loaded anew");
                    self.lanes.reload().await;
                }
                _ = look.tick() => self.lanes.look().await,
            }
        }
        self.drain().await;
    }

    /// Takes no more events, lets callbacks end, and ends the workers.
    async fn drain(mut self) {
        tracing::info!("sgtk-eventd ends: callbacks that run are waited for");
        self.stop.send_replace(true);
        while self.pollers.join_next().await.is_some() {}
        self.lanes.stop(self.shared.settings.stop_timeout).await;
        let workers = Arc::clone(&self.shared.workers);
        let ended = tokio::task::spawn_blocking(move || workers.shut_down(Duration::from_secs(2))).await;
        if let Err(error) = ended {
            tracing::error!(%error, "workers may be left behind");
        }
        if let Err(error) = self.shared.queue.shut_down().await {
            tracing::error!(%error, "the state could not be closed");
        }
        if let Some(file) = &self.pid_file {
            // Somebody may have removed it.
            let _ = std::fs::remove_file(file);
        }
        tracing::info!("sgtk-eventd has ended");
    }
}

/// Writes the process id, as init scripts expect it. What keeps two daemons apart is the state's lock.
fn write_pid(file: &Path) -> bool {
    let written = std::fs::write(file, format!("{}\n", std::process::id()));
    if let Err(error) = &written {
        tracing::warn!(file = %file.display(), %error, "[daemon] pidFile: it cannot be written");
    }
    written.is_ok()
}
