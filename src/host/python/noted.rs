//! Settings that functions of the standard library make, and that cannot be looked at for little: thresholds
//! of the collector, the state of `random`, resource limits, handlers of signals, handlers of errors and
//! search functions of `codecs`.
//!
//! The functions are wrapped once, so that a swap knows without looking whether one was called.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyLookupError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyInt, PyString, PyTuple};

use super::contents::items;
use super::import::import_for_host;
use super::modules::{is_in_stdlib, is_initializing, loaded_module, text_of};
use super::names::Names;
use super::signals;

/// Which setting it is.
#[derive(Debug)]
pub(crate) enum Key {
    /// `gc.set_threshold`.
    Thresholds,
    /// One of [`NUMBERS`].
    Number(usize),
    /// `random.seed`.
    Random,
    /// `resource.setrlimit`, of one resource.
    Limit(i32),
    /// `signal.signal`, of one signal.
    Signal(i32),
    /// `codecs.register_error`, of one name.
    ErrorHandler(String),
    /// `codecs.register`, of one function.
    Search(Py<PyAny>),
    /// Which loggers are disabled, as `logging.config` does it to all that it is not told of.
    Disabled,
}

impl Key {
    pub(crate) fn copied(&self, py: Python<'_>) -> Self {
        match self {
            Self::Thresholds => Self::Thresholds,
            Self::Number(number) => Self::Number(*number),
            Self::Random => Self::Random,
            Self::Disabled => Self::Disabled,
            Self::Limit(resource) => Self::Limit(*resource),
            Self::Signal(signal) => Self::Signal(*signal),
            Self::ErrorHandler(name) => Self::ErrorHandler(name.clone()),
            Self::Search(function) => Self::Search(function.clone_ref(py)),
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Thresholds, Self::Thresholds)
            | (Self::Random, Self::Random)
            | (Self::Disabled, Self::Disabled) => true,
            (Self::Number(one), Self::Number(other)) => one == other,
            (Self::Limit(one), Self::Limit(other)) | (Self::Signal(one), Self::Signal(other)) => one == other,
            (Self::ErrorHandler(one), Self::ErrorHandler(other)) => one == other,
            (Self::Search(one), Self::Search(other)) => one.is(other),
            _ => false,
        }
    }
}

/// What a setting was before.
pub(crate) enum Value {
    /// In Python's terms; nothing where there was none.
    Python(Option<Py<PyAny>>),
    Signal(signals::Handler),
}

impl Value {
    /// Whether it can be set on any thread.
    pub(crate) fn may_be_kept(&self) -> bool {
        matches!(self, Self::Python(_))
    }

    /// Whether it is the same: numbers are compared, in tuples too.
    pub(crate) fn is(&self, py: Python<'_>, other: &Self) -> bool {
        match (self, other) {
            (Self::Python(Some(one)), Self::Python(Some(other))) => {
                let (one, other) = (one.bind(py), other.bind(py));
                let is_plain = one.is_exact_instance_of::<PyTuple>() || one.is_exact_instance_of::<PyInt>();
                one.is(other) || is_plain && one.eq(other).unwrap_or(false)
            }
            (Self::Python(one), Self::Python(other)) => one.is_none() && other.is_none(),
            _ => false,
        }
    }

    pub(crate) fn let_go(self, replaced: &mut Vec<Py<PyAny>>) {
        match self {
            Self::Python(value) => replaced.extend(value),
            Self::Signal(handler) => handler.let_go(replaced),
        }
    }
}

/// Settings that were made since a project was put in place, with what they were before.
static NOTED: Mutex<Vec<(Key, Value)>> = Mutex::new(Vec::new());

/// Whether there are any.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether a project is in place, so that settings are not the daemon's.
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

