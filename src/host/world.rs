//! The interpreter's own state and whose it is now: puts import states in place and takes them out.
//!
//! [`World::place`] is the one way from one state to another. It runs with the interpreter held from start to end and
//! executes no Python code: all that it does is C-level work on dictionaries and lists, the collector is paused, and
//! whatever is replaced is kept alive until everything is in place ([`Replaced`]).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyBytes, PyDict, PyString};

use super::contents::{self, CollectorPaused};
use super::gate::Gate;
use super::import_locks::ImportLocks;
use super::judge::{self, Verdicts};
use super::late_import;
use super::layers::{By, DictLayer, ListLayer, Whose};
use super::log_levels::{self, LevelsForAll};
use super::names::Names;
use super::overlay::{Change, OverlayLayer};
use super::ownership;
use super::state::{Contents, ImportState};

/// The gate of this process's one interpreter.
pub(super) static GATE: Gate = Gate::new();

static WORLD: PyOnceLock<Mutex<World>> = PyOnceLock::new();

/// The variable that tells Toolkit which pipeline configuration it runs for.
const CURRENT_PC: &str = "TANK_CURRENT_PC";

/// Attributes of `sys` that are no project's: those with a layer of their own, and what the interpreter keeps about the
/// last uncaught exception.
const NOT_OVERLAID: [&str; 9] = [
    "modules",
    "path",
    "meta_path",
    "path_hooks",
    "path_importer_cache",
    "last_exc",
    "last_type",
    "last_value",
    "last_traceback",
];

/// What a change of the import state let go of. Dropping it may run destructors, so it is dropped last.
#[must_use = "to be dropped when all is in place"]
#[derive(Default)]
pub(super) struct Replaced(pub(super) Vec<Py<PyAny>>);

/// See the module's documentation.
pub(super) struct World {
    modules: DictLayer,
    loggers: DictLayer,
    levels: LevelsForAll,
    path: ListLayer,
    meta_path: ListLayer,
    path_hooks: ListLayer,
    sys: OverlayLayer,
    environ: OverlayLayer,
    sys_dict: Py<PyDict>,
    import_locks: ImportLocks,
    stdlib: String,
    /// The state that the interpreter holds now beside the daemon's own.
    in_place: Option<Arc<ImportState>>,
    /// The state that stays in place outside leases: the last `import_sgtk`'s. What changes while it is in place is the
    /// daemon's, but for what is Toolkit's by its name or place.
    ambient: Option<Arc<ImportState>>,
    /// Names of hooks and bundles among the daemon's modules which nothing told yet whose they are.
    unclaimed: Vec<Py<PyAny>>,
    /// Which of the daemon's `sys.path` entries lead into a Toolkit core.
    toolkit_entries: HashMap<String, bool>,
}

