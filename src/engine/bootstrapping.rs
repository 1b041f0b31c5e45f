//! Bootstrapping an engine into an import state of its own, and undoing what a failed bootstrap has begun.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_config::Bootstrap;
use sgtk_config::keys::Secrets;

use super::attempt::Attempt;
use super::callbacks::BootstrapCallbacks;
use super::classify;
use super::engine::Engine;
use super::file_watch::FileWatch;
use super::folder_turn::{self, FolderTurn};
use super::info::EngineInfo;
use super::live::{self, LiveEngine, THREADS_GRACE};
use super::root_handlers::{self, RootHandlers};
use crate::error::{BootstrapFailure, BootstrapStep, Error, Result};
use crate::host::steps_in_python;
use crate::host::{Host, Lender, PrivateState, TimeLimit, Turn, WarningFilters, learn_function, lending};
use crate::interpreter::{Interpreter, InterpreterError};

impl Host {
    /// Bootstraps an engine: imports the starting core, has Toolkit find the project's configuration, core
    /// and bundles, and start the engine. All of it happens in an import state of its own, so that engines of
    /// any number of projects are alive at once, among them several of one project, and leases of projects
    /// alternate with theirs.
    ///
    /// The bootstrap holds the turn, and others wait for it as for a lease, but for the time in which it
    /// waits itself: for an answer of the site, for a program such as git, between two files that it copies.
    /// Bundles that are not in the cache yet may have to be downloaded, so the first bootstrap of a
    /// configuration can take long.
    ///
    /// # Errors
    /// [`Error::Bootstrap`] says at which step it failed, what kind of failure it was, and with which
    /// exception; [`Error::BootstrapStopped`] where its progress callback asked for its end. The interpreter
    /// is then as it was before, and the next bootstrap may begin. Before anything begins:
    /// [`Error::NestedLease`], [`Error::LeaseTimeout`], [`Error::HostShutDown`].
    pub fn bootstrap(&self, bootstrap: &Bootstrap) -> Result<Engine> {
        self.bootstrap_with(bootstrap, &BootstrapCallbacks::new())
    }

    /// As [`bootstrap`](Self::bootstrap), with functions of the daemon's that are called on the way.
    ///
    /// # Errors
    /// As there.
    pub fn bootstrap_with(&self, bootstrap: &Bootstrap, callbacks: &BootstrapCallbacks) -> Result<Engine> {
        let span = tracing::info_span!("bootstrap", target = %bootstrap);
        let _entered = span.enter();
        self.refuse_if_closed(&bootstrap.to_string())?;
        live::end_with_the_interpreter(self);
        Python::attach(|py| {
            let mut before = Before::default();
            loop {
                match Begun::begin(py, self, bootstrap, callbacks, before)?.go_through()? {
                    Outcome::Engine(engine) => return Ok(engine),
                    Outcome::Locked { path, reached } => {
                        let lock = Some(folder_turn::wait(py, self, bootstrap, &path)?);
                        before = Before { lock, reached };
                    }
                }
            }
        })
    }
}

impl Lender for RootHandlers {
    fn lend(&self, py: Python<'_>) -> PyResult<()> {
        self.pause(py)
    }

    fn take_back(&self, py: Python<'_>) -> PyResult<()> {
        self.resume(py)
    }
}

/// What an attempt to bootstrap came to, where it did not fail.
enum Outcome {
    Engine(Engine),
    /// Another bootstrap of the same folder is on its way: it is to be waited for outside the turn, and this
    /// one begun anew.
    Locked {
        path: String,
        reached: f64,
    },
}

/// What is left of an attempt that had to wait.
#[derive(Default)]
struct Before<'py> {
    lock: Option<Bound<'py, PyAny>>,
    reached: f64,
}