impl Functions {
    fn find(py: Python<'_>) -> PyResult<Self> {
        signals::prepare(py)?;
        let pair = |module: &str, names: [&str; 2]| {
            let module = import_for_host(py, module)?;
            PyResult::Ok([module.getattr(names[0])?.unbind(), module.getattr(names[1])?.unbind()])
        };
        let random = import_for_host(py, "random").and_then(|random| {
            let generator = random.getattr("_inst")?;
            let attributes = generator.getattr("__dict__")?.cast_into::<PyDict>()?;
            let class = import_for_host(py, "_random")?.getattr("Random")?;
            let state = [class.getattr("getstate")?.unbind(), class.getattr("setstate")?.unbind()];
            let (itself, attributes) = (generator.unbind(), attributes.unbind());
            PyResult::Ok(Generator { itself, attributes, state })
        });
        let manager = import_for_host(py, "logging")?.getattr("Logger")?.getattr("manager")?;
        Ok(Self {
            numbers: NUMBERS.map(|(modules, names)| pair(modules.first()?, names).ok()),
            loggers: manager.getattr("loggerDict")?.cast_into::<PyDict>()?.unbind(),
            thresholds: pair("gc", ["get_threshold", "set_threshold"])?,
            random: random.ok(),
            limits: pair("resource", ["getrlimit", "setrlimit"]).ok(),
            error_handlers: pair("_codecs", ["lookup_error", "register_error"])?,
            searches: pair("_codecs", ["register", "unregister"]).ok(),
        })
    }
}

/// The generator that the functions of `random` share, its attributes, and methods in C.
struct Generator {
    itself: Py<PyAny>,
    attributes: Py<PyDict>,
    state: [Py<PyAny>; 2],
}

/// Settings that are one number: the modules that have their functions, and how these are called. The first
/// is in C, and where both are one it tells what is set where it is not given anything.
const NUMBERS: [(&[&str], [&str; 2]); 3] = [
    (&["sys"], ["getdlopenflags", "setdlopenflags"]),
    (&["gc"], ["get_debug", "set_debug"]),
    (&["_csv", "csv"], ["field_size_limit", "field_size_limit"]),
];

/// The functions that were there before, in C.
struct Functions {
    /// None where a system does not have them.
    numbers: [Option<[Py<PyAny>; 2]>; NUMBERS.len()],
    thresholds: [Py<PyAny>; 2],
    random: Option<Generator>,
    /// None on Windows.
    limits: Option<[Py<PyAny>; 2]>,
    error_handlers: [Py<PyAny>; 2],
    /// Those that there are by name.
    loggers: Py<PyDict>,
    /// None before Python 3.10.
    searches: Option<[Py<PyAny>; 2]>,
}

static FUNCTIONS: PyOnceLock<Functions> = PyOnceLock::new();

/// Wraps the functions, once.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let mut first = false;
    FUNCTIONS.get_or_try_init(py, || {
        first = true;
        Functions::find(py)
    })?;
    if !first {
        return Ok(());
    }
    wrap(py, &["gc"], "set_threshold", |_| Ok(Some(Key::Thresholds)))?;
    for (number, (modules, [get, set])) in NUMBERS.into_iter().enumerate() {
        let sets = move |given: &Bound<'_, PyTuple>| {
            Ok((get != set || !given.is_empty()).then_some(Key::Number(number)))
        };
        wrap(py, modules, set, sets)?;
    }
    wrap(py, &["random"], "seed", |_| Ok(Some(Key::Random)))?;
    wrap(py, &["random"], "setstate", |_| Ok(Some(Key::Random)))?;
    wrap(py, &["resource"], "setrlimit", |given| Ok(Some(Key::Limit(given.get_item(0)?.extract()?))))?;
    // The function of `signal`, in Python, calls this one.
    wrap(py, &["_signal"], "signal", |given| Ok(Some(Key::Signal(given.get_item(0)?.extract()?))))?;
    wrap(py, &["codecs", "_codecs"], "register_error", |given| {
        Ok(Some(Key::ErrorHandler(given.get_item(0)?.extract()?)))
    })?;
    prepare_loaded(py)?;
    if FUNCTIONS.get(py).is_some_and(|functions| functions.searches.is_some()) {
        wrap(py, &["codecs", "_codecs"], "register", |given| {
            Ok(Some(Key::Search(given.get_item(0)?.unbind())))
        })?;
    }
    Ok(())
}

