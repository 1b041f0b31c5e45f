//! Whether what is in place is the core that is to be there.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::world::World;
use crate::error::{Error, Result};
use crate::host::ownership::foreign::{Clean, foreign_modules};
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::roots::is_under;
use crate::host::python::modules::{Origin, origin};
use crate::host::python::names::Names;

/// The `sgtk` module of the state that is in place.
///
/// # Errors
/// [`Error::NotInPlace`].
pub(crate) fn sgtk_in_place<'py>(py: Python<'py>, state: &ImportState) -> Result<Bound<'py, PyModule>> {
    let modules: Bound<'py, PyDict> = World::lock(py)?.modules(py);
    let sgtk = modules.get_item(&Names::of(py).sgtk)?.and_then(|sgtk| sgtk.cast_into::<PyModule>().ok());
    sgtk.ok_or_else(|| Error::NotInPlace { project: state.project().to_owned() })
}

/// The `sgtk` module of the state that is in place, for a lease. The project's own, where other threads have
/// taken it out of `sys.modules` meanwhile, for a moment or by mistake, or have put another in its place:
/// that is theirs to answer for, when their lease ends.
///
/// # Errors
/// [`Error::NotInPlace`].
pub(crate) fn sgtk_for_lease<'py>(py: Python<'py>, state: &ImportState) -> Result<Bound<'py, PyModule>> {
    let visible = sgtk_in_place(py, state);
    if !state.was_verified() || visible.as_ref().is_ok_and(|sgtk| state.is_verified(sgtk)) {
        return visible;
    }
    let own = World::lock(py)?.modules_of(py, state);
    let own = own.and_then(|own| own.get_item(&Names::of(py).sgtk).ok().flatten());
    let own = own.filter(|own| state.is_verified(own)).and_then(|own| own.cast_into::<PyModule>().ok());
    own.map_or(visible, Ok)
}

/// Sees that the state in place is what it was when it was last verified; where that cannot be told at a
/// glance, verifies it anew. A glance at what was put in place: other threads of the project's may have taken
/// it out of `sys.modules` for a moment.
///
/// # Errors
/// [`Error::WrongCore`], [`Error::NotInPlace`].
pub(crate) fn verify_again(py: Python<'_>, state: &Arc<ImportState>) -> Result<()> {
    let own = World::lock(py)?.modules_of(py, state);
    let named = |name| own.as_ref().and_then(|own| own.get_item(name).ok().flatten());
    let (sgtk, tank) = (named(&Names::of(py).sgtk), named(&Names::of(py).tank));
    if sgtk.zip(tank).is_some_and(|(sgtk, tank)| state.is_verified(&sgtk) && tank.is(&sgtk)) {
        return Ok(());
    }
    verify(py, state, &sgtk_in_place(py, state)?)
}

/// Whether what is in place is what was to be imported. Where it is, the state remembers its `sgtk`.
///
/// # Errors
/// [`Error::WrongCore`], naming the module, where it was to be from, and where it is from.
pub(crate) fn verify(py: Python<'_>, state: &Arc<ImportState>, sgtk: &Bound<'_, PyModule>) -> Result<()> {
    let wrong = |module: &str, found: String| Error::WrongCore {
        project: state.project().to_owned(),
        module: module.to_owned(),
        expected: state.location().install_core().to_owned(),
        found,
    };
    let modules = World::lock(py)?.modules(py);
    let named = |name: &str| modules.get_item(name).ok().flatten();
    let Some(tank) = named("tank") else { return Err(wrong("tank", "no such module".to_owned())) };
    if !named("sgtk").is_some_and(|visible| visible.is(sgtk)) || !sgtk.is(&tank) {
        let found = format!("{}, which is not the module 'tank'", describe(sgtk));
        return Err(wrong("sgtk", found));
    }
    if !matches!(origin(&tank), Origin::Path(path) if is_under(&path, state.location().python())) {
        return Err(wrong("tank", describe(&tank)));
    }
    if let Some((module, found)) =
        foreign_modules(&modules, state, None, &mut Clean::default()).into_iter().next()
    {
        return Err(wrong(&module, found));
    }
    state.note_verified(sgtk);
    Ok(())
}

fn describe(module: &Bound<'_, PyAny>) -> String {
    match origin(module) {
        Origin::Path(path) => path,
        Origin::Interpreter => "built into the interpreter".to_owned(),
        Origin::Made => "made by code, from no file".to_owned(),
    }
}