/// A bootstrap whose turn has come.
struct Begun<'a, 'py> {
    py: Python<'py>,
    bootstrap: &'a Bootstrap,
    callbacks: &'a BootstrapCallbacks,
    state: Arc<PrivateState>,
    attempt: Arc<Attempt>,
    turn: Turn<'py>,
    filters: WarningFilters<'py>,
    root_handlers: Rc<RootHandlers>,
    secrets: Secrets,
    since: Instant,
    /// Ends after all of the turn, so that the next one does not rewrite what is being read.
    folder: FolderTurn<'py>,
}

impl<'a, 'py> Begun<'a, 'py> {
    fn begin(
        py: Python<'py>,
        host: &Host,
        bootstrap: &'a Bootstrap,
        callbacks: &'a BootstrapCallbacks,
        before: Before<'py>,
    ) -> Result<Self> {
        let state = PrivateState::new(host, &bootstrap.to_string());
        let turn = state.take_turn(py)?;
        // It may have been shut down while this waited.
        host.refuse_if_closed(&bootstrap.to_string())?;
        let attempt = Attempt::new(bootstrap, callbacks, &state, before.reached);
        let folder = FolderTurn::new(py, before.lock, attempt.busy(py)?)?;
        Ok(Self {
            py,
            bootstrap,
            callbacks,
            attempt,
            folder,
            state,
            turn,
            filters: WarningFilters::now(py)?,
            root_handlers: Rc::new(RootHandlers::now(py)?),
            secrets: Secrets::in_use(bootstrap.secrets()),
            since: Instant::now(),
        })
    }

    fn go_through(self) -> Result<Outcome> {
        let bootstrapped = self.engine().and_then(|bootstrapped| {
            // A host that was shut down meanwhile waits for this turn's end, and must have no engine after
            // it.
            self.state.host().refuse_if_closed(&self.bootstrap.to_string())?;
            // So does the end of the interpreter.
            match Interpreter::current() {
                Some(_) => Ok(bootstrapped),
                None => Err(InterpreterError::ShutDown.into()),
            }
        });
        match bootstrapped {
            Ok((engine, info, files)) => Ok(Outcome::Engine(self.succeed(engine, info, files))),
            Err(error) => {
                let locked = self.attempt.locked();
                let reached = self.attempt.fraction();
                let error = self.fail(error);
                locked.map_or(Err(error), |path| Ok(Outcome::Locked { path, reached }))
            }
        }
    }

    /// The steps. The interpreter is to be cleaned up where one fails.
    fn engine(&self) -> Result<(Py<PyAny>, EngineInfo, FileWatch)> {
        let py = self.py;
        let limit = self.bootstrap.timeout();
        let state = Arc::downgrade(&self.state);
        let others = move || state.upgrade().map(|state| state.children()).unwrap_or_default();
        let limit = limit.map(|limit| TimeLimit::start(py, "the bootstrap", limit, others)).transpose()?;
        let start =
            self.state.configs().core_to_start_from(&self.bootstrap.to_string(), self.bootstrap.core());
        let imported = start.map_err(Error::from).and_then(|location| self.state.import(py, location));
        let bootstrapped = imported.map(|()| {
            let _lending = lending(Rc::<RootHandlers>::clone(&self.root_handlers));
            self.toolkits_part()
        });
        // The limit ends here, whatever came of it.
        let outcome = match bootstrapped {
            Ok(bootstrapped) => match limit {
                Some(limit) => limit.finish(py, bootstrapped),
                None => bootstrapped,
            },
            Err(error) => {
                limit.map_or(Ok(()), |limit| limit.finish(py, Ok(())))?;
                return Err(self.failure(error));
            }
        };
        let engine = outcome.map_err(|error| self.exception(error))?;
        // Toolkit's code, or a bundle's, may have caught what was to end it.
        if let Some((step, why)) = self.attempt.why_ended() {
            return Err(self.failure_at(step, why));
        }
        self.attempt.enter(BootstrapStep::Verify);
        let info = EngineInfo::of(&self.bootstrap.to_string(), &engine);
        let info = info.map_err(|error| self.exception(error))?;
        self.state.settle(py, info.configuration.clone()).map_err(|error| self.failure(error))?;
        self.filters.keep_list().map_err(|error| self.exception(error))?;
        self.state.serve_bootstraps(py);
        let files = FileWatch::start(&self.state, &engine, self.folder.object());
        let files = files.map_err(|error| self.exception(error))?;
        Ok((engine.unbind(), info, files))
    }