/// Prepares modules that not each daemon loads, once they are: wraps what is in `logging.config`, and has
/// `mimetypes` read its files, which are everybody's.
pub(crate) fn prepare_loaded(py: Python<'_>) -> PyResult<()> {
    static ARE_PREPARED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    for (module, is_prepared) in ["logging.config", "mimetypes"].into_iter().zip(&ARE_PREPARED) {
        if is_prepared.load(Ordering::Relaxed) {
            continue;
        }
        let name = PyString::intern(py, module).unbind();
        let Some(loaded) = loaded_module(py, &name).filter(|module| !is_initializing(module)) else {
            continue;
        };
        // Code of a project's may have a module of such a name.
        let file = text_of(loaded.getattr_opt("__file__"));
        if !file.is_some_and(|file| is_in_stdlib(&file)) || is_prepared.swap(true, Ordering::Relaxed) {
            continue;
        }
        if module == "mimetypes" {
            if !loaded.getattr("inited")?.is_truthy()? {
                loaded.call_method0("init")?;
            }
            continue;
        }
        for function in ["dictConfig", "fileConfig"] {
            wrap(py, &[module], function, |_| Ok(Some(Key::Disabled)))?;
        }
    }
    Ok(())
}

/// Loggers and whether they are disabled.
fn disabled<'py>(loggers: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyTuple>> {
    let names = Names::of(loggers.py());
    let mut found = Vec::new();
    for (_, logger) in items(loggers) {
        // Names that only others begin with have a placeholder.
        let attributes = logger.getattr(&names.dict).ok().and_then(|found| found.cast_into::<PyDict>().ok());
        if let Some(attributes) = attributes
            && let Some(disabled) = attributes.get_item(&names.disabled)?
        {
            found.push((attributes, disabled));
        }
    }
    PyTuple::new(loggers.py(), found)
}

fn disable(loggers: &Bound<'_, PyTuple>) -> PyResult<()> {
    let names = Names::of(loggers.py());
    loggers.iter_borrowed().try_for_each(|logger| {
        let logger = logger.cast::<PyTuple>()?;
        logger.get_item(0)?.cast::<PyDict>()?.set_item(&names.disabled, logger.get_item(1)?)
    })
}

