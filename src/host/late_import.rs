//! Late imports: an `import` that a project's code runs on another thread, or after the project was parked, is served
//! from that project's modules and never from whatever is in place by then.
//!
//! `builtins.__import__` and `importlib.import_module` are wrapped once for the process. Whose the importing code is
//! follows from the caller's globals ([`caller::owner`]). A thread that holds the project, and code that
//! is nobody's, go to the previous function unchanged.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::caller;
use super::gate::Manner;
use super::ownership;
use super::pin::{self, Pin};
use super::state::ImportState;
use super::world::{GATE, World};
use crate::error::Error;

struct Previous {
    import: Py<PyAny>,
    import_module: Py<PyAny>,
}

static PREVIOUS: PyOnceLock<Previous> = PyOnceLock::new();

/// Whether the project that is in place hides modules of the daemon's.
pub(super) static DAEMON_HIDDEN: AtomicBool = AtomicBool::new(false);

/// How long a late import waits for its project's turn, in milliseconds.
static PATIENCE: AtomicU64 = AtomicU64::new(30_000);

/// Why a dropped core's code gets no modules but those that are still alive.
const SUPERSEDED: &str = "its core was dropped or imported anew since";

thread_local! {
    /// How many imports this thread is inside of.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Wraps the import functions, once.
pub(super) fn install(py: Python<'_>, patience: Duration) -> PyResult<()> {
    PATIENCE.store(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    let (builtins, importlib) = (py.import("builtins")?, py.import("importlib")?);
    let mut first = false;
    PREVIOUS.get_or_try_init(py, || {
        first = true;
        let import = builtins.getattr("__import__")?.unbind();
        PyResult::Ok(Previous { import, import_module: importlib.getattr("import_module")?.unbind() })
    })?;
    if first {
        builtins.setattr("__import__", wrap_pyfunction!(import, py)?)?;
        importlib.setattr("import_module", wrap_pyfunction!(import_module, py)?)?;
    }
    Ok(())
}

/// Runs `body` as an import of this thread's: what it brings is the host's to look at, not each nested import's.
pub(super) fn as_one_import<T>(body: impl FnOnce() -> T) -> T {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _inside = Inside;
    body()
}

/// Imports a module for the host itself, whatever Python code has called it: that code's project has no say in it.
pub(super) fn import_for_host<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyModule>> {
    // Any name but `None` has the import give the module itself and not the package that it is in.
    let (name, names) = (PyString::new(py, name), PyTuple::new(py, ["__name__"])?);
    let null = std::ptr::null_mut();
    // SAFETY: the interpreter is held, the name is a string and the list of names a tuple; globals and locals may be null
    // for an absolute import. The result is a new reference or null with an exception set.
    let module = unsafe {
        let module = ffi::PyImport_ImportModuleLevelObject(name.as_ptr(), null, null, names.as_ptr(), 0);
        Bound::from_owned_ptr_or_err(py, module)
    };
    Ok(module?.cast_into()?)
}

fn previous(py: Python<'_>) -> PyResult<&Previous> {
    PREVIOUS.get(py).ok_or_else(|| PyImportError::new_err("the import functions are not wrapped yet"))
}

/// An import as the caller asked for it.
struct Request<'a, 'py> {
    name: &'a Bound<'py, PyAny>,
    globals: Option<&'a Bound<'py, PyAny>>,
    locals: Option<&'a Bound<'py, PyAny>>,
    fromlist: Option<&'a Bound<'py, PyAny>>,
    level: Option<&'a Bound<'py, PyAny>>,
}

#[pyfunction]
#[pyo3(name = "__import__", signature = (name, globals=None, locals=None, fromlist=None, level=None))]
fn import<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    globals: Option<&Bound<'py, PyAny>>,
    locals: Option<&Bound<'py, PyAny>>,
    fromlist: Option<&Bound<'py, PyAny>>,
    level: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request { name, globals, locals, fromlist, level };
    let given = globals.and_then(|globals| globals.cast::<PyDict>().ok());
    let owner = caller::owner(py, given, name);
    let pass_on = || request.pass_on(py);
    match owner {
        None if pin::holds_any() => {
            if let Some(globals) = given {
                caller::claim_for_place(py, globals)?;
            }
            adopting(py, pass_on)
        }
        None if DAEMON_HIDDEN.load(Ordering::Relaxed) => {
            let wanted = request.wanted(py, None);
            serve_the_daemon(py, wanted.as_ref()).map_or_else(pass_on, Ok)
        }
        None => pass_on(),
        Some(state) if pin::holds(&state) => adopting(py, pass_on),
        Some(state) => {
            let globals = caller::running_globals(py);
            let globals = globals.as_ref().map(Bound::as_any);
            late(py, &state, request.wanted(py, request.globals.or(globals)), pass_on)
        }
    }
}

#[pyfunction]
#[pyo3(signature = (name, package=None))]
fn import_module<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    package: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let pass_on = || previous(py)?.import_module.bind(py).call1((name, package));
    let owner = caller::owner(py, None, name);
    let wanted = || Wanted::module(name, package);
    match owner {
        None if pin::holds_any() => adopting(py, pass_on),
        None if DAEMON_HIDDEN.load(Ordering::Relaxed) => {
            serve_the_daemon(py, wanted().as_ref()).map_or_else(pass_on, Ok)
        }
        None => pass_on(),
        Some(state) if pin::holds(&state) => adopting(py, pass_on),
        Some(state) => late(py, &state, wanted(), pass_on),
    }
}