    fn toolkits_part(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let sgtk = self.state.sgtk(py).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let options = python_value(py, &self.bootstrap.to_json())?;
        let [enter, progress, swap_core] = self.attempt.functions(py)?;
        let named = PyDict::new(py);
        named.set_item("swap_core", swap_core)?;
        named.set_item("make_user", self.callbacks.user_function(py)?)?;
        named.set_item("before_engine", self.callbacks.pre_engine_function(py)?)?;
        named.set_item("learn", learn_function(py, self.secrets.learner())?)?;
        named.set_item("turn", self.folder.object())?;
        steps_in_python::call_with(py, "bootstrap", (sgtk, options, enter, progress), &named)
    }

    fn succeed(self, engine: Py<PyAny>, info: EngineInfo, files: FileWatch) -> Engine {
        let py = self.py;
        let micros = self.since.elapsed().as_micros() as u64;
        tracing::info!(
            core = %info.core.display(),
            version = info.core_version,
            configuration = %info.configuration.display(),
            micros,
            "bootstrapped"
        );
        for difference in &info.differences {
            tracing::warn!("not as asked for: {difference}");
        }
        let root_handlers = self.root_handlers.appeared(py).unwrap_or_default();
        let state = Arc::clone(&self.state);
        let engine = LiveEngine::register(info, state, engine, root_handlers, files, self.secrets);
        self.attempt.complete(py);
        drop(self.turn);
        self.state.let_go_of_those_before(py);
        Engine::new(engine)
    }

    /// Undoes what was begun.
    fn fail(self, error: Error) -> Error {
        let py = self.py;
        // Exceptions are told as errors of the crate's, which show no keys.
        if self.state.sgtk(py).is_ok()
            && let Err(error) = steps_in_python::call(py, "destroy", ()).map_err(Error::from)
        {
            tracing::debug!(%error, "failed to destroy what a failed bootstrap has left");
        }
        let threads = self.state.end_threads(py, THREADS_GRACE);
        if !threads.is_empty() {
            tracing::warn!(?threads, "threads of a failed bootstrap did not end");
        }
        let handlers = self.root_handlers.appeared(py);
        let removed = handlers.and_then(|handlers| root_handlers::remove(py, handlers));
        if let Err(error) = removed.map_err(Error::from) {
            tracing::error!(%error, "failed to take the handlers of a failed bootstrap from the root logger");
        }
        if let Err(error) = self.filters.restore().map_err(Error::from) {
            tracing::error!(%error, "failed to restore the warnings filters");
        }
        drop(self.turn);
        self.state.retire(py);
        error
    }

    fn exception(&self, error: PyErr) -> Error {
        if let Some((step, why)) = self.attempt.why_ended() {
            return self.failure_at(step, why);
        }
        let step = self.attempt.step();
        let kind = classify::of_exception(self.py, &error, step);
        self.bootstrap_error(step, kind, error.into())
    }

    fn failure(&self, error: Error) -> Error {
        self.failure_at(self.attempt.step(), error)
    }

    fn failure_at(&self, step: BootstrapStep, error: Error) -> Error {
        if matches!(error, Error::BootstrapStopped { .. }) {
            return error;
        }
        let kind = classify::of_error(&error, step);
        self.bootstrap_error(step, kind, error)
    }

    fn bootstrap_error(&self, step: BootstrapStep, kind: BootstrapFailure, cause: Error) -> Error {
        Error::Bootstrap { target: self.bootstrap.to_string(), step, kind, cause: Box::new(cause) }
    }
}

/// JSON as Python's own values.
fn python_value<'py>(py: Python<'py>, value: &serde_json::Value) -> PyResult<Bound<'py, PyAny>> {
    // By way of Python's reader, so that there is one rule for it here and in workers.
    py.import("json")?.call_method1("loads", (value.to_string(),))
}