impl World {
    /// Gets to know the interpreter. To be called before anything else here, and before imports are wrapped.
    pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
        Names::prepare(py);
        CollectorPaused::prepare(py)?;
        WORLD.get_or_try_init(py, || Self::new(py).map(Mutex::new)).map(drop)
    }

    /// The world. Hold it for moments only and run no Python code meanwhile.
    ///
    /// # Errors
    /// It was not prepared.
    pub(super) fn lock(py: Python<'_>) -> PyResult<MutexGuard<'_, Self>> {
        let world = WORLD.get(py).ok_or_else(|| PyRuntimeError::new_err("no host was built yet"))?;
        // Nothing is meant to detach while it is locked; should anything, waiting detached keeps that from being the end.
        Ok(world.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner))
    }

    fn new(py: Python<'_>) -> PyResult<Self> {
        let sys_dict = py.import("sys")?.dict();
        let modules =
            sys_dict.get_item("modules")?.map(|modules| modules.cast_into::<PyDict>()).transpose()?;
        let modules = modules.ok_or_else(|| pyo3::exceptions::PyAttributeError::new_err("sys.modules"))?;
        let os = py.import("os")?;
        let environ = os.getattr("environ")?.getattr("_data")?.cast_into::<PyDict>()?;
        let logger = py.import("logging")?.getattr("Logger")?;
        let loggers = logger.getattr("manager")?.getattr("loggerDict")?.cast_into::<PyDict>()?;
        let os_file: PathBuf = os.getattr("__file__")?.extract()?;
        let stdlib = os_file.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        Ok(Self {
            modules: DictLayer::new(&modules)?,
            loggers: DictLayer::new(&loggers)?,
            levels: LevelsForAll::new(&logger)?,
            path: ListLayer::new(&sys_dict, "path")?,
            meta_path: ListLayer::new(&sys_dict, "meta_path")?,
            path_hooks: ListLayer::new(&sys_dict, "path_hooks")?,
            sys: OverlayLayer::new(&sys_dict, &NOT_OVERLAID),
            environ: OverlayLayer::new(&environ, &[]),
            sys_dict: sys_dict.unbind(),
            import_locks: ImportLocks::new(py)?,
            stdlib,
            in_place: None,
            ambient: None,
            unclaimed: Vec::new(),
            toolkit_entries: HashMap::new(),
        })
    }

    pub(super) fn in_place(&self) -> Option<&Arc<ImportState>> {
        self.in_place.as_ref()
    }

    pub(super) fn ambient(&self) -> Option<&Arc<ImportState>> {
        self.ambient.as_ref()
    }

    pub(super) fn set_ambient(&mut self, state: Option<Arc<ImportState>>) -> Option<Arc<ImportState>> {
        std::mem::replace(&mut self.ambient, state)
    }

    /// `sys.modules`.
    pub(super) fn modules<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.modules.live(py).clone()
    }

    /// The modules that the daemon sees outside leases.
    pub(super) fn daemon_modules<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        if self.in_place.is_none() { self.modules(py) } else { self.modules.base(py).clone() }
    }

    /// Puts `target` in place of whatever is there; `None` for the daemon's own state alone.
    ///
    /// Only for the thread that the gate let in. Does all that it can even where something fails on the way.
    ///
    /// # Errors
    /// The first Python error: no memory, or a `sys.path` that is no list any more, say.
    pub(super) fn place(
        &mut self,
        py: Python<'_>,
        target: Option<&Arc<ImportState>>,
    ) -> (Replaced, PyResult<()>) {
        let mut replaced = Replaced::default();
        let same = match (&self.in_place, target) {
            (Some(here), Some(there)) => Arc::ptr_eq(here, there),
            (None, None) => true,
            _ => false,
        };
        if same {
            return (replaced, Ok(()));
        }
        let _paused = CollectorPaused::new(py);
        let mut outcome = Ok(());
        if let Some(state) = self.in_place.take() {
            outcome = self.leave(py, &state, &mut replaced.0);
            late_import::DAEMON_HIDDEN.store(false, Ordering::Relaxed);
        }
        if let Some(state) = target {
            let entered = self.enter(py, state, &mut replaced.0);
            self.in_place = Some(Arc::clone(state));
            outcome = outcome.and(entered);
        }
        (replaced, outcome)
    }

    fn enter(
        &mut self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        replaced: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        self.send_strays_home(py)?;
        let contents = &mut *state.contents(py);
        let Contents {
            modules,
            bindings,
            loggers,
            levels,
            path,
            meta_path,
            path_hooks,
            sys,
            environ,
            rules,
            ..
        } = contents;
        let first = state.count_entry() == 0;

        self.modules.refresh(py, replaced)?;
        self.modules.combine(py, modules, replaced, |name, module| rules.hides_module(name, module))?;
        self.loggers.refresh(py, replaced)?;
        self.loggers.combine(py, loggers, replaced, |name, _| rules.claims_logger(name))?;
        self.sys.refresh(py, replaced, |value| {
            ownership::class_module(value).is_some_and(|module| ownership::recipe_takes(&module))
        })?;
        self.environ.refresh(py, replaced, |_| false)?;
        self.path.refresh(py, replaced)?;
        self.meta_path.refresh(py, replaced)?;
        self.path_hooks.refresh(py, replaced)?;

        let toolkit = &mut self.toolkit_entries;
        self.path.enter(py, path, replaced, |entry| is_toolkit_entry(toolkit, entry))?;
        self.meta_path.enter(py, meta_path, replaced, |finder| rules.hides_object(finder))?;
        self.path_hooks.enter(py, path_hooks, replaced, |hook| rules.hides_object(hook))?;
        self.sys.enter(py, sys, None, replaced)?;
        let current_pc = environment_key(py, CURRENT_PC);
        // The first import is to find the variable cleared, and sets it or not.
        let folder = if first { None } else { state.location().current_pc() };
        let value = folder.map(|folder| environment_value(py, folder));
        let differs = self.environ.enter(py, environ, Some((current_pc, value)), replaced)?;
        set_process_environment(py, differs);
        self.loggers.enter(py, loggers)?;
        if *levels != self.levels.now(py) {
            log_levels::forget(loggers.own.bind(py));
        }
        late_import::DAEMON_HIDDEN.store(modules.hides(), Ordering::Relaxed);
        self.modules.enter(py, modules)?;
        bindings.enter(py)
    }

    fn leave(
        &mut self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        replaced: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let is_ambient = self.ambient.as_ref().is_some_and(|ambient| Arc::ptr_eq(ambient, state));
        let by = if is_ambient { By::Daemon } else { By::Project };
        let contents = &mut *state.contents(py);
        contents.levels = self.levels.now(py);
        // The order counts: paths tell whose modules are, and modules whose finders and loggers. All is done, whatever
        // fails; the first error is the one to tell.
        let outcomes = [
            self.reclaim_modules(py, replaced),
            self.leave_path(py, contents, by, replaced),
            self.leave_modules(py, state, contents, by, replaced),
            self.leave_finders(py, contents, by, replaced),
            self.leave_loggers(py, contents, by, replaced),
        ];
        outcomes.into_iter().collect()
    }

    fn leave_path(
        &mut self,
        py: Python<'_>,
        contents: &mut Contents,
        by: By,
        replaced: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let (rules, toolkit) = (&contents.rules, &mut self.toolkit_entries);
        let whose = |entry: &Bound<'_, PyAny>| {
            let is_projects =
                by == By::Project || rules.is_root_entry(entry) || is_toolkit_entry(toolkit, entry);
            if is_projects { Whose::Project } else { Whose::Shared }
        };
        self.path.leave(py, &mut contents.path, replaced, by, whose)
    }

    fn leave_modules(
        &mut self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        contents: &mut Contents,
        by: By,
        replaced: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        if self.modules.untouched(py, &contents.modules) {
            let left = self.modules.leave(py);
            return left.and(contents.bindings.leave(py, replaced));
        }
        self.note_path_roots(py, contents);
        let verdicts = self.judge(py, state, contents);
        let Contents { modules, bindings, rules, .. } = contents;
        let whose = |name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>| match &verdicts {
            Ok(verdicts) => verdicts.of(name),
            Err(_) if rules.hides_module(name, module) => Whose::Nobody,
            Err(_) => Whose::Shared,
        };
        let mut shared = Vec::new();
        let whose = |name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>| {
            let whose = whose(name, module);
            if whose == Whose::Shared {
                shared.push(name.clone().unbind());
            }
            whose
        };
        let taken_over = self.modules.take_over(py, modules, replaced, by, whose);
        let restored = self.modules.leave(py);
        self.unclaimed.extend(shared.into_iter().filter(|name| is_unclaimed(name.bind(py))));
        bindings.find(modules.own.bind(py), self.modules.base(py));
        let unbound = bindings.leave(py, replaced);
        verdicts.map(drop).and(taken_over).and(restored).and(unbound)
    }

    /// Takes out finders, path hooks, attributes of `sys` and variables of the environment.
    fn leave_finders(
        &mut self,
        py: Python<'_>,
        contents: &mut Contents,
        by: By,
        replaced: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let Contents { modules, meta_path, path_hooks, sys, environ, rules, .. } = contents;
        let (own, base) = (modules.own.bind(py), self.modules.base(py));
        let is_projects = |object: &Bound<'_, PyAny>| match ownership::class_module(object) {
            // A finder of a host package that was first imported here stays with that package.
            Some(module) if !own.contains(PyString::new(py, &module)).unwrap_or(true) => {
                let is_hosts =
                    module != "builtins" && base.contains(PyString::new(py, &module)).unwrap_or(false);
                !(by == By::Daemon || is_hosts) || rules.claims_name(&module)
            }
            _ => true,
        };
        let whose = |object: &Bound<'_, PyAny>| {
            if is_projects(object) { Whose::Project } else { Whose::Shared }
        };
        let mut outcome = self.meta_path.leave(py, meta_path, replaced, by, whose);
        outcome = outcome.and(self.path_hooks.leave(py, path_hooks, replaced, by, whose));
        if by == By::Daemon {
            let is_projects_attribute =
                |change: &Change| change.1.as_ref().is_some_and(|value| is_projects(value.bind(py)));
            let current_pc = environment_key(py, CURRENT_PC);
            let is_current_pc = |change: &Change| change.0.bind(py).eq(&current_pc).unwrap_or(false);
            outcome = outcome
                .and(self.sys.keep_for_daemon(py, sys, replaced, is_projects_attribute))
                .and(self.environ.keep_for_daemon(py, environ, replaced, is_current_pc));
        }
        outcome = outcome.and(self.sys.leave(py, sys, replaced).map(drop));
        let restored = self.environ.leave(py, environ, replaced);
        outcome.and(restored.map(|restored| set_process_environment(py, &restored)))
    }

    fn leave_loggers(
        &mut self,
        py: Python<'_>,
        contents: &mut Contents,
        by: By,
        replaced: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let Contents { loggers, rules, .. } = contents;
        if self.loggers.untouched(py, loggers) {
            return self.loggers.leave(py);
        }
        let whose = |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| {
            if rules.claims_logger(name) { Whose::Project } else { Whose::Shared }
        };
        let taken_over = self.loggers.take_over(py, loggers, replaced, by, whose);
        taken_over.and(self.loggers.leave(py))
    }

    /// Gives `TANK_CURRENT_PC` the value that it has to have after the first import: the project's own configuration,
    /// or none, whatever that import has made of it.
    pub(super) fn set_current_pc(&self, py: Python<'_>) -> PyResult<()> {
        let Some(state) = &self.in_place else { return Ok(()) };
        let value = state.location().current_pc().map(|folder| environment_value(py, folder));
        let change = [(environment_key(py, CURRENT_PC), value)];
        self.environ.put(py, &change)?;
        set_process_environment(py, &change);
        Ok(())
    }

    /// Marks the modules that were imported since the state was put in place as the project's, so that their late
    /// imports are told from others' at once and not only when the project leaves.
    pub(super) fn adopt(&self, py: Python<'_>) -> PyResult<()> {
        let Some(state) = &self.in_place else { return Ok(()) };
        let _paused = CollectorPaused::new(py);
        let contents = &mut *state.contents(py);
        self.note_path_roots(py, contents);
        self.judge(py, state, contents).map(drop)
    }

    /// Moves projects' modules that are found among the daemon's own to their projects. A hook that is loaded by hand, on a
    /// thread that does not hold its project, gets there. Only while nothing is in place.
    pub(super) fn send_strays_home(&mut self, py: Python<'_>) -> PyResult<()> {
        let live = self.modules.live(py);
        let unclaimed = std::mem::take(&mut self.unclaimed).into_iter().filter_map(|name| {
            let name = name.into_bound(py);
            let module = contents::get(live, &name)?;
            Some((name, module))
        });
        let found: Vec<_> = self.modules.changes_of_the_daemon(py).into_iter().chain(unclaimed).collect();
        for (name, module) in found {
            match ownership::owner_of_module(&module).map(|owner| owner.current()) {
                Some(owner) => {
                    // What a dropped core's code loads is nobody's, and whoever uses it keeps it.
                    if !owner.is_retired() {
                        owner.contents(py).modules.take_in(&name, &module)?;
                    }
                    if contents::get(live, &name).is_some() {
                        live.del_item(&name)?;
                    }
                }
                None if is_unclaimed(&name) => self.unclaimed.push(name.unbind()),
                None => {}
            }
        }
        Ok(())
    }

    /// The owned modules of the state in place that another thread is still importing.
    pub(super) fn initializing(&self, py: Python<'_>) -> Vec<String> {
        let Some(state) = &self.in_place else { return Vec::new() };
        let contents = &*state.contents(py);
        let mut busy = self.import_locks.held_by_others(py);
        let live = self.modules.live(py);
        busy.retain(|name| {
            let loaded = live.get_item(name).ok().flatten();
            contents.rules.claims_name(name)
                || loaded.is_some_and(|module| contents.rules.owns_module(name, &ownership::origin(&module)))
        });
        busy
    }

    /// Modules from the path entries that the project has added are the project's; not those from folders that the daemon
    /// has on its own path, or the standard library's, which a project may repeat.
    fn note_path_roots(&self, py: Python<'_>, contents: &mut Contents) {
        let base = self.path.base().iter().filter_map(|entry| entry.bind(py).cast::<PyString>().ok());
        let mut shared: Vec<String> = base.map(|entry| entry.to_string_lossy().into_owned()).collect();
        shared.push(self.stdlib.clone());
        for entry in contents.path.front.iter().chain(&contents.path.back) {
            let Ok(entry) = entry.bind(py).cast::<PyString>() else { continue };
            let entry = entry.to_string_lossy();
            if !shared.iter().any(|shared| Path::new(shared).starts_with(entry.as_ref())) {
                contents.rules.add_root(&entry);
            }
        }
    }

    /// Judges and marks the modules that appeared since the state was put in place.
    fn judge(&self, py: Python<'_>, state: &Arc<ImportState>, contents: &Contents) -> PyResult<Verdicts> {
        let appeared = self.modules.changes(py, &contents.modules);
        let known = contents.modules.own.bind(py);
        judge::judge(py, &contents.rules, state, known, &appeared, &self.stdlib)
    }

    /// `sys.modules` given another dictionary changes nothing for the interpreter itself, only for those who ask `sys`.
    fn reclaim_modules(&self, py: Python<'_>, replaced: &mut Vec<Py<PyAny>>) -> PyResult<()> {
        let (sys, live) = (self.sys_dict.bind(py), self.modules.live(py));
        match sys.get_item(&Names::of(py).modules)? {
            Some(now) if now.is(live) => Ok(()),
            other => {
                replaced.extend(other.map(Bound::unbind));
                sys.set_item(&Names::of(py).modules, live)
            }
        }
    }
}