/// Runs an import for a thread that holds the project in place, and marks the modules that it brought.
fn adopting<'py>(
    py: Python<'py>,
    import: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let before = module_count(py);
    let imported = as_one_import(import);
    if DEPTH.get() == 0 && module_count(py) != before {
        World::lock(py)?.adopt(py)?;
    }
    imported
}

/// How many modules `sys.modules` holds.
fn module_count(_attached: Python<'_>) -> ffi::Py_ssize_t {
    // SAFETY: the interpreter is held; PyImport_GetModuleDict gives a borrowed reference to its dictionary.
    unsafe { ffi::PyDict_Size(ffi::PyImport_GetModuleDict()) }
}

impl<'py> Request<'_, 'py> {
    fn pass_on(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let none = py.None();
        let none = none.bind(py);
        let (empty, zero);
        let fromlist = match self.fromlist {
            Some(fromlist) => fromlist,
            None => {
                empty = PyTuple::empty(py).into_any();
                &empty
            }
        };
        let level = match self.level {
            Some(level) => level,
            None => {
                zero = 0_i32.into_pyobject(py)?.into_any();
                &zero
            }
        };
        let (globals, locals) = (self.globals.unwrap_or(none), self.locals.unwrap_or(none));
        previous(py)?.import.bind(py).call1((self.name, globals, locals, fromlist, level))
    }

    /// What is wanted, where that can be told; the previous function finds the words for the rest.
    fn wanted(&self, py: Python<'py>, globals: Option<&Bound<'py, PyAny>>) -> Option<Wanted<'py>> {
        let name = self.name.cast::<PyString>().ok()?.to_str().ok()?.to_owned();
        let level = self.level.map_or(Some(0), |level| level.extract::<usize>().ok())?;
        let names = self.fromlist.map_or(Some(Vec::new()), |fromlist| strings(fromlist))?;
        let absolute = match level {
            0 => name,
            level => relative(&package(py, globals?)?, &name, level)?,
        };
        let gives = match (names.is_empty(), level) {
            (false, _) => Gives::From(names),
            (true, 0) => Gives::TopLevel,
            (true, _) => return None,
        };
        Some(Wanted { absolute, gives, _interpreter: py })
    }
}

/// The module that is asked for, by its full name.
struct Wanted<'py> {
    absolute: String,
    gives: Gives,
    _interpreter: Python<'py>,
}

/// What the import gives.
enum Gives {
    /// `import a.b.c` gives `a`.
    TopLevel,
    /// `from a.b import c, d` gives `a.b`, which must have `c` and `d`.
    From(Vec<String>),
}

impl<'py> Wanted<'py> {
    fn module(name: &Bound<'py, PyAny>, package: Option<&Bound<'py, PyAny>>) -> Option<Self> {
        let py = name.py();
        let name = name.cast::<PyString>().ok()?.to_str().ok()?;
        let level = name.len() - name.trim_start_matches('.').len();
        let absolute = match level {
            0 => name.to_owned(),
            level => {
                let package = package?.cast::<PyString>().ok()?.to_str().ok()?;
                relative(package, name.trim_start_matches('.'), level)?
            }
        };
        Some(Self { absolute, gives: Gives::From(Vec::new()), _interpreter: py })
    }

