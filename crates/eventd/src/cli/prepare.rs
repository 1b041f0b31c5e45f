//! What commands have in common: the configuration, the workers, the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Error;
use crate::config::{self, Settings, SettingsError};
use crate::lanes::Shared;
use crate::projects::Projects;
use crate::queue::Queue;
use crate::queue::file::FileQueue;
use crate::report::log::{Destinations, Log};
use crate::report::mail::Mailer;
use crate::report::metrics::Metrics;
use crate::report::timing::Timing;
use crate::workers::{Worker, WorkerOptions, Workers};

/// Reads the configuration file.
pub(super) async fn settings(config: Option<&Path>) -> Result<Arc<Settings>, Error> {
    let path = config::find(config)?;
    // It says which Python workers are to be, so this one is read by the default.
    let workers = Workers::new(WorkerOptions::default())?;
    let worker = Worker::Plain("configuration".to_owned());
    let settings = Settings::read(&workers, &worker, &path).await;
    // Nothing waits for its end.
    tokio::spawn(end(Arc::new(workers), Duration::ZERO));
    Ok(Arc::new(settings?))
}

/// Reads the configuration file as a daemon does: by the worker that is needed first. That is the one of the
/// plugins where they share one, which is asked the first question to the site as well
/// ([`Poller::ask_first`]): to start a worker and to import the site's client takes most of the time until
/// the first event.
///
/// [`Poller::ask_first`]: crate::source::poll::Poller::ask_first
pub(super) async fn settings_and_workers(
    config: Option<&Path>,
) -> Result<(Arc<Settings>, Arc<Workers>), Error> {
    let path = config::find(config)?;
    let python = config::likely_value(&path, "python").map(PathBuf::from);
    let early = Workers::new(WorkerOptions { python: python.clone(), ..WorkerOptions::default() })?;
    // As `[shotgun]` is called.
    let plugins = Worker::Plain("plugins-shotgun".to_owned());
    let by = match config::likely_value(&path, "lanes").as_deref() {
        Some("plugin") => Worker::Plain("site-shotgun".to_owned()),
        _ => plugins.clone(),
    };
    let settings = Settings::read(&early, &by, &path).await;
    let settings = match settings {
        Ok(settings) => Arc::new(settings),
        Err(error) => {
            // Nothing waits for its end.
            tokio::spawn(end(Arc::new(early), Duration::ZERO));
            let never = matches!(&error, SettingsError::Read { cause, .. } if cause.classes.is_empty());
            return Err(match python {
                Some(python) if never => format!("{error} ([eventd] python is {})", python.display()).into(),
                _ => error.into(),
            });
        }
    };
    let options = options(&settings);
    if options.python == python && options.memory.is_none() {
        let is_asked_first = by != plugins || settings.has_shared_plugins();
        if !is_asked_first {
            early.replace(&plugins);
        }
        let workers = Arc::new(early.serving(options)?);
        if is_asked_first && let Some(site) = settings.sites.first() {
            begin(&workers, by, settings.setup(site));
        }
        return Ok((settings, workers));
    }
    tokio::spawn(end(Arc::new(early), Duration::ZERO));
    let workers = workers(&settings)?;
    Ok((settings, workers))
}

/// Has a worker import the site's client while the state is opened. What fails is told by the first question.
fn begin(workers: &Arc<Workers>, worker: Worker, setup: Value) {
    let workers = Arc::clone(workers);
    tokio::spawn(async move {
        let begun = workers.call::<()>(&worker, "site:begin", |call| call.arg(setup), None).await;
        if let Err(error) = begun {
            tracing::debug!(%error, "the site's client cannot be imported");
        }
    });
}

/// The workers that the configuration asks for.
pub(super) fn workers(settings: &Settings) -> Result<Arc<Workers>, Error> {
    Ok(Arc::new(Workers::new(options(settings))?))
}

fn options(settings: &Settings) -> WorkerOptions {
    WorkerOptions {
        python: settings.python.clone(),
        projects: settings
            .configs
            .as_deref()
            .filter(|_| !settings.project_paths.is_empty())
            .map(|base| Projects::new(base, settings.distributed.clone(), settings.sites.clone())),
        max_workers: settings.max_workers,
        memory: settings.memory_limit,
        idle: settings.idle,
        isolation: settings.isolation,
    }
}

/// Ends the workers.
pub(super) async fn end(workers: Arc<Workers>, grace: Duration) {
    let ended = tokio::task::spawn_blocking(move || workers.shut_down(grace)).await;
    if let Err(error) = ended {
        tracing::error!(%error, "workers may be left behind");
    }
}

/// All parts that the lanes share, on the state in its file.
pub(super) fn shared(settings: Arc<Settings>, workers: Arc<Workers>, timing: bool) -> Result<Shared, Error> {
    let queue = Arc::new(FileQueue::open(&settings.state)?);
    Ok(on(queue, settings, workers, timing))
}

/// The same, on another queue.
pub(super) fn on(
    queue: Arc<dyn Queue>,
    settings: Arc<Settings>,
    workers: Arc<Workers>,
    timing: bool,
) -> Shared {
    let main = settings.log_file.as_ref().map(|name| settings.log_file_path(name));
    let timing = main.filter(|_| timing && settings.timing_log).map(|mut path| {
        path.as_mut_os_string().push(".timing");
        Arc::new(Timing::new(path))
    });
    let (board, metrics) = (Arc::default(), Arc::new(Metrics::default()));
    Shared { settings, workers, queue, board, metrics, timing }
}

/// How long the last mails may take.
const MAILS: Duration = Duration::from_secs(20);

/// The log of a daemon, and what mails its errors.
pub(super) struct Logging {
    log: Log,
    mails: Option<JoinHandle<()>>,
}

/// Has the log go where the configuration says, errors by mail as well.
pub(super) fn log(log: &Log, shared: &Shared) -> Logging {
    let settings = &shared.settings;
    let (mut mail, mut mails) = (None, None);
    if let Some(emails) = &settings.emails {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mailer = Mailer {
            workers: Arc::clone(&shared.workers),
            board: Arc::clone(&shared.board),
            config: settings.path.to_string_lossy().into_owned(),
            to: emails.to.clone(),
            digest: emails.digest,
        };
        mails = Some(tokio::spawn(mailer.run(receiver)));
        mail = Some(sender);
    }
    log.send_to(Destinations {
        main: settings.log_file.as_ref().map(|name| settings.log_file_path(name)),
        per_plugin: settings.log_per_plugin.then(|| settings.log_file_path("")),
        level: settings.log_level,
        json: settings.log_json,
        mail,
    });
    Logging { log: log.clone(), mails }
}

impl Logging {
    /// Whether records go to standard output as well.
    pub(super) fn is_on_stdout(&self) -> bool {
        self.log.is_on_stdout()
    }

    /// Sends what was gathered, and nothing more from then on. To be called before the workers end.
    pub(super) async fn end_mails(&mut self) {
        self.log.end_mail();
        if let Some(mails) = self.mails.take()
            && tokio::time::timeout(MAILS, mails).await.is_err()
        {
            tracing::warn!("mails about errors could not be sent in time");
        }
    }
}
