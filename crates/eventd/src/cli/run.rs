//! `run`: the daemon.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use indicatif::ProgressBar;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::prepare::Logging;
use super::progress::CatchUp;
use super::signals::{Asked, Signals};
use super::{Error, prepare};
use crate::config::Settings;
use crate::control::page::{self, Page};
use crate::control::{Operator, short, socket};
use crate::lanes::{Lanes, Shared, ids, shared_plugins};
use crate::queue::file::network_file_system;
use crate::queue::{BrokenOff, QueueError, SiteState, State};
use crate::report::log::Log;
use crate::source::lines;
use crate::source::poll::{Poller, Readers};
use crate::workers::Workers;

/// Options of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Say nothing on standard output.
    #[arg(long)]
    quiet: bool,
    /// Serve the status page and the numbers for Prometheus here: 127.0.0.1:8710. Default: [eventd] http.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Take the events from a file of JSON lines (- for standard input) and not from the site, and end when
    /// all are done.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

impl Run {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let mut signals = Signals::handle()?;
        let log = Log::start(20, !self.quiet);
        let begun = OnceLock::new();
        let start = async {
            let (settings, workers) = prepare::settings_and_workers(config).await?;
            // Nobody else sets it.
            let _ = begun.set(Arc::clone(&workers));
            let http = self.http.or_else(|| settings.http.clone());
            Daemon::start(settings, workers, &log, http, self.events.is_none()).await
        };
        let daemon = match signals.unless_ended(start).await {
            Some(Ok(daemon)) => daemon,
            failed => {
                // One that is importing the client would fill the log with its stack if it were ended now.
                if let Some(workers) = begun.into_inner() {
                    prepare::end(workers, LET_END).await;
                }
                return failed.map_or_else(|| Ok(ended_early()), |failed| failed.map(|_| ExitCode::SUCCESS));
            }
        };
        match self.events {
            None => daemon.serve(signals).await,
            Some(file) => daemon.feed(&file, signals).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How long workers of a daemon that could not start have for what they are doing.
const LET_END: Duration = Duration::from_secs(5);

/// Lanes are what has to be ready for events.
struct LaneReaders(Arc<Lanes>);

#[async_trait]
impl Readers for LaneReaders {
    async fn expect(&self, site: &Arc<str>, projects: Vec<i64>) -> Result<(), QueueError> {
        self.0.expect(site, projects).await
    }
}

/// A daemon that runs.
pub(super) struct Daemon {
    shared: Shared,
    lanes: Arc<Lanes>,
    pollers: JoinSet<()>,
    stop: watch::Sender<bool>,
    pid_file: Option<PathBuf>,
    socket: PathBuf,
    page: Option<std::net::SocketAddr>,
    logging: Logging,
}

impl Daemon {
    /// Starts all of it; with `poll`, the polls of the sites as well.
    pub(super) async fn start(
        settings: Arc<Settings>,
        workers: Arc<Workers>,
        log: &Log,
        http: Option<String>,
        poll: bool,
    ) -> Result<Daemon, Error> {
        if let Some(process) = settings.pid_file.as_deref().and_then(shotgun_events) {
            let file = settings.pid_file.as_deref().unwrap_or(Path::new("")).display();
            let words =
                "shotgunEvents runs still, as process {}: stop it first, or each event would be run twice";
            return Err(
                format!("[daemon] pidFile {file}: {}", words.replace("{}", &process.to_string())).into()
            );
        }
        let new = !settings.state.exists();
        let shared = prepare::shared(Arc::clone(&settings), workers, true)?;
        let logging = prepare::log(log, &shared);
        if let Some(before) = shared.queue.broken_off() {
            tell_broken_off(&before);
        }
        if let Some(kind) = network_file_system(&settings.state) {
            tracing::warn!(
                state = %settings.state.display(), kind,
                "the state is on a share, where neither a power failure nor a second daemon is kept from \
                 harming it: set [eventd] state to a local disk"
            );
        }
        take_over(&shared, new).await?;
        Daemon::begin(shared, logging, http, poll).await
    }

    /// The same, with what all parts share.
    pub(super) async fn begin(
        shared: Shared,
        logging: Logging,
        http: Option<String>,
        poll: bool,
    ) -> Result<Daemon, Error> {
        let settings = Arc::clone(&shared.settings);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), file = %settings.path.display(),
            "sgtk-eventd starts"
        );
        for note in &settings.notes {
            tracing::info!("{note}");
        }
        // What cannot be had is told before anything runs.
        let listener = socket::listen(&settings.socket)
            .map_err(|error| format!("cannot listen at {}: {error}", settings.socket.display()))?;
        let page = match http {
            Some(address) => Some(
                TcpListener::bind(&address)
                    .await
                    .map_err(|error| format!("cannot serve the page at {address}: {error}"))?,
            ),
            None => None,
        };
        shared.workers.prepare_projects().await?;
        let lanes = Arc::new(Lanes::new(shared.clone()));
        let (stop, stopped) = watch::channel(false);
        let mut ready = Vec::new();
        let mut wake = Vec::new();
        for site in settings.sites.iter().filter(|_| poll) {
            let woken = Arc::new(Notify::new());
            wake.push(Arc::clone(&woken));
            let mut poller = Poller {
                settings: Arc::clone(&settings),
                site: site.clone(),
                workers: Arc::clone(&shared.workers),
                queue: Arc::clone(&shared.queue),
                readers: Arc::new(LaneReaders(Arc::clone(&lanes))),
                board: Arc::clone(&shared.board),
                metrics: Arc::clone(&shared.metrics),
                wake: woken,
                stop: stopped.clone(),
                first: None,
            };
            if settings.has_shared_plugins() {
                poller.ask_first(shared_plugins(site)).await;
            }
            ready.push(poller);
        }
        lanes.start().await?;
        let operator = Arc::new(Operator { shared: shared.clone(), lanes: Arc::clone(&lanes) });
        tokio::spawn(socket::serve(listener, settings.socket.clone(), Arc::clone(&operator)));
        let mut pollers = JoinSet::new();
        for poller in ready {
            pollers.spawn(poller.run());
        }
        let mut page_at = None;
        if let Some(listener) = page {
            let local = listener.local_addr()?;
            page_at = Some(local);
            tracing::info!(address = %local, "the status page is served");
            let (token, webhook_secret) = (settings.http_token.clone(), settings.webhook_secret.clone());
            tokio::spawn(page::serve(listener, Page { operator, token, webhook_secret, wake }));
        }
        shared.queue.begin_run().await?;
        let pid_file = settings.pid_file.clone().filter(|file| write_pid(file));
        let socket = settings.socket.clone();
        Ok(Daemon { shared, lanes, pollers, stop, pid_file, socket, page: page_at, logging })
    }

