//! A setting of the process's: one value, of which each project may have its own.

use pyo3::prelude::*;

use super::Replaced;
use crate::host::state::part::{Part, Visit};

/// How a setting is read and made. Runs no Python code.
pub(crate) trait Setting: Sized {
    /// What it is set to.
    type Value: PartialEq;

    /// Finds out where the setting is.
    fn find(py: Python<'_>) -> PyResult<Self>;

    /// What it is set to now; nothing where the module that has it is not loaded.
    fn get(&self, py: Python<'_>) -> Option<Self::Value>;

    /// Whether it is set to this now.
    fn is(&self, py: Python<'_>, value: &Self::Value) -> bool {
        self.get(py).as_ref() == Some(value)
    }

    /// Sets it.
    fn set(&self, py: Python<'_>, value: &Self::Value) -> PyResult<()>;

    /// A number that is another one whenever the value may be another one, where that can be had for less
    /// than the value.
    fn version(&self, _py: Python<'_>) -> Option<u64> {
        None
    }

    /// What it is set to where its module was just loaded, as far as that is known.
    fn initial(&self, _py: Python<'_>) -> Option<Self::Value> {
        None
    }

    /// Keeps what a value holds until it can be dropped.
    fn let_go(value: Self::Value, replaced: &mut Replaced) {
        let _ = replaced;
        drop(value);
    }
}

/// A setting as a part of the import state: what a project sets is its own, and the daemon's comes back when
/// it leaves.
pub(crate) struct SettingPart<S: Setting> {
    setting: S,
    /// The daemon's.
    base: Option<S::Value>,
    /// The version when it was last known to be the daemon's, and when a project had it last made its own.
    daemons_version: Option<u64>,
    projects_version: Option<u64>,
}

impl<S: Setting> Part for SettingPart<S> {
    /// The project's, where that is another than the daemon's.
    type Share = Option<S::Value>;

    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self { setting: S::find(py)?, base: None, daemons_version: None, projects_version: None })
    }

    fn empty(_: Python<'_>) -> Self::Share {
        None
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let version = self.setting.version(visit.py);
        let is_known = match version {
            Some(_) => version == self.daemons_version,
            None => self.base.as_ref().is_some_and(|base| self.setting.is(visit.py, base)),
        };
        if !is_known {
            self.take_base(visit);
            self.daemons_version = version;
        }
        let entered = match own {
            Some(own) if self.base.as_ref() != Some(own) => self.setting.set(visit.py, own),
            _ => Ok(()),
        };
        self.projects_version = self.setting.version(visit.py);
        entered
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let version = self.setting.version(visit.py);
        let is_untouched = || match version {
            Some(_) => version == self.projects_version,
            None => self.base.as_ref().is_some_and(|base| self.setting.is(visit.py, base)),
        };
        if own.is_none() && is_untouched() {
            return Ok(());
        }
        let now = self.setting.get(visit.py);
        if self.base.is_none() {
            self.base = self.setting.initial(visit.py);
        }
        let (now, left) = match &self.base {
            Some(base) if now.as_ref() != Some(base) => (now, self.setting.set(visit.py, base)),
            _ => {
                now.into_iter().for_each(|now| S::let_go(now, visit.replaced));
                (None, Ok(()))
            }
        };
        let before = std::mem::replace(own, now);
        before.into_iter().for_each(|before| S::let_go(before, visit.replaced));
        self.daemons_version = None;
        left
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        let before = std::mem::replace(to, from.take());
        before.into_iter().for_each(|before| S::let_go(before, replaced));
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let now = self.setting.get(visit.py);
        let is_own = own.is_some() && *own == now;
        now.into_iter().for_each(|now| S::let_go(now, visit.replaced));
        if !is_own {
            self.take_base(visit);
        }
        Ok(())
    }
}

impl<S: Setting> SettingPart<S> {
    /// Takes what is set now for the daemon's.
    fn take_base(&mut self, visit: &mut Visit<'_, '_>) {
        let before = std::mem::replace(&mut self.base, self.setting.get(visit.py));
        before.into_iter().for_each(|before| S::let_go(before, visit.replaced));
    }
}
