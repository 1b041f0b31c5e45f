//! Handles events in worker processes, one for each project.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use sgtk_host::config::{Configs, CoreLocation};
use sgtk_host::{Call, CallHandle, PoolError, WorkerPool};

use crate::daemon::{Handled, Outcome, Time};
use crate::events::Event;
use crate::plugins::{Done, Failure, Fault};
use crate::support::{Expected, fault_of_file};

/// What the worker's half is called there: a name that no plugin has.
const MODULE: &str = "sgtk_event_worker";

/// A pool, and what is known of the plugins in it.
pub(crate) struct Workers {
    pool: WorkerPool,
    configs: Configs,
    files: Vec<PathBuf>,
    stopped: BTreeMap<String, Vec<String>>,
    waiting: VecDeque<(Event, u64, Waiting)>,
    /// The worker's half, as a file in a folder that goes with this value.
    module: tempfile::TempDir,
}

enum Waiting {
    Call { answer: CallHandle<Answer>, expected: Box<CoreLocation>, begun: Instant },
    Known(Outcome),
}

/// What the worker's half returns.
#[derive(Deserialize)]
struct Answer {
    fresh: bool,
    cores: Vec<Core>,
    callbacks: Vec<String>,
    stopped: Vec<String>,
    failures: Vec<Raised>,
    out_of_service: Vec<String>,
}

#[derive(Deserialize)]
struct Core {
    what: String,
    file: Option<String>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Raised {
    plugin: String,
    #[serde(rename = "type")]
    type_name: String,
    message: String,
    traceback: String,
}

impl Workers {
    /// `files` are the plugins, which lie in `folders`.
    pub(crate) fn new(
        configs: &Path,
        folders: &[PathBuf],
        files: Vec<PathBuf>,
        workers: usize,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let module = tempfile::tempdir()?;
        std::fs::write(module.path().join(MODULE).with_extension("py"), include_str!("worker.py"))?;
        let builder = WorkerPool::builder().configs(configs).revalidate_after(Duration::ZERO);
        let builder = folders.iter().fold(builder, |builder, folder| builder.plugin_path(folder));
        let pool = builder.plugin_path(module.path()).max_workers(workers).build()?;
        let configs = Configs::new(configs);
        let (stopped, waiting) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { pool, configs, files, stopped, waiting, module })
    }

    /// The temporary folder of the worker's half.
    pub(crate) fn folder(&self) -> PathBuf {
        self.module.path().to_owned()
    }

    pub(crate) fn configs(&self) -> &Configs {
        &self.configs
    }

    /// Each plugin that an error has stopped, with its project.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.stopped.iter();
        all.flat_map(|(project, plugins)| plugins.iter().map(|plugin| (&**project, &**plugin)))
    }

    pub(crate) fn shutdown(&self, limit: Duration) -> Result<(), PoolError> {
        self.pool.shutdown(limit)
    }

    /// How many events are on their way.
    pub(crate) fn on_their_way(&self) -> usize {
        self.waiting.len()
    }

    /// Hands an event to its project's worker. `read` is kept for the one who takes the outcome.
    pub(crate) fn begin(&mut self, event: Event, read: u64) {
        let waiting = self.hand_over(&event).unwrap_or_else(|outcome| Waiting::Known(*outcome));
        self.waiting.push_back((event, read, waiting));
    }

    fn hand_over(&self, event: &Event) -> Result<Waiting, Box<Outcome>> {
        let project = event.project.as_ref().ok_or_else(|| Box::new(Outcome::NoProject))?;
        let found = self.configs.find(&project.reference);
        let found = found.map_err(|error| Box::new(Outcome::Core("config", error.to_string())))?;
        let project = found.folder();
        let expected = self.configs.locate(project);
        let expected =
            Box::new(expected.map_err(|error| Box::new(Outcome::Core("config", error.to_string())))?);
        let text = RawValue::from_string(event.text.clone());
        let text = text.map_err(|error| Box::new(Outcome::Host(error.to_string())))?;
        let call = Call::new(format!("{MODULE}:handle"))
            .kwarg("project", project)
            .kwarg("files", &self.files)
            .kwarg("kind", &event.kind)
            .kwarg("attribute", &event.attribute)
            .kwarg("event", text);
        let answer = self.pool.submit(project, call).map_err(|error| Box::new(outcome_of(error)))?;
        Ok(Waiting::Call { answer, expected, begun: Instant::now() })
    }

    /// The outcome of the event that was handed over first.
    pub(crate) fn end(&mut self) -> Option<(Event, u64, Outcome)> {
        let (event, read, waiting) = self.waiting.pop_front()?;
        let outcome = match waiting {
            Waiting::Known(outcome) => outcome,
            Waiting::Call { answer, expected, begun } => match answer.wait() {
                Ok(answer) => self.outcome(answer, &expected, begun.elapsed()),
                Err(error) => outcome_of(error),
            },
        };
        Some((event, read, outcome))
    }

    fn outcome(&mut self, answer: Answer, expected: &CoreLocation, time: Duration) -> Outcome {
        self.stopped.insert(expected.project().to_owned(), answer.out_of_service);
        let version = answer.cores.first().and_then(|core| core.version.clone());
        let wanted = Expected::from(expected);
        let wrong_core = answer.cores.iter().find_map(|core| {
            let fault = fault_of_file(core.file.as_deref(), core.version.as_deref(), &wanted)?;
            Some(format!("{} {fault}", core.what))
        });
        let failures = answer.failures.into_iter().map(|raised| Failure {
            plugin: raised.plugin,
            error: Fault { type_name: raised.type_name, message: raised.message, text: raised.traceback },
        });
        let done =
            Done { callbacks: answer.callbacks, stopped: answer.stopped, failures: failures.collect() };
        Outcome::Handled(Handled {
            kind: expected.kind().to_string(),
            version: version.unwrap_or_else(|| "unknown".to_owned()),
            time: if answer.fresh { Time::Import(time) } else { Time::Swap(time) },
            done,
            wrong_core,
        })
    }
}

fn outcome_of(error: PoolError) -> Outcome {
    match error {
        PoolError::Config { .. } => Outcome::Core("config", error.to_string()),
        PoolError::NotStarted { .. } | PoolError::CircuitOpen { .. } => {
            Outcome::Core("core", error.to_string())
        }
        PoolError::WorkerLost { .. } => Outcome::Lost(error.to_string()),
        _ => Outcome::Host(error.to_string()),
    }
}
