//! What a daemon needs of each core: limits on calls to the site, nobody who is asked, and keys that are
//! hidden.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use sgtk_config::keys::Learner;

use super::on_import::{Imported, Purpose};
use crate::host::python::steps_in_python;

/// Prepares a core that was just imported for leases or for good. Those of bootstraps are prepared on their
/// way, with the options that they have.
pub(crate) fn prepare_core(
    py: Python<'_>,
    about: &Imported,
    site_timeout: Option<Duration>,
    learner: &Learner,
) -> PyResult<()> {
    if about.purpose == Purpose::Bootstrap {
        return Ok(());
    }
    let seconds = site_timeout.map(|timeout| timeout.as_secs_f64());
    steps_in_python::call(py, "prepare_core", (seconds, learn_function(py, learner.clone())?)).map(drop)
}

/// A function that has a key hidden as long as the secrets live that the learner is of.
pub(crate) fn learn_function(py: Python<'_>, learner: Learner) -> PyResult<Bound<'_, PyCFunction>> {
    let learn = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        learner.learn(&arguments.get_item(0)?.extract::<String>()?);
        Ok::<_, PyErr>(())
    };
    PyCFunction::new_closure(py, None, None, learn)
}