    /// What the import gives, from the modules that `look_up` knows; `None` where something has to be loaded for it.
    fn from(&self, look_up: impl Fn(&str) -> Option<Bound<'py, PyAny>>) -> Option<Bound<'py, PyAny>> {
        // `None` in `sys.modules` forbids the import: the previous function says so.
        let is_ready = |module: &Bound<'py, PyAny>| !module.is_none() && !ownership::is_initializing(module);
        let module = look_up(&self.absolute).filter(is_ready)?;
        let names = match &self.gives {
            Gives::TopLevel => return look_up(ownership::top_level(&self.absolute)),
            Gives::From(names) => names,
        };
        if names.is_empty() {
            return Some(module);
        }
        let is_package = ownership::module_dict(&module)?.contains(intern!(module.py(), "__path__")).ok()?;
        let all = names.iter().any(|name| name == "*").then(|| public_names(&module)).flatten();
        for name in names.iter().filter(|name| *name != "*").chain(all.iter().flatten()) {
            if has_attribute(&module, name) {
                continue;
            }
            match look_up(&format!("{}.{name}", self.absolute)) {
                // As the import system binds a submodule to its package.
                Some(submodule) => module.setattr(name.as_str(), submodule).ok()?,
                None if is_package => return None,
                // The import statement itself finds the words for a name that is not there.
                None => {}
            }
        }
        Some(module)
    }
}

/// The dictionary first: a module's `__getattr__` is asked only where there is one.
fn has_attribute(module: &Bound<'_, PyAny>, name: &str) -> bool {
    ownership::module_dict(module).is_some_and(|dict| dict.contains(name).unwrap_or(false))
        || module.hasattr(name).unwrap_or(false)
}

fn public_names(module: &Bound<'_, PyAny>) -> Option<Vec<String>> {
    strings(&ownership::module_dict(module)?.get_item(intern!(module.py(), "__all__")).ok()??)
}

fn strings(sequence: &Bound<'_, PyAny>) -> Option<Vec<String>> {
    if sequence.is_none() {
        return Some(Vec::new());
    }
    let is_plain = sequence.is_exact_instance_of::<PyTuple>() || sequence.is_exact_instance_of::<PyList>();
    // Any sequence will do, a string of one-letter names too: such are not asked for in statements, only in calls.
    if is_plain {
        sequence.extract().ok()
    } else {
        sequence.try_iter().ok()?.map(|name| name?.extract()).collect::<PyResult<_>>().ok()
    }
}

/// The package that a relative import starts from (PEP 366, PEP 451).
fn package(py: Python<'_>, globals: &Bound<'_, PyAny>) -> Option<String> {
    let globals = globals.cast::<PyDict>().ok()?;
    let text = |key| globals.get_item(key).ok().flatten()?.extract::<String>().ok();
    if let Some(package) = text(intern!(py, "__package__")) {
        return Some(package);
    }
    let name = text(intern!(py, "__name__"))?;
    if globals.contains(intern!(py, "__path__")).ok()? {
        return Some(name);
    }
    name.rsplit_once('.').map(|(package, _)| package.to_owned())
}

fn relative(package: &str, name: &str, level: usize) -> Option<String> {
    let mut base = package;
    for _ in 1..level {
        base = base.rsplit_once('.')?.0;
    }
    let absolute = if name.is_empty() { base.to_owned() } else { format!("{base}.{name}") };
    (!base.is_empty()).then_some(absolute)
}

/// An import by a project's code on a thread that does not hold the project.
fn late<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    wanted: Option<Wanted<'py>>,
    pass_on: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(wanted) = wanted else { return in_own_turn(py, state, "what cannot be told", pass_on) };
    let entries = state.entries();
    let (own, daemon, claimed, in_place) = {
        let world = World::lock(py)?;
        let in_place = world.in_place().is_some_and(|in_place| Arc::ptr_eq(in_place, state));
        // What was imported since it was put in place is not among its own yet, but visible.
        let own = if in_place { world.modules(py) } else { state.modules(py) };
        let claimed = state.contents(py).rules.claims_name(&wanted.absolute);
        (own, world.daemon_modules(py), claimed, in_place)
    };
    // Of the daemon's modules it may have those that it would see in place.
    let shared = |name: &str| {
        let module = daemon.get_item(name).ok()??;
        let hidden = state.contents(py).rules.hides_module(PyString::new(py, name).as_any(), &module);
        (!hidden).then_some(module)
    };
    if in_place && GATE.is_moving(state.key()) {
        // Another thread is importing the core, and may wait for this one, which the core's import has started.
        return adopting(py, pass_on);
    }
    if let Some(served) = wanted.from(|name| own.get_item(name).ok().flatten())
        && (!in_place || is_still_in_place(py, state, entries)?)
    {
        return Ok(served);
    }
    if !claimed && let Some(served) = wanted.from(shared) {
        return Ok(served);
    }
    if state.is_retired() {
        let remains = state.contents(py).remains.as_ref().map(|remains| remains.clone_ref(py));
        let served = remains.and_then(|remains| {
            let remains = remains.bind(py);
            wanted.from(|name| alive(remains.get_item(name).ok()??))
        });
        return match served {
            Some(served) => Ok(served),
            // A host's module or the standard library's; but what is in place may have one of that name.
            None if !claimed => pass_on().and_then(|module| match ownership::owner_of_module(&module) {
                Some(other) if !Arc::ptr_eq(&other, state) => {
                    let why = format!("what is in place is project '{}''s", other.project());
                    Err(refusal(state, &wanted.absolute, &why))
                }
                _ => Ok(module),
            }),
            None => Err(refusal(state, &wanted.absolute, SUPERSEDED)),
        };
    }
    in_own_turn(py, state, &wanted.absolute, pass_on)
}

