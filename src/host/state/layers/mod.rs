//! What the daemon and the projects take turns to fill: dictionaries (`sys.modules`, the loggers, the
//! environment) and lists (`sys.path`, `sys.meta_path`, `sys.path_hooks`).
//!
//! Each layer remembers the daemon's own contents (`base`). A project's share of it is what it *owns*, and a
//! ready-made combination of both. Entering gives the live object the combined contents, leaving gives it the
//! base again, unless the live object is found changed: then the differences are sorted one by one.

mod ambient;
pub(crate) mod dict;
pub(crate) mod list;
pub(crate) mod overlay;
pub(crate) mod setting;

use pyo3::prelude::*;

/// What a change of the import state lets go of. It is kept until all is in place and nothing is locked, as
/// letting go may run destructors, which are Python code.
pub(crate) type Replaced = Vec<Py<PyAny>>;
