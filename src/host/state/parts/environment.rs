//! The environment: `os.environ`, and the process's own that child processes and C code see.

use std::ffi::OsString;
use std::path::Path;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::search_paths;
use super::time_zone::{TimeZone, Zone};
use crate::host::ownership::import_state::ImportState;
use crate::host::python::contents;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::overlay::{Change, OverlayLayer, OverlayShare};
use crate::host::state::part::{Part, Visit};

/// The variable that names the pipeline configuration which Toolkit runs for.
pub(crate) const CURRENT_PC: &str = "TANK_CURRENT_PC";

/// The variable that names the time zone.
const TIME_ZONE: &str = "TZ";

/// See the module's documentation.
pub(crate) struct Environment {
    layer: OverlayLayer,
    time_zone: TimeZone,
    /// The daemon's, and its version.
    zone: Zone,
    zone_version: Option<u64>,
    current_pc: Py<PyAny>,
    tz: Py<PyAny>,
}

/// What a project has changed of the environment.
pub(crate) struct OwnEnvironment {
    share: OverlayShare,
    zone: Zone,
    /// What its code has made of `TANK_CURRENT_PC` off its turn, until it has its turn again.
    current_pc: Option<Option<Py<PyAny>>>,
}

impl Part for Environment {
    type Share = OwnEnvironment;

    fn new(py: Python<'_>) -> PyResult<Self> {
        let environ = py.import("os")?.getattr("environ")?.getattr("_data")?.cast_into::<PyDict>()?;
        let (layer, time_zone) = (OverlayLayer::new(&environ, &[]), TimeZone::find(py)?);
        Ok(Self {
            layer,
            time_zone,
            zone: Zone::default(),
            zone_version: None,
            current_pc: environment_key(py, CURRENT_PC),
            tz: environment_key(py, TIME_ZONE),
        })
    }

    fn empty(_: Python<'_>) -> OwnEnvironment {
        OwnEnvironment { share: OverlayShare::new(), zone: Zone::default(), current_pc: None }
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnEnvironment) -> PyResult<()> {
        let py = visit.py;
        let version = self.time_zone.version(py);
        if version.is_none() || version != self.zone_version {
            std::mem::replace(&mut self.zone, self.time_zone.now(py)).let_go(visit.replaced);
            self.zone_version = version;
        }
        visit.replaced.extend(own.current_pc.take().flatten());
        // The first import is to find the variable cleared, and sets it or not.
        let folder = if visit.is_first { None } else { visit.state.location().current_pc() };
        let current_pc = self.current_pc(py, folder);
        let differs = self.layer.enter(py, &mut own.share, Some(current_pc), visit.replaced, |_| false)?;
        set_process_environment(py, differs);
        if names(py, differs, &self.tz) { self.time_zone.set(py, &own.zone) } else { Ok(()) }
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnEnvironment) -> PyResult<()> {
        let py = visit.py;
        let restored = self.layer.leave(py, &mut own.share, visit.replaced)?;
        own.share.revise(py, visit.replaced, search_paths::without_copies);
        set_process_environment(py, &restored);
        if !names(py, &restored, &self.tz) {
            return Ok(());
        }
        std::mem::replace(&mut own.zone, self.time_zone.now(py)).let_go(visit.replaced);
        self.time_zone.set(py, &self.zone)
    }

    fn hand_on(py: Python<'_>, from: &mut OwnEnvironment, to: &mut OwnEnvironment, replaced: &mut Replaced) {
        // `TANK_CURRENT_PC` is each one's own when it is put in place.
        from.share.hand_on(py, &mut to.share, replaced, |_| true);
        std::mem::replace(&mut to.zone, std::mem::take(&mut from.zone)).let_go(replaced);
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnEnvironment) -> PyResult<()> {
        let key = environment_key(visit.py, CURRENT_PC);
        let is_current_pc = |change: &Change| change.0.bind(visit.py).eq(&key).unwrap_or(false);
        self.layer.keep_for_daemon(visit.py, &own.share, visit.replaced, is_current_pc)?;
        std::mem::replace(&mut self.zone, self.time_zone.now(visit.py)).let_go(visit.replaced);
        Ok(())
    }
}

