//! The names in the top modules of a project's core, of which code is to take none away: `del tank.api`,
//! `vars(sgtk).clear()`.

use std::fmt;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyModule, PyString, PyType};

use crate::host::ownership::toolkit_names::{is_core_name, top_level};
use crate::host::python::contents::{self, items, version};
use crate::host::python::modules::{module_dict, own_name};
use crate::host::state::layers::Replaced;

/// How many modules are looked at, at most: a few more than cores have. Each costs a swap some nanoseconds.
const MOST: usize = 32;

/// See the module's documentation. Looking whether anything has changed is comparing a number for each.
#[derive(Default)]
pub(crate) struct CoreNames {
    watched: Vec<Watched>,
    /// What the project's own modules looked like when the top ones among them were noted.
    noted: Option<Stamp>,
}

struct Watched {
    module: String,
    live: Py<PyDict>,
    /// What was in it when it was looked at last. A dictionary would take four times the memory.
    known: Box<[(Py<PyAny>, Py<PyAny>)]>,
    /// What the module looked like then.
    stamp: Stamp,
}

/// Equal where nothing was taken away; where Python keeps no versions, also where as much was added.
#[derive(PartialEq, Eq)]
struct Stamp(Option<u64>, usize);

impl Stamp {
    fn of(dict: &Bound<'_, PyDict>) -> Self {
        Self(version(dict), dict.len())
    }
}

/// A module of the core from which code has taken names away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostNames {
    module: String,
    names: Vec<String>,
}

impl fmt::Display for LostNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How many are told by name.
        const TOLD: usize = 5;
        let told = self.names.iter().take(TOLD).map(|name| format!("'{name}'")).collect::<Vec<_>>();
        write!(f, "{} was taken from its core's module '{}'", told.join(", "), self.module)?;
        match self.names.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl CoreNames {
    /// Gets to know the top modules among the project's own that are not known yet.
    pub(super) fn note(&mut self, own: &Bound<'_, PyDict>) -> PyResult<()> {
        let (py, now) = (own.py(), Some(Stamp::of(own)));
        if self.noted == now {
            return Ok(());
        }
        for (name, module) in items(own) {
            if self.watched.len() == MOST {
                break;
            }
            let Ok(name) = name.cast::<PyString>() else { continue };
            let name = name.to_string_lossy();
            let is_top = is_core_name(top_level(&name)) && name.matches('.').count() <= 1;
            let Some(live) = module_dict(&module).filter(|_| is_top) else { continue };
            // Each is there under the names of both packages.
            if !self.watched.iter().any(|watched| watched.live.bind(py).is(&live)) {
                let (known, stamp) = (names_of(&live), Stamp::of(&live));
                let module = own_name(&module).unwrap_or_else(|| name.into_owned());
                self.watched.push(Watched { module, live: live.unbind(), known, stamp });
            }
        }
        self.noted = now;
        Ok(())
    }

    /// Puts names that were taken away back, and takes others that have changed as they are now.
    pub(super) fn restore(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<Vec<LostNames>> {
        let mut lost = Vec::new();
        for watched in &mut self.watched {
            let live = watched.live.bind(py);
            if Stamp::of(live) == watched.stamp {
                continue;
            }
            let known = watched.known.iter().map(|(name, value)| (name.bind(py), value.bind(py)));
            let missing: Vec<_> = known.filter(|(name, _)| contents::get(live, name).is_none()).collect();
            if missing.iter().any(|(name, value)| is_needed(name, value)) {
                for (name, value) in &missing {
                    live.set_item(name, value)?;
                }
                let names = missing.iter().map(|(name, _)| name.to_string()).collect();
                lost.push(LostNames { module: watched.module.clone(), names });
            }
            let before = std::mem::replace(&mut watched.known, names_of(live));
            before.into_iter().for_each(|(name, value)| {
                replaced.push(name);
                replaced.push(value);
            });
            watched.stamp = Stamp::of(live);
        }
        Ok(lost)
    }
}

fn names_of(live: &Bound<'_, PyDict>) -> Box<[(Py<PyAny>, Py<PyAny>)]> {
    items(live).into_iter().map(|(name, value)| (name.unbind(), value.unbind())).collect()
}

/// Whether a core's code needs what is under this name, and does not take it away itself: code, other
/// modules, and what Python itself has put there.
fn is_needed(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> bool {
    let is_pythons = name.cast::<PyString>().is_ok_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with("__") && name.ends_with("__") && name != "__warningregistry__"
    });
    is_pythons
        || value.is_instance_of::<PyFunction>()
        || value.is_instance_of::<PyType>()
        || value.is_instance_of::<PyModule>()
}
