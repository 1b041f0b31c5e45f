//! `publish` and `serve`: many hosts, by way of NATS JetStream.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use sd_notify::NotifyState;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::prepare::Logging;
use super::run::{Daemon, ended_early, tell_systemd, watchdog};
use super::signals::{Asked, Signals};
use super::{Error, prepare, say};
use crate::config::Settings;
use crate::lanes::{Shared, serves};
use crate::nats::{NatsQueue, NatsSettings, Role};
use crate::queue::{Queue as _, QueueError};
use crate::report::log::Log;
use crate::source::lines;
use crate::source::poll::{Poller, Readers};

/// Where the server is, and who this is.
#[derive(Debug, Args)]
struct Where {
    /// The NATS server: nats://a:4222, or several with commas in between. Default: [nats] url.
    #[arg(long, value_name = "URL", env = "SGTK_EVENTD_NATS")]
    nats: Option<String>,
    /// This host's name. Default: [nats] host, else the machine's.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Say nothing on standard output.
    #[arg(long)]
    quiet: bool,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    at: Where,
    /// All hosts, with commas in between. Others that come are found. Default: [nats] hosts.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Serve the status page and the numbers for Prometheus here. Default: [eventd] http.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
}

/// Options of `publish`.
#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    at: Where,
    /// Begin after this event: for a stream that was lost, or is new.
    #[arg(long, value_name = "ID")]
    since: Option<i64>,
    /// The site that --since is of, where there are several.
    #[arg(long, requires = "since")]
    site: Option<String>,
    /// Take the events from a file of JSON lines (- for standard input) and not from the site, and end when
    /// all are in the stream.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// The machine's name, where no other is given.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Where {
    fn settings(&self, settings: &Settings, hosts: &[String]) -> Result<NatsSettings, Error> {
        let nats = &settings.nats;
        let url = self.nats.clone().or_else(|| nats.url.clone());
        let url = url.ok_or("which NATS server? Name it with --nats or [nats] url")?;
        let mut options = nats.options.clone();
        if !hosts.is_empty() {
            options.hosts = hosts.to_vec();
        }
        Ok(NatsSettings {
            url,
            host: self.host.clone().or_else(|| nats.host.clone()).unwrap_or_else(machine),
            options,
        })
    }
}

fn sites(settings: &Settings) -> Vec<Arc<str>> {
    settings.sites.iter().map(|site| Arc::clone(&site.name)).collect()
}

impl Serve {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let mut signals = Signals::handle()?;
        let Some(daemon) = signals.unless_ended(self.start(config)).await else {
            return Ok(ended_early());
        };
        daemon?.serve(signals).await;
        Ok(ExitCode::SUCCESS)
    }

    async fn start(self, config: Option<&Path>) -> Result<Daemon, Error> {
        let log = Log::start(20, !self.at.quiet);
        let settings = prepare::settings(config).await?;
        let nats = self.at.settings(&settings, &self.hosts)?;
        let together = settings.lanes == crate::config::Lanes::Shared;
        let connected = NatsQueue::connect(nats, sites(&settings), Role::Host { together }).await;
        let (queue, mut arrivals) = connected?;
        let http = self.http.or_else(|| settings.http.clone());
        let workers = prepare::workers(&settings)?;
        let shared = prepare::on(Arc::new(queue), Arc::clone(&settings), workers, true);
        let logging = prepare::log(&log, &shared);
        let daemon = Daemon::begin(shared, logging, http, false).await?;
        let lanes = daemon.lanes();
        tokio::spawn(async move {
            while let Some((site, project)) = arrivals.recv().await {
                if let Err(error) = lanes.expect(&site, [project]).await {
                    tracing::error!(
                        %error, project,
                        "the lanes of a project cannot be opened; tried again in half a minute"
                    );
                }
            }
        });
        Ok(daemon)
    }
}

/// Consumers have to be there before the events.
struct Consumers {
    queue: Arc<NatsQueue>,
    shared: Shared,
}

#[async_trait]
impl Readers for Consumers {
    async fn expect(&self, site: &Arc<str>, projects: Vec<i64>) -> Result<(), QueueError> {
        let sites = &self.shared.settings.sites;
        let Some(settings) = sites.iter().find(|one| one.name == *site) else { return Ok(()) };
        let mut with = Vec::new();
        for project in projects {
            if serves(&self.shared, settings, project, false).await? {
                with.push(project);
            }
        }
        self.queue.expect(site, &with).await
    }
}