impl Environment {
    /// The variables as a project sees them, in a dictionary of their own; as the daemon does where it has no
    /// share.
    pub(crate) fn seen_by<'py>(
        &self,
        py: Python<'py>,
        state: &ImportState,
        own: Option<&OwnEnvironment>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let current_pc = match own.and_then(|own| own.current_pc.as_ref()) {
            Some(own) => (self.current_pc.clone_ref(py), own.as_ref().map(|own| own.clone_ref(py))),
            None => self.current_pc(py, state.location().current_pc()),
        };
        self.layer.seen(py, own.map(|own| &own.share), &current_pc)
    }

    /// `os.environ`'s own dictionary.
    pub(crate) fn live<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.layer.live(py)
    }

    /// Takes over what the daemon has changed. Only while no project is in place.
    pub(crate) fn refresh(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        self.layer.refresh(py, replaced, |_| false)
    }

    /// Changes a variable of the project that is in place, for child processes and C code too.
    pub(crate) fn change(&self, py: Python<'_>, change: Change) -> PyResult<()> {
        let change = [change];
        self.layer.put(py, &change)?;
        set_process_environment(py, &change);
        Ok(())
    }

    /// Changes a variable of a parked project.
    pub(crate) fn edit(
        &self,
        py: Python<'_>,
        own: &mut OwnEnvironment,
        change: Change,
        replaced: &mut Replaced,
    ) {
        let change = [change];
        if names(py, &change, &self.tz) {
            // What it makes of that is found out when it is put in place.
            std::mem::take(&mut own.zone).let_go(replaced);
        }
        if names(py, &change, &self.current_pc) {
            let [(_, value)] = change;
            replaced.extend(own.current_pc.replace(value).flatten());
            return;
        }
        let [change] = change;
        self.layer.edit(py, &mut own.share, change, replaced);
    }

    /// Gives `TANK_CURRENT_PC` a value, or none, as the code of the project that is in place might.
    pub(crate) fn set_current_pc(&self, py: Python<'_>, folder: Option<&Path>) -> PyResult<()> {
        let change = [self.current_pc(py, folder)];
        self.layer.put(py, &change)?;
        set_process_environment(py, &change);
        Ok(())
    }

    fn current_pc(&self, py: Python<'_>, folder: Option<&Path>) -> Change {
        (self.current_pc.clone_ref(py), folder.map(|folder| environment_value(py, folder)))
    }

    /// Gives variables values, as the code of the project that is in place might.
    pub(crate) fn set_variables(&self, py: Python<'_>, variables: &[(String, String)]) -> PyResult<()> {
        let changes: Vec<Change> = variables
            .iter()
            .map(|(name, value)| (environment_key(py, name), Some(environment_value(py, Path::new(value)))))
            .collect();
        self.layer.put(py, &changes)?;
        set_process_environment(py, &changes);
        Ok(())
    }

    /// Takes those of these variables away that there are.
    pub(crate) fn drop_variables(&self, py: Python<'_>, names: &[&str]) -> PyResult<()> {
        let keys = names.iter().map(|name| environment_key(py, name));
        let there = keys.filter(|key| contents::get(self.layer.live(py), key.bind(py)).is_some());
        let changes: Vec<Change> = there.map(|key| (key, None)).collect();
        self.layer.put(py, &changes)?;
        set_process_environment(py, &changes);
        Ok(())
    }

    /// The variables that are not the daemon's own now, with the daemon's values.
    pub(crate) fn daemons_variables(&self, py: Python<'_>) -> Vec<(OsString, Option<OsString>)> {
        let text = |text: &Py<PyAny>| variable_text(text.bind(py));
        let changed = self.layer.changed(py).into_iter();
        changed.filter_map(|(name, value)| Some((text(&name)?, value.as_ref().and_then(text)))).collect()
    }

    /// Gives a share that was never in place the changes of another.
    pub(crate) fn inherit(
        py: Python<'_>,
        from: &OwnEnvironment,
        to: &mut OwnEnvironment,
        replaced: &mut Replaced,
    ) {
        replaced.extend(std::mem::replace(&mut to.share, from.share.inherited(py)).into_values());
        std::mem::replace(&mut to.zone, from.zone.copied(py)).let_go(replaced);
    }
}

/// Whether a variable is among the changes. Keys are `bytes`, or `str`, whose comparison is C code.
fn names(py: Python<'_>, changes: &[Change], key: &Py<PyAny>) -> bool {
    changes.iter().any(|(name, _)| match (name.bind(py).cast::<PyBytes>(), key.bind(py).cast::<PyBytes>()) {
        (Ok(name), Ok(key)) => name.as_bytes() == key.as_bytes(),
        _ => name.bind(py).eq(key).unwrap_or(false),
    })
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
                // SAFETY: Rust's own readers are kept out by std's lock. C code of other threads that calls
                // `getenv` at this moment is not: the same holds for every assignment to `os.environ` in
                // Python, and the crate's documentation says so.
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