    /// Its lanes.
    #[cfg(feature = "nats")]
    pub(super) fn lanes(&self) -> Arc<Lanes> {
        Arc::clone(&self.lanes)
    }

    /// Where the status page is.
    #[cfg_attr(not(feature = "demo"), expect(dead_code, reason = "only the demo shows it"))]
    pub(super) fn page(&self) -> Option<std::net::SocketAddr> {
        self.page
    }

    /// Works until a signal ends it.
    pub(super) async fn serve(self, mut signals: Signals) {
        tell_systemd(&[NotifyState::Ready]);
        let mut look =
            tokio::time::interval(self.shared.settings.fetch_interval.max(Duration::from_millis(100)));
        let mut alive = tokio::time::interval(watchdog());
        let mut progress = CatchUp::new(self.logging.is_on_stdout());
        let mut show = tokio::time::interval(Duration::from_secs(1));
        let mut refresh = tokio::time::interval(Duration::from_secs(3600));
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::End => break,
                    Asked::Reload => {
                        tracing::info!("SIGHUP: all plugins are loaded anew");
                        self.lanes.reload().await;
                    }
                },
                _ = look.tick() => self.lanes.look().await,
                // The answer comes by way of the queue's own thread: it is alive as well.
                _ = alive.tick() => if self.shared.queue.state().await.is_ok() {
                    tell_systemd(&[NotifyState::Watchdog]);
                },
                _ = show.tick(), if std::io::stderr().is_terminal() => {
                    // Where the state cannot be read, others say so.
                    if let Ok(state) = self.shared.queue.state().await {
                        progress.show(&state, self.ahead(&state));
                    }
                }
                _ = refresh.tick() => self.shared.workers.refresh(),
            }
        }
        self.drain().await;
    }

    /// How many ids the sites have above those that were seen, as far as that is known.
    fn ahead(&self, state: &State) -> u64 {
        let of = |(site, known): (&Arc<str>, &SiteState)| {
            let latest = self.shared.board.site(site).latest?;
            u64::try_from(latest - known.cursor).ok()
        };
        state.sites.iter().filter_map(of).sum()
    }

    /// Has lanes do the events of a file, and ends.
    async fn feed(self, file: &Path, mut signals: Signals) -> Result<(), Error> {
        let fed = signals.unless_ended(self.do_file(file)).await;
        self.drain().await;
        fed.unwrap_or_else(|| Err("it was ended by a signal before all events of the file were done".into()))
    }

    async fn do_file(&self, file: &Path) -> Result<(), Error> {
        let site = self.shared.settings.sites.first().ok_or("there is no site")?;
        let bar = ProgressBar::new_spinner().with_message("lines read");
        let readers = LaneReaders(Arc::clone(&self.lanes));
        let told = |lines: usize| bar.set_position(lines as u64);
        let events = lines::feed(file, &site.name, &*self.shared.queue, &readers, told).await?;
        bar.finish_and_clear();
        self.catch_up(events as u64).await
    }

    /// Waits until no lane has anything to do any more, but for those that have stopped or are paused.
    async fn catch_up(&self, events: u64) -> Result<(), Error> {
        let mut progress = CatchUp::new(self.logging.is_on_stdout());
        loop {
            let state = self.shared.queue.state().await?;
            if progress.show(&state, 0) == 0 {
                tracing::info!(events, dead = state.dead, "all events of the file are done");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes no more events, lets callbacks end, and ends the workers.
    async fn drain(mut self) {
        tell_systemd(&[NotifyState::Stopping]);
        tracing::info!("sgtk-eventd ends: callbacks that run are waited for");
        self.stop.send_replace(true);
        self.shared.queue.rest().await;
        while self.pollers.join_next().await.is_some() {}
        self.lanes.stop(self.shared.settings.stop_timeout).await;
        self.logging.end_mails().await;
        prepare::end(Arc::clone(&self.shared.workers), Duration::from_secs(2)).await;
        if let Err(error) = self.shared.queue.shut_down().await {
            tracing::error!(%error, "the state could not be closed");
        }
        for file in self.pid_file.iter().chain([&self.socket]) {
            // Somebody may have removed it.
            let _ = std::fs::remove_file(file);
        }
        tracing::info!("sgtk-eventd has ended");
    }
}

/// How many events that were running are named.
const NAMED: usize = 20;

/// Says that the run before was broken off, and in the middle of what.
fn tell_broken_off(before: &BrokenOff) {
    let BrokenOff { process, since, restarted, done, running } = before;
    let cause = if *restarted { "the machine was started anew" } else { "it was killed, or crashed" };
    let mut again: Vec<String> =
        running.iter().take(NAMED).map(|(lane, event)| format!("event {event} of {}", short(lane))).collect();
    if running.len() > NAMED {
        again.push(format!("{} more", running.len() - NAMED));
    }
    let again = if again.is_empty() { "nothing".to_owned() } else { again.join(", ") };
    tracing::warn!(
        process,
        since,
        cause,
        done_and_not_written = done,
        running = again,
        "the run before did not end in good order; no event is lost, and what was running is run again, but \
         for plugins of [eventd] once"
    );
}

/// What there is to say where a signal has ended a daemon before it worked.
pub(super) fn ended_early() -> ExitCode {
    tracing::info!("sgtk-eventd was ended while it started");
    ExitCode::SUCCESS
}

/// The process of a shotgunEvents that runs, by its file.
fn shotgun_events(pid_file: &Path) -> Option<u32> {
    let process: u32 = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let words = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let is_its = |word: &[u8]| word.ends_with(b"shotgunEventDaemon.py");
    words.split(|byte| *byte == 0).any(is_its).then_some(process)
}

/// Goes on where shotgunEvents was, where there is no state yet.
async fn take_over(shared: &Shared, new: bool) -> Result<(), Error> {
    let settings = &shared.settings;
    let (Some(file), Some(site)) = (&settings.event_id_file, settings.sites.first()) else { return Ok(()) };
    if !new || !file.exists() {
        return Ok(());
    }
    let imported = async {
        match ids::read(&shared.workers, &settings.plugin_paths, &site.name, file).await? {
            Some(plan) => ids::import(&*shared.queue, plan).await.map(Some),
            None => Ok(None),
        }
    };
    match imported.await {
        Ok(Some(imported)) => {
            tracing::info!(
                file = %file.display(),
                plugins = imported.plugins,
                event = imported.cursor,
                "plugins go on where shotgunEvents was"
            );
            Ok(())
        }
        Ok(None) => {
            tracing::warn!(file = %file.display(), "the id file knows none of the plugins");
            Ok(())
        }
        Err(error) => {
            // Beginning at the latest event would lose what has happened since.
            let path = settings.state.display();
            remove_state(&settings.state);
            Err(format!(
                "{error}. Repair it, or move it away to begin at the site's latest event; the new state \
                 {path} was removed again"
            )
            .into())
        }
    }
}

/// Removes a state that was made a moment ago.
fn remove_state(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // What is not there need not go.
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}

/// Says something to systemd, where it has started this.
pub(super) fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}

/// How often the watchdog wants to hear something: half of its patience.
pub(super) fn watchdog() -> Duration {
    let mut micros = 0;
    if sd_notify::watchdog_enabled(false, &mut micros) && micros > 0 {
        return Duration::from_micros(micros / 2).max(Duration::from_millis(100));
    }
    Duration::from_secs(3600)
}

/// Writes the process id, as init scripts expect it. What keeps two daemons apart is the state's lock.
fn write_pid(file: &Path) -> bool {
    let written = std::fs::write(file, format!("{}\n", std::process::id()));
    if let Err(error) = &written {
        tracing::warn!(file = %file.display(), %error, "[daemon] pidFile: it cannot be written");
    }
    written.is_ok()
}