/// Whether this is the name of a hook or a bundle, which nobody but a project's code loads.
fn is_unclaimed(name: &Bound<'_, PyAny>) -> bool {
    name.cast::<PyString>().is_ok_and(|name| ownership::is_made_up(&name.to_string_lossy()))
}

/// Whether an entry of `sys.path` leads into a Toolkit core: its `python` folder, or a zip or folder of libraries that
/// it brings along.
///
/// Told by the core's layout and not by the mere presence of a `tank` package, as a core may be installed among other
/// packages in `site-packages`.
fn is_toolkit_entry(known: &mut HashMap<String, bool>, entry: &Bound<'_, PyAny>) -> bool {
    let Ok(entry) = entry.cast::<PyString>() else { return false };
    let entry = entry.to_string_lossy();
    if let Some(known) = known.get(entry.as_ref()) {
        return *known;
    }
    let path = Path::new(entry.as_ref());
    let is_toolkit = path.is_absolute()
        && path.ancestors().skip(1).take(4).any(|core| {
            let python = core.join("python");
            let inside = path == python
                || path.starts_with(core.join("requirements"))
                || path.starts_with(python.join("tank_vendor"));
            inside && python.join("tank").join("__init__.py").is_file()
        });
    known.insert(entry.into_owned(), is_toolkit);
    is_toolkit
}

