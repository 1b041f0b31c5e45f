//! Each project's own copy of each plugin.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyAttributeError, PyImportError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

use crate::events::Event;
use crate::projects::InPlace;
use crate::registrar::{Callback, Registrar};
use crate::support::{Expected, fault_of};

/// The plugin files of a folder, sorted by name: every `*.py` that is not hidden.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.extension() == Some(OsStr::new("py")) && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What a plugin raised.
pub(crate) struct Failure {
    pub(crate) plugin: String,
    pub(crate) error: Fault,
}

/// An exception, wherever it was raised.
pub(crate) struct Fault {
    pub(crate) type_name: String,
    pub(crate) message: String,
    /// With its traceback.
    pub(crate) text: String,
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        let error = sgtk_host::python_error(&error);
        Self { text: error.to_string(), type_name: error.type_name, message: error.message }
    }
}

/// What a project's plugins did about an event.
#[derive(Default)]
pub(crate) struct Done {
    /// The callbacks that ran without an error.
    pub(crate) callbacks: Vec<String>,
    /// The plugins that an earlier error has stopped, and that would have been called.
    pub(crate) stopped: Vec<String>,
    pub(crate) failures: Vec<Failure>,
}

/// The plugins of one project, bound to the core that they were imported with.
pub(crate) struct Plugins {
    /// The `sgtk` of that core. Another one means that the core was imported anew, and the plugins with it.
    sgtk: Py<PyModule>,
    plugins: Vec<Plugin>,
}

struct Plugin {
    name: String,
    module: Py<PyModule>,
    callbacks: Vec<Callback>,
    stopped: bool,
}

impl Plugins {
    /// Imports the plugins inside the project's lease and lets them register. One that fails is left out.
    pub(crate) fn register(place: &InPlace<'_>, files: &[PathBuf]) -> (Self, Vec<Failure>) {
        let (mut plugins, mut failures) = (Vec::new(), Vec::new());
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match Plugin::register(place, &name, file) {
                Ok(plugin) => plugins.push(plugin),
                Err(error) => failures.push(Failure { plugin: name, error: error.into() }),
            }
        }
        (Self { sgtk: place.sgtk().clone().unbind(), plugins }, failures)
    }

    /// Whether the plugins belong to the core that is in place.
    pub(crate) fn belong_to(&self, place: &InPlace<'_>) -> bool {
        self.sgtk.bind(place.sgtk().py()).is(place.sgtk())
    }

    /// Calls every callback that wants the event. An error stops its own plugin only.
    /// `argument` is the event as they get it.
    pub(crate) fn handle(&mut self, event: &Event, argument: &Bound<'_, PyDict>) -> Done {
        let (mut done, py) = (Done::default(), argument.py());
        for plugin in &mut self.plugins {
            let mut wanted = plugin.callbacks.iter().filter(|callback| callback.wants(event)).peekable();
            if plugin.stopped {
                done.stopped.extend(wanted.peek().map(|_| plugin.name.clone()));
                continue;
            }
            for callback in wanted {
                let arguments = (&callback.sg, &callback.logger, argument, &callback.args);
                match callback.function.call1(py, arguments) {
                    Ok(_) => done.callbacks.push(callback.name.clone()),
                    Err(error) => {
                        let plugin_name = plugin.name.clone();
                        done.failures.push(Failure { plugin: plugin_name, error: error.into() });
                        plugin.stopped = callback.stop_on_error;
                        if plugin.stopped {
                            break;
                        }
                    }
                }
            }
        }
        done
    }

    /// What is wrong with the `sgtk` that the plugins got at their top.
    pub(crate) fn wrong_core(&self, py: Python<'_>, expected: &Expected) -> PyResult<Option<String>> {
        for plugin in &self.plugins {
            let Some(sgtk) = plugin.module.bind(py).dict().get_item("sgtk")? else { continue };
            let Ok(sgtk) = sgtk.cast::<PyModule>() else { continue };
            if let Some(fault) = fault_of(sgtk, expected)? {
                return Ok(Some(format!("'sgtk' of plugin {} {fault}", plugin.name)));
            }
        }
        Ok(None)
    }

    /// The plugins that an error has stopped.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = &str> {
        self.plugins.iter().filter(|plugin| plugin.stopped).map(|plugin| &*plugin.name)
    }
}

impl Plugin {
    fn register(place: &InPlace<'_>, name: &str, file: &Path) -> PyResult<Self> {
        let py = place.sgtk().py();
        // A plain import: the folder is on the project's path, and what comes from there is the project's
        // own.
        let module = py.import(name)?;
        let found = module.filename()?;
        if Path::new(&*found.to_string_lossy()) != file {
            let message =
                format!("'{name}' is {found}: the name is taken, call {} otherwise", file.display());
            return Err(PyImportError::new_err(message));
        }
        let registrar = Bound::new(py, Registrar::new(py, place.project(), name)?)?;
        let Some(register) = module.getattr_opt("registerCallbacks")? else {
            return Err(PyAttributeError::new_err(format!("{} has no registerCallbacks", file.display())));
        };
        register.call1((&registrar,))?;
        let callbacks = registrar.get().take();
        Ok(Self { name: name.to_owned(), module: module.unbind(), callbacks, stopped: false })
    }
}
