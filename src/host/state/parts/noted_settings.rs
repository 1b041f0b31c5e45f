//! Settings that are known to have changed because a function was called.

use pyo3::prelude::*;

use crate::host::python::noted::{self, Key, Value};
use crate::host::python::signals;
use crate::host::state::layers::Replaced;
use crate::host::state::part::{Part, Visit};

/// See the module's documentation. What a project sets is its own, and the daemon's comes back when it
/// leaves. Handlers of signals only come back: they are set on Python's main thread alone, and leases are
/// taken on any.
pub(crate) struct NotedSettings;

impl Part for NotedSettings {
    /// What the project has set.
    type Share = Vec<(Key, Value)>;

    fn new(_: Python<'_>) -> PyResult<Self> {
        Ok(Self)
    }

    fn empty(_: Python<'_>) -> Self::Share {
        Vec::new()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        noted::watch();
        let mut outcome = signals::set_pending(py);
        for (key, value) in own.iter() {
            noted::note(py, key.copied(py));
            outcome = outcome.and(noted::write(py, key, value));
        }
        outcome
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        let mut outcome = signals::set_pending(py);
        for (key, before) in noted::left() {
            let now = noted::read(py, &key);
            outcome = outcome.and(noted::write(py, &key, &before));
            let known = own.iter().position(|(known, _)| known.is(&key));
            known.map(|known| own.swap_remove(known)).into_iter().for_each(|own| let_go(own, visit.replaced));
            match now {
                Some(now) if now.may_be_kept() && !now.is(py, &before) => own.push((key, now)),
                now => now.into_iter().for_each(|now| now.let_go(visit.replaced)),
            }
            before.let_go(visit.replaced);
        }
        outcome
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        std::mem::replace(to, std::mem::take(from)).into_iter().for_each(|own| let_go(own, replaced));
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        let noted = noted::left();
        noted::watch();
        for (key, before) in noted {
            let is_own = own
                .iter()
                .find(|(known, _)| known.is(&key))
                .is_some_and(|(key, value)| noted::read(py, key).is_some_and(|now| now.is(py, value)));
            if is_own {
                noted::keep(key, before);
            } else {
                before.let_go(visit.replaced);
            }
        }
        Ok(())
    }
}

fn let_go((key, value): (Key, Value), replaced: &mut Replaced) {
    if let Key::Search(function) = key {
        replaced.push(function);
    }
    value.let_go(replaced);
}