/// Wraps a function that makes the setting which `key` names by its arguments, under all these names.
fn wrap(
    py: Python<'_>,
    modules: &[&str],
    name: &str,
    key: impl Fn(&Bound<'_, PyTuple>) -> PyResult<Option<Key>> + Send + Sync + 'static,
) -> PyResult<()> {
    let mut found = Vec::new();
    for module in modules {
        // Not each system has each module.
        let Ok(module) = import_for_host(py, module) else { return Ok(()) };
        found.push(module);
    }
    let Some(previous) = found.first().and_then(|module| module.getattr_opt(name).ok().flatten()) else {
        return Ok(());
    };
    let previous = previous.unbind();
    let wrapped = move |given: &Bound<'_, PyTuple>, named: Option<&Bound<'_, PyDict>>| {
        let py = given.py();
        // Wrong arguments are the function's own affair.
        if IS_WATCHED.load(Ordering::Relaxed)
            && let Ok(Some(key)) = key(given)
        {
            note(py, key);
        }
        previous.call(py, given, named)
    };
    let wrapped = PyCFunction::new_closure(py, None, None, wrapped)?;
    found.iter().try_for_each(|module| module.setattr(name, &wrapped))
}

/// Remembers what a setting is, before it becomes another one.
pub(crate) fn note(py: Python<'_>, key: Key) {
    if NOTED.lock().iter().any(|(noted, _)| noted.is(&key)) {
        return;
    }
    if let Some(value) = look(py, &key, true) {
        NOTED.lock().push((key, value));
        ANY.store(true, Ordering::Relaxed);
    }
}

/// Keeps a setting noted that [`left`] has given.
pub(crate) fn keep(key: Key, before: Value) {
    NOTED.lock().push((key, before));
    ANY.store(true, Ordering::Relaxed);
}

/// Remembers what is set from now on.
pub(crate) fn watch() {
    IS_WATCHED.store(true, Ordering::Relaxed);
}

/// Ends [`watch`], and gives the settings that were made since, with what they were before.
pub(crate) fn left() -> Vec<(Key, Value)> {
    IS_WATCHED.store(false, Ordering::Relaxed);
    // With the interpreter held, as all that writes it.
    if !ANY.load(Ordering::Relaxed) {
        return Vec::new();
    }
    ANY.store(false, Ordering::Relaxed);
    std::mem::take(&mut *NOTED.lock())
}

/// What a setting is now; nothing where that cannot be told. Runs no Python code.
pub(crate) fn read(py: Python<'_>, key: &Key) -> Option<Value> {
    look(py, key, false)
}

fn look(py: Python<'_>, key: &Key, before: bool) -> Option<Value> {
    let functions = FUNCTIONS.get(py)?;
    let value = match key {
        Key::Thresholds => Some(functions.thresholds[0].bind(py).call0().ok()?),
        Key::Random => {
            let Generator { itself, attributes, state: [get, _] } = functions.random.as_ref()?;
            let state = get.bind(py).call1((itself,)).ok()?;
            let next = attributes.bind(py).get_item("gauss_next").ok().flatten();
            Some((state, next).into_pyobject(py).ok()?.into_any())
        }
        Key::Number(number) => Some(functions.numbers.get(*number)?.as_ref()?[0].bind(py).call0().ok()?),
        Key::Limit(resource) => Some(functions.limits.as_ref()?[0].bind(py).call1((*resource,)).ok()?),
        Key::Signal(signal) => return signals::Handler::now(py, *signal).map(Value::Signal),
        Key::Disabled => Some(disabled(functions.loggers.bind(py)).ok()?.into_any()),
        Key::ErrorHandler(name) => functions.error_handlers[0].bind(py).call1((name,)).ok(),
        // Which there are cannot be told; each is noted because it was registered.
        Key::Search(_) if before => None,
        Key::Search(function) => Some(function.bind(py).clone()),
    };
    Some(Value::Python(value.map(Bound::unbind)))
}

/// Makes a setting. Runs no Python code.
pub(crate) fn write(py: Python<'_>, key: &Key, value: &Value) -> PyResult<()> {
    let functions =
        FUNCTIONS.get(py).ok_or_else(|| PyRuntimeError::new_err("no functions are wrapped yet"))?;
    let value = match (key, value) {
        (Key::Signal(signal), Value::Signal(handler)) => return handler.put(py, *signal),
        (_, Value::Python(value)) => value.as_ref().map(|value| value.bind(py)),
        (_, Value::Signal(_)) => return Ok(()),
    };
    match (key, value) {
        (Key::Thresholds, Some(value)) => functions.thresholds[1].bind(py).call1(value.cast::<PyTuple>()?)?,
        (Key::Random, Some(value)) => {
            let Some(random) = &functions.random else { return Ok(()) };
            let Generator { itself, attributes, state: [_, set] } = random;
            attributes.bind(py).set_item("gauss_next", value.get_item(1)?)?;
            set.bind(py).call1((itself, value.get_item(0)?))?
        }
        (Key::Number(number), Some(value)) => {
            let Some(Some([_, set])) = functions.numbers.get(*number) else { return Ok(()) };
            set.bind(py).call1((value,))?
        }
        (Key::Limit(resource), Some(value)) => {
            let Some([_, set]) = &functions.limits else { return Ok(()) };
            set.bind(py).call1((*resource, value))?
        }
        (Key::Disabled, Some(value)) => return disable(value.cast()?),
        (Key::ErrorHandler(name), Some(value)) => {
            functions.error_handlers[1].bind(py).call1((name, value))?
        }
        // Nothing takes one away: it says what an unknown one says.
        (Key::ErrorHandler(name), None) => {
            let message = format!("unknown error handler name '{name}'");
            let none = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
                Err(PyLookupError::new_err(message.clone()))
            };
            let none = PyCFunction::new_closure(py, None, None, none)?;
            functions.error_handlers[1].bind(py).call1((name, none))?
        }
        (Key::Search(function), value) => {
            let Some([register, unregister]) = &functions.searches else { return Ok(()) };
            (if value.is_some() { register } else { unregister }).bind(py).call1((function,))?
        }
        _ => return Ok(()),
    };
    Ok(())
}