impl Publish {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let mut signals = Signals::handle()?;
        let file = self.events.clone();
        let Some(publisher) = signals.unless_ended(self.start(config)).await else {
            return Ok(ended_early());
        };
        match file {
            Some(file) => publisher?.feed(&file, signals).await?,
            None => publisher?.poll(signals).await?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn start(self, config: Option<&Path>) -> Result<Publisher, Error> {
        let log = Log::start(20, !self.at.quiet);
        let settings = prepare::settings(config).await?;
        let nats = self.at.settings(&settings, &[])?;
        let (queue, _) = NatsQueue::connect(nats, sites(&settings), Role::Publisher).await?;
        let queue = Arc::new(queue);
        if let Some(id) = self.since {
            let named = |name: &String| settings.sites.iter().find(|site| *site.name == **name);
            let site = match &self.site {
                Some(name) => named(name).ok_or_else(|| format!("there is no site '{name}'"))?,
                None => settings.sites.first().ok_or("there is no site")?,
            };
            queue.begin_after(&site.name, id).await?;
        }
        let workers = prepare::workers(&settings)?;
        let shared = prepare::on(Arc::clone(&queue) as _, settings, workers, false);
        let logging = prepare::log(&log, &shared);
        let readers = Arc::new(Consumers { queue: Arc::clone(&queue), shared: shared.clone() });
        tracing::info!(version = env!("CARGO_PKG_VERSION"), host = queue.host(), "sgtk-eventd publishes");
        Ok(Publisher { queue, shared, readers, logging })
    }
}

/// A publisher that is ready.
struct Publisher {
    queue: Arc<NatsQueue>,
    shared: Shared,
    readers: Arc<Consumers>,
    logging: Logging,
}

impl Publisher {
    /// Puts the events of a file into the stream.
    async fn feed(self, file: &Path, mut signals: Signals) -> Result<(), Error> {
        let site = self.shared.settings.sites.first().ok_or("there is no site")?;
        let feed = lines::feed(file, &site.name, &*self.queue, &*self.readers, |_| {});
        let fed = signals.unless_ended(feed).await;
        prepare::end(self.shared.workers, Duration::ZERO).await;
        self.queue.shut_down().await?;
        let ended = "it was ended by a signal before all events of the file were in the stream";
        let count = fed.ok_or(ended)??;
        say(format_args!("{count} events are new in the stream"));
        Ok(())
    }

    /// Polls the sites until a signal ends it.
    async fn poll(mut self, mut signals: Signals) -> Result<(), Error> {
        let (stop, stopped) = watch::channel(false);
        let mut pollers = JoinSet::new();
        for site in &self.shared.settings.sites {
            let poller = Poller {
                settings: Arc::clone(&self.shared.settings),
                site: site.clone(),
                workers: Arc::clone(&self.shared.workers),
                queue: Arc::clone(&self.queue) as _,
                readers: Arc::clone(&self.readers) as _,
                board: Arc::clone(&self.shared.board),
                metrics: Arc::clone(&self.shared.metrics),
                wake: Arc::new(Notify::new()),
                stop: stopped.clone(),
                first: None,
            };
            pollers.spawn(poller.run());
        }
        tell_systemd(&[NotifyState::Ready]);
        let mut failed = false;
        // It has no plugins to load anew.
        let over = async { while signals.next().await == Asked::Reload {} };
        tokio::select! {
            () = over => {}
            _ = pollers.join_next() => failed = true,
            () = alive() => {}
        }
        tell_systemd(&[NotifyState::Stopping]);
        stop.send_replace(true);
        while pollers.join_next().await.is_some() {}
        self.logging.end_mails().await;
        prepare::end(self.shared.workers, Duration::from_secs(2)).await;
        self.queue.shut_down().await?;
        tracing::info!("sgtk-eventd has ended");
        if failed { Err("a site is not polled: the log says why".into()) } else { Ok(()) }
    }
}

/// Tells systemd's watchdog that this lives, forever.
async fn alive() {
    let mut alive = tokio::time::interval(watchdog());
    loop {
        alive.tick().await;
        tell_systemd(&[NotifyState::Watchdog]);
    }
}
