//! What code replaces in modules of the standard library, or adds to them: `socket.socket` by a class that
//! goes through a proxy, `tempfile.tempdir`, `os.environ` as a whole.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyString};

use crate::host::ownership::rules::Rules;
use crate::host::python::contents::{items, version};
use crate::host::python::modules::{function_globals, is_initializing, loaded, module_dict};
use crate::host::state::layers::Replaced;
use crate::host::state::part::{Part, Visit};

/// The modules, each with those of its private names that functions of its set.
const MODULES: [(&str, &[&str]); 15] = [
    ("builtins", &["_"]),
    ("os", &[]),
    ("socket", &[]),
    ("ssl", &["_create_default_https_context"]),
    ("http.client", &[]),
    ("urllib.request", &["_opener"]),
    ("subprocess", &[]),
    ("tempfile", &[]),
    ("threading", &["_profile_hook", "_trace_hook"]),
    ("asyncio.events", &["_event_loop_policy"]),
    ("logging", &["_loggerClass", "_logRecordFactory", "_warnings_showwarning"]),
    ("json", &[]),
    ("shutil", &[]),
    ("getpass", &[]),
    ("hashlib", &[]),
];

/// Whether all of the modules are known as the daemon has them.
static ARE_KNOWN: AtomicBool = AtomicBool::new(false);

/// See the module's documentation. What a project's code sets is its own, and the daemon's comes back when it
/// leaves. A module that is loaded while a project is in place is the daemon's as it is when the import ends.
pub(crate) struct StandardAttributes {
    modules: Vec<Module>,
    /// The daemon's modules when these were last looked for.
    found_among: u64,
}

struct Module {
    name: Py<PyString>,
    private: &'static [&'static str],
    /// The module's dictionary, where it is loaded.
    live: Option<Py<PyDict>>,
    /// What the daemon has, where the module is loaded.
    base: Option<Py<PyDict>>,
    /// The version of the module's dictionary when it was last known to be that, and when a project had it
    /// last made its own.
    daemons_version: Option<u64>,
    projects_version: Option<u64>,
}

/// A name in one of the modules, and what it is; nothing where the project has removed it.
pub(crate) struct Own {
    module: usize,
    name: Py<PyAny>,
    value: Option<Py<PyAny>>,
}

impl Part for StandardAttributes {
    type Share = Vec<Own>;

    fn new(py: Python<'_>) -> PyResult<Self> {
        let module = |(name, private)| Module {
            name: PyString::intern(py, name).unbind(),
            private,
            live: None,
            base: None,
            daemons_version: None,
            projects_version: None,
        };
        Ok(Self { modules: MODULES.map(module).into(), found_among: 0 })
    }

    fn empty(_: Python<'_>) -> Self::Share {
        Vec::new()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let mut outcome = Ok(());
        self.find(visit);
        for (number, module) in self.modules.iter_mut().enumerate() {
            let Some(live) = module.live(visit.py) else { continue };
            let now = version(&live);
            if now.is_none() || now != module.daemons_version {
                module.take_base(&live, visit.replaced)?;
            }
            for one in own.iter().filter(|one| one.module == number) {
                outcome = outcome.and(put(&live, one.name.bind(visit.py), one.value.as_ref()));
            }
            module.projects_version = version(&live);
        }
        outcome
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let mut outcome = Ok(());
        self.find(visit);
        for (number, module) in self.modules.iter_mut().enumerate() {
            let Some(live) = module.live(visit.py) else { continue };
            let has_own = own.iter().any(|one| one.module == number);
            let now = version(&live);
            if !has_own && now.is_some() && now == module.projects_version && module.base.is_some() {
                module.daemons_version = now;
                continue;
            }
            let changed = module.changes(&live, number);
            for one in &changed {
                let before =
                    module.base.as_ref().and_then(|base| base.bind(visit.py).get_item(&one.name).ok());
                let before = before.flatten().map(Bound::unbind);
                outcome = outcome.and(put(&live, one.name.bind(visit.py), before.as_ref()));
            }
            let (before, others) = std::mem::take(own).into_iter().partition(|one| one.module == number);
            let_go(before, visit.replaced);
            *own = others;
            own.extend(changed);
            // What is left is everybody's: what was loaded meanwhile, what this library has wrapped.
            outcome = outcome.and(module.take_base(&live, visit.replaced));
        }
        outcome
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        let_go(std::mem::replace(to, std::mem::take(from)), replaced);
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        self.find(visit);
        for (number, module) in self.modules.iter_mut().enumerate() {
            let Some(live) = module.live(visit.py) else { continue };
            let before = module.base.take();
            module.take_base(&live, visit.replaced)?;
            let (Some(before), Some(base)) = (before, &module.base) else { continue };
            // What is still the project's stays so.
            for one in own.iter().filter(|one| one.module == number) {
                let name = one.name.bind(visit.py);
                let is_own = match (live.get_item(name)?, &one.value) {
                    (Some(now), Some(value)) => now.is(value),
                    (None, None) => true,
                    _ => false,
                };
                if is_own {
                    let daemons = before.bind(visit.py).get_item(name)?.map(Bound::unbind);
                    put(base.bind(visit.py), name, daemons.as_ref())?;
                }
            }
            visit.replaced.push(before.into_any());
        }
        Ok(())
    }
}

