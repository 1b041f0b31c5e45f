//! The published recipe, made safe: a project's core imported afresh and left in place, the one before
//! dropped.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use pyo3::prelude::*;
use sgtk_config::ProjectRef;

use super::gate::Key;
use super::handle::Host;
use super::imports::first::Wanted;
use super::imports::harness;
use super::imports::on_import::Purpose;
use super::lease::turn::Turn;
use super::state::verify::sgtk_in_place;
use super::state::world::{World, place};
use crate::error::Result;

/// The host of the free function, made from the environment on its first call.
static DEFAULT: OnceCell<Host> = OnceCell::new();

/// Imports the project's `sgtk` afresh and leaves it in place: the published recipe, on a host of its own.
///
/// The host is made on the first call, from the environment as it is then: configurations lie under
/// `$SHOTGUN_BASE`, else under `/mnt/sgtk/configs`. The interpreter is started if the process has none. See
/// [`Host::import_sgtk`].
///
/// # Errors
/// Those of [`HostBuilder::build`](super::HostBuilder::build) and [`Host::import_sgtk`].
///
/// # Examples
/// ```no_run
/// use pyo3::prelude::*;
///
/// let sgtk = sgtk_host::import_sgtk("project_a")?;
/// Python::attach(|py| sgtk.bind(py).call_method1("sgtk_from_path", ("/mnt/projects/a",)).map(drop))?;
/// # Ok::<(), sgtk_host::Error>(())
/// ```
pub fn import_sgtk(project: impl Into<ProjectRef>) -> Result<Py<PyModule>> {
    let host = match DEFAULT.get() {
        Some(host) => host,
        None => {
            // Not inside `get_or_try_init`: building needs the interpreter, which a thread that waits for the
            // cell may hold.
            let host = Host::builder().build()?;
            DEFAULT.get_or_init(|| host)
        }
    };
    host.import_sgtk(project)
}

impl Host {
    /// Imports the project's `sgtk` afresh and leaves it in place until the next call, as the published
    /// recipe does.
    ///
    /// Afterwards no `tank*` or `sgtk*` module of an earlier import is left in `sys.modules` and no path of
    /// one on `sys.path`; the core's `python` folder was `sys.path[0]` when the import began;
    /// `TANK_CURRENT_PC` is the project's configuration, or absent. What an earlier call has imported is
    /// dropped. Objects of it that the daemon still holds keep working: their late imports find their own
    /// modules, or fail with an `ImportError` that names the project.
    ///
    /// Code of the daemon's on a thread that has imported one project, while another thread has imported
    /// another one since, gets an `ImportError` for `import sgtk` instead of that one's core: use
    /// [`with_sgtk`](Host::with_sgtk) where several threads work on several projects, as in a test harness.
    ///
    /// What is so in place counts as the daemon's own outside leases: leases of this and other hosts put it
    /// aside and bring it back. Leases and this function do not share modules, even for one project.
    ///
    /// # Errors
    /// As [`Host::lease`], and [`Error::CoreChanging`](crate::Error::CoreChanging) where the core's files are
    /// being replaced. What an earlier call has imported then stays in place.
    pub fn import_sgtk(&self, project: impl Into<ProjectRef>) -> Result<Py<PyModule>> {
        let project = &*self.inner.folder(project.into())?;
        Python::attach(|py| {
            self.refuse_if_closed(project)?;
            self.inner.configs.locate(project)?;
            let key = Key::unique(project);
            let turn = Turn::take(py, &key, self.inner.lease_timeout)?;
            // It may have been shut down while this waited.
            self.refuse_if_closed(project)?;
            let location = self.inner.configs.locate(project)?;
            self.inner.end_outside(py);
            // On an error the turn puts back what was in place.
            let wanted = Wanted { key, location, before: None, is_guest: false, purpose: Purpose::Recipe };
            let state = self.inner.import(py, wanted)?;
            let sgtk = sgtk_in_place(py, &state)?.unbind();
            // Out and in again: what the import brought is the project's, what changes from now on is the
            // daemon's.
            place(py, None)?;
            let before = World::lock(py)?.set_outside(Some(Arc::clone(&state)));
            harness::note_imported(&state);
            drop(turn);
            self.inner.retire_outside(py, before.as_ref());
            Ok(sgtk)
        })
    }

    /// Takes out what [`import_sgtk`](Self::import_sgtk) has left in place, and drops it. Returns whether
    /// there was any.
    ///
    /// # Errors
    /// [`Error::NestedLease`](crate::Error::NestedLease) where this thread holds a lease,
    /// [`Error::LeaseTimeout`](crate::Error::LeaseTimeout) after the host's limit.
    pub fn forget_sgtk(&self) -> Result<bool> {
        Python::attach(|py| {
            let turn = Turn::take(py, &Key::unique("no project"), self.inner.lease_timeout)?;
            self.inner.end_outside(py);
            let before = World::lock(py)?.set_outside(None);
            harness::note_forgotten();
            drop(turn);
            self.inner.retire_outside(py, before.as_ref());
            Ok(before.is_some())
        })
    }
}