/// The key under which `os.environ` keeps a variable: bytes, or upper-case text on Windows.
fn environment_key(py: Python<'_>, name: &str) -> Py<PyAny> {
    if cfg!(windows) {
        PyString::new(py, &name.to_uppercase()).into_any().unbind()
    } else {
        PyBytes::new(py, name.as_bytes()).into_any().unbind()
    }
}

fn environment_value(py: Python<'_>, path: &Path) -> Py<PyAny> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PyBytes::new(py, path.as_os_str().as_bytes()).into_any().unbind()
    }
    #[cfg(not(unix))]
    {
        PyString::new(py, &path.to_string_lossy()).into_any().unbind()
    }
}

/// Tells the C library's environment what `os.environ` was told, for child processes and C code.
fn set_process_environment(py: Python<'_>, changes: &[Change]) {
    for (key, value) in changes {
        let Some(key) = variable_text(key.bind(py)).filter(is_variable_name) else { continue };
        match value.as_ref().map(|value| variable_text(value.bind(py))) {
            Some(Some(value)) if !value.as_encoded_bytes().contains(&0) => {
                // SAFETY: Rust's own readers are kept out by std's lock. C code of other threads that calls `getenv`
                // at this moment is not: the same holds for every assignment to `os.environ` in Python, and the crate's
                // documentation says so.
                unsafe { std::env::set_var(key, value) }
            }
            Some(_) => {}
            None => {
                // SAFETY: as above.
                unsafe { std::env::remove_var(key) }
            }
        }
    }
}

/// `std::env` panics on names that Python itself would have refused.
fn is_variable_name(name: &OsString) -> bool {
    let bytes = name.as_encoded_bytes();
    !bytes.is_empty() && !bytes.contains(&b'=') && !bytes.contains(&0)
}

fn variable_text(value: &Bound<'_, PyAny>) -> Option<OsString> {
    #[cfg(unix)]
    if let Ok(bytes) = value.cast::<PyBytes>() {
        use std::os::unix::ffi::OsStringExt;
        return Some(OsString::from_vec(bytes.as_bytes().to_vec()));
    }
    value.cast::<PyString>().ok().map(|text| OsString::from(text.to_string_lossy().into_owned()))
}