impl StandardAttributes {
    /// Whether [`note_imported`](Self::note_imported) has nothing to do any more.
    pub(crate) fn are_known() -> bool {
        ARE_KNOWN.load(Ordering::Relaxed)
    }

    /// Takes the modules that have been imported since the project was put in place as the daemon's, before
    /// the code that has imported them goes on. `modules` is `sys.modules`.
    pub(crate) fn note_imported(
        &mut self,
        modules: &Bound<'_, PyDict>,
        rules: &Rules,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let py = modules.py();
        for module in self.modules.iter_mut().filter(|module| module.base.is_none()) {
            let name = module.name.bind(py);
            let Some(loaded) = modules.get_item(name)? else { continue };
            // Code of a project's may have a module of such a name.
            if is_initializing(&loaded) || rules.of_entry(name, &loaded).is_hidden() {
                continue;
            }
            if let Some(live) = module_dict(&loaded) {
                module.set_live(Some(live.clone()), replaced);
                module.take_base(&live, replaced)?;
            }
        }
        let are_known = self.modules.iter().all(|module| module.base.is_some());
        ARE_KNOWN.store(are_known, Ordering::Relaxed);
        Ok(())
    }

    fn find(&mut self, visit: &mut Visit<'_, '_>) {
        if self.found_among == visit.daemons_modules {
            return;
        }
        for module in &mut self.modules {
            module.set_live(loaded(visit.py, &module.name), visit.replaced);
        }
        self.found_among = visit.daemons_modules;
    }
}

impl Module {
    fn live<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        self.live.as_ref().map(|live| live.bind(py).clone())
    }

    /// What was known of a module before does not hold for one that was loaded anew.
    fn set_live(&mut self, live: Option<Bound<'_, PyDict>>, replaced: &mut Replaced) {
        let is_same = match (&self.live, &live) {
            (Some(before), Some(live)) => before.is(live),
            (before, live) => before.is_none() && live.is_none(),
        };
        if !is_same {
            replaced.extend(std::mem::replace(&mut self.live, live.map(Bound::unbind)).map(Py::into_any));
            replaced.extend(self.base.take().map(Py::into_any));
            (self.daemons_version, self.projects_version) = (None, None);
            ARE_KNOWN.store(false, Ordering::Relaxed);
        }
    }

    /// Takes what is there now for the daemon's.
    fn take_base(&mut self, live: &Bound<'_, PyDict>, replaced: &mut Replaced) -> PyResult<()> {
        let before = self.base.replace(live.copy()?.unbind());
        replaced.extend(before.map(Py::into_any));
        self.daemons_version = version(live);
        Ok(())
    }

    /// What is not as the daemon has it, and is the project's.
    fn changes(&self, live: &Bound<'_, PyDict>, module: usize) -> Vec<Own> {
        let Some(base) = self.base.as_ref().map(|base| base.bind(live.py())) else { return Vec::new() };
        let mut changes = Vec::new();
        for (name, value) in items(live) {
            let is_same = base.get_item(&name).ok().flatten().is_some_and(|before| before.is(&value));
            if !is_same && self.is_setting(&name) && !is_everybodys(&value) {
                changes.push(Own { module, name: name.unbind(), value: Some(value.unbind()) });
            }
        }
        for (name, _) in items(base) {
            if self.is_setting(&name) && !live.contains(&name).unwrap_or(true) {
                changes.push(Own { module, name: name.unbind(), value: None });
            }
        }
        changes
    }

    /// Whether a name may be a setting: others are what the module itself remembers.
    fn is_setting(&self, name: &Bound<'_, PyAny>) -> bool {
        let Ok(name) = name.cast::<PyString>() else { return false };
        name.to_str().is_ok_and(|name| !name.starts_with('_') || self.private.contains(&name))
    }
}

/// Modules that were loaded meanwhile, and what this library has wrapped.
fn is_everybodys(value: &Bound<'_, PyAny>) -> bool {
    let is_ours = || {
        let code = function_globals(value).and_then(|_| value.getattr("__code__").ok());
        let file = code.and_then(|code| code.getattr("co_filename").ok()?.extract::<String>().ok());
        file.is_some_and(|file| file.starts_with("<sgtk-host>"))
    };
    // A C function of a module's leads to it, one of this library's to a value in Rust.
    let is_of_rust = || {
        let holder = value.cast::<PyCFunction>().ok().and_then(|function| function.getattr("__self__").ok());
        holder.is_some_and(|holder| !holder.is_instance_of::<PyModule>())
    };
    value.is_instance_of::<PyModule>() || is_of_rust() || is_ours()
}

fn put(live: &Bound<'_, PyDict>, name: &Bound<'_, PyAny>, value: Option<&Py<PyAny>>) -> PyResult<()> {
    match value {
        Some(value) => live.set_item(name, value),
        None if live.contains(name)? => live.del_item(name),
        None => Ok(()),
    }
}

fn let_go(own: Vec<Own>, replaced: &mut Replaced) {
    for Own { name, value, .. } in own {
        replaced.push(name);
        replaced.extend(value);
    }
}
