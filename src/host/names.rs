//! Names of attributes that are looked up while the world is locked.

use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::ownership::Owner;

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

/// Strings that are made before anything is locked.
///
/// pyo3's `intern!` lets go of the interpreter where it makes its string. Under the world's lock that would let another
/// thread in, which would then wait for the lock, attached, for ever; and it would see a half-changed import state.
pub(super) struct Names {
    pub(super) builtins: Py<PyString>,
    pub(super) cache: Py<PyString>,
    pub(super) dict: Py<PyString>,
    pub(super) disable: Py<PyString>,
    pub(super) file: Py<PyString>,
    pub(super) initializing: Py<PyString>,
    pub(super) level: Py<PyString>,
    pub(super) mark: Py<PyString>,
    pub(super) module: Py<PyString>,
    pub(super) modules: Py<PyString>,
    pub(super) name: Py<PyString>,
    pub(super) origin: Py<PyString>,
    pub(super) owner: Py<PyString>,
    pub(super) path: Py<PyString>,
    pub(super) path_list: Py<PyString>,
    pub(super) sgtk: Py<PyString>,
    pub(super) spec: Py<PyString>,
    pub(super) tank: Py<PyString>,
}

impl Names {
    /// Makes the names and all else that is made on first use. To be called before anything is locked.
    pub(super) fn prepare(py: Python<'_>) {
        Self::of(py);
        // Classes of Rust's are made on first use too, and let go of the interpreter as well. The second is what pyo3
        // compares every exception with that it takes over from Python.
        py.get_type::<Owner>();
        py.get_type::<PanicException>();
    }

    pub(super) fn of(py: Python<'_>) -> &'static Self {
        NAMES.get_or_init(py, || {
            let intern = |name| PyString::intern(py, name).unbind();
            Self {
                builtins: intern("__builtins__"),
                cache: intern("_cache"),
                dict: intern("__dict__"),
                disable: intern("_disable"),
                file: intern("__file__"),
                initializing: intern("_initializing"),
                level: intern("level"),
                mark: intern("__sgtk_host_owner__"),
                module: intern("__module__"),
                modules: intern("modules"),
                name: intern("__name__"),
                origin: intern("origin"),
                owner: intern("owner"),
                path: intern("__path__"),
                path_list: intern("_path"),
                sgtk: intern("sgtk"),
                spec: intern("__spec__"),
                tank: intern("tank"),
            }
        })
    }
}
