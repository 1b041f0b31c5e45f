//! What shotgunEvents gives to plugins: `reg` for `registerCallbacks(reg)`, and `sg` for callbacks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::events::Event;

/// The parent of all plugins' loggers.
const LOGGER: &str = "plugin";

/// A function that a plugin wants called for some events.
pub(crate) struct Callback {
    pub(crate) name: String,
    pub(crate) function: Py<PyAny>,
    pub(crate) sg: Py<PyAny>,
    pub(crate) logger: Py<PyAny>,
    pub(crate) args: Py<PyAny>,
    /// Whether an error stops the plugin, until the project's core is imported anew.
    pub(crate) stop_on_error: bool,
    wanted: Option<Filter>,
}

/// By event type, or by `*`: the attributes of which one has to have changed, or nothing where any event will
/// do.
type Filter = HashMap<String, Option<Vec<String>>>;

impl Callback {
    /// Whether the callback is to be called, by the rules of shotgunEvents.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        match wanted.get("*").or_else(|| wanted.get(&event.kind)) {
            None => false,
            Some(None) => true,
            Some(Some(names)) => {
                names.iter().any(|name| name == "*" || event.attribute.as_ref() == Some(name))
            }
        }
    }
}

/// Collects the callbacks of one plugin: `registerCallback`, `logger` and `getLogger`, as shotgunEvents has
/// them.
#[pyclass(frozen)]
pub(crate) struct Registrar {
    logger: Py<PyAny>,
    callbacks: Mutex<Vec<Callback>>,
}

impl Registrar {
    pub(crate) fn new(py: Python<'_>, project: &str, plugin: &str) -> PyResult<Self> {
        let logger = get_logger(py, &format!("{LOGGER}.{project}.{plugin}"))?.unbind();
        Ok(Self { logger, callbacks: Mutex::default() })
    }

    /// What was registered since the last call.
    pub(crate) fn take(&self) -> Vec<Callback> {
        std::mem::take(&mut *self.callbacks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
#[expect(non_snake_case, reason = "the names are shotgunEvents'")]
impl Registrar {
    #[getter]
    fn logger(&self, py: Python<'_>) -> Py<PyAny> {
        self.logger.clone_ref(py)
    }

    fn getLogger(&self, py: Python<'_>) -> Py<PyAny> {
        self.logger.clone_ref(py)
    }

    /// shotgunEvents mails errors to these addresses; this daemon has no mail.
    #[pyo3(signature = (*_emails))]
    fn setEmails(&self, _emails: &Bound<'_, PyAny>) {}

    #[pyo3(signature = (sgScriptName, sgScriptKey, callback, matchEvents=None, args=None, stopOnError=true))]
    #[expect(clippy::too_many_arguments, reason = "the arguments are shotgunEvents'")]
    #[expect(unused_variables, reason = "there is no site to log in to")]
    fn registerCallback(
        &self,
        py: Python<'_>,
        sgScriptName: &str,
        sgScriptKey: &Bound<'_, PyAny>,
        callback: Bound<'_, PyAny>,
        matchEvents: Option<Bound<'_, PyAny>>,
        args: Option<Py<PyAny>>,
        stopOnError: bool,
    ) -> PyResult<()> {
        if !callback.is_callable() {
            return Err(PyTypeError::new_err("the callback must be a callable object"));
        }
        let name = match callback.getattr_opt("__name__")? {
            Some(name) => name.extract()?,
            None => callback.get_type().name()?.to_string(),
        };
        let parent: String = self.logger.getattr(py, "name")?.extract(py)?;
        let registered = Callback {
            logger: get_logger(py, &format!("{parent}.{name}"))?.unbind(),
            sg: Py::new(py, NoSite)?.into_any(),
            function: callback.unbind(),
            args: args.unwrap_or_else(|| py.None()),
            stop_on_error: stopOnError,
            wanted: filter(matchEvents)?,
            name,
        };
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).push(registered);
        Ok(())
    }
}

/// `{event type: attributes}` as a plugin wrote it. None, or an empty one, wants all events.
fn filter(given: Option<Bound<'_, PyAny>>) -> PyResult<Option<Filter>> {
    let Some(given) = given else { return Ok(None) };
    if !given.is_truthy()? {
        return Ok(None);
    }
    let mut filter = Filter::new();
    for (kind, attributes) in given.cast::<PyDict>()?.iter() {
        let attributes = match attributes {
            none if none.is_none() => None,
            one if one.is_instance_of::<PyString>() => Some(vec![one.extract()?]),
            many => Some(many.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>()?),
        };
        filter.insert(kind.extract()?, attributes);
    }
    Ok(Some(filter))
}

/// Has what plugins log printed to standard error, whatever its level.
pub(crate) fn show_logs(py: Python<'_>) -> PyResult<()> {
    let logging = py.import("logging")?;
    let format = logging.call_method1("Formatter", ("%(asctime)s %(levelname)s %(name)s: %(message)s",))?;
    let handler = logging.call_method0("StreamHandler")?;
    handler.call_method1("setFormatter", (format,))?;
    let plugins = get_logger(py, LOGGER)?;
    plugins.call_method1("addHandler", (handler,))?;
    plugins.call_method1("setLevel", ("DEBUG",))?;
    Ok(())
}

fn get_logger<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("logging")?.call_method1("getLogger", (name,))
}

/// The `sg` of callbacks. shotgunEvents passes a connection to the site; here any use of it is an error that
/// says so.
#[pyclass(frozen)]
struct NoSite;

#[pymethods]
impl NoSite {
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        Err(PyAttributeError::new_err(format!("this daemon is connected to no site: there is no sg.{name}")))
    }
}