/// Imports what has to be loaded first, with the project in place.
fn in_own_turn<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    wanted: &str,
    pass_on: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let bring = || bring_back(py, state);
    let patience = Duration::from_millis(PATIENCE.load(Ordering::Relaxed));
    match Pin::acquire(py, state.key(), Manner::Join, Some(patience), bring) {
        // While this waited, the project's core may have been imported anew.
        Ok(pin) if !Arc::ptr_eq(pin.state(), state) => Err(refusal(state, wanted, SUPERSEDED)),
        Ok(pin) => {
            let imported = adopting(py, pass_on);
            drop(pin);
            imported
        }
        Err(error) => Err(refusal(state, wanted, &error.to_string())),
    }
}

/// Whether the state is in place and never left since it had that many entries: looking at a module may have run its
/// `__getattr__`, and meanwhile others.
fn is_still_in_place(py: Python<'_>, state: &Arc<ImportState>, entries: u64) -> PyResult<bool> {
    let in_place = World::lock(py)?.in_place().is_some_and(|in_place| Arc::ptr_eq(in_place, state));
    Ok(in_place && state.entries() == entries)
}

/// Puts a parked state in place for a late import.
pub(super) fn bring_back(py: Python<'_>, state: &Arc<ImportState>) -> crate::Result<Arc<ImportState>> {
    if state.is_retired() {
        return Err(Error::Dropped { project: state.project().to_owned() });
    }
    let (replaced, outcome) = World::lock(py)?.place(py, Some(state));
    drop(replaced);
    outcome?;
    Ok(Arc::clone(state))
}

fn alive<'py>(reference: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    reference.call0().ok().filter(|module| !module.is_none())
}

fn refusal(state: &ImportState, module: &str, why: &str) -> PyErr {
    PyImportError::new_err(format!(
        "cannot import '{module}' for project '{}' (core {}): {why}",
        state.project(),
        state.location().install_core().display(),
    ))
}

/// An import by the daemon's own code while a project is in place that hides a module of the daemon's.
fn serve_the_daemon<'py>(py: Python<'py>, wanted: Option<&Wanted<'py>>) -> Option<Bound<'py, PyAny>> {
    let wanted = wanted?;
    let (daemon, live, is_ambient) = {
        let world = World::lock(py).ok()?;
        let in_place = world.in_place().map(|state| state.key());
        let is_ambient = in_place == world.ambient().map(|state| state.key());
        (world.daemon_modules(py), world.modules(py), is_ambient)
    };
    // What stays in place outside leases is what the daemon has asked to see.
    if is_ambient && live.contains(&wanted.absolute).ok()? {
        return None;
    }
    let known = daemon.get_item(&wanted.absolute).ok()??;
    let is_hidden = !live.get_item(&wanted.absolute).ok()?.is_some_and(|visible| visible.is(&known));
    is_hidden.then(|| wanted.from(|name| daemon.get_item(name).ok().flatten())).flatten()
}
