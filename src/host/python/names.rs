//! Names of attributes that are looked up while the world is locked.

use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

/// Strings that are made before anything is locked.
///
/// pyo3's `intern!` lets go of the interpreter where it makes its string. Under the world's lock that would
/// let another thread in, which would then wait for the lock, attached, forever; and it would see a
/// half-changed import state.
pub(crate) struct Names {
    pub(crate) builtins: Py<PyString>,
    pub(crate) cache: Py<PyString>,
    pub(crate) default_timeout: Py<PyString>,
    pub(crate) dict: Py<PyString>,
    pub(crate) disabled: Py<PyString>,
    pub(crate) disable: Py<PyString>,
    pub(crate) file: Py<PyString>,
    pub(crate) handlers: Py<PyString>,
    pub(crate) initializing: Py<PyString>,
    pub(crate) level: Py<PyString>,
    pub(crate) loader: Py<PyString>,
    pub(crate) logging: Py<PyString>,
    pub(crate) mark: Py<PyString>,
    pub(crate) module: Py<PyString>,
    pub(crate) modules: Py<PyString>,
    pub(crate) name: Py<PyString>,
    pub(crate) origin: Py<PyString>,
    pub(crate) owner: Py<PyString>,
    pub(crate) parent: Py<PyString>,
    pub(crate) path: Py<PyString>,
    pub(crate) path_list: Py<PyString>,
    pub(crate) reversed: Py<PyString>,
    pub(crate) root: Py<PyString>,
    pub(crate) set_default_timeout: Py<PyString>,
    pub(crate) sgtk: Py<PyString>,
    pub(crate) socket: Py<PyString>,
    pub(crate) spec: Py<PyString>,
    pub(crate) tank: Py<PyString>,
}

impl Names {
    /// Makes the names and all else that pyo3 makes on first use. To be called before anything is locked.
    pub(crate) fn prepare(py: Python<'_>) {
        Self::of(py);
        // What pyo3 compares every exception with that it takes over from Python.
        py.get_type::<PanicException>();
    }

    pub(crate) fn of(py: Python<'_>) -> &'static Self {
        NAMES.get_or_init(py, || {
            let intern = |name| PyString::intern(py, name).unbind();
            Self {
                builtins: intern("__builtins__"),
                cache: intern("_cache"),
                default_timeout: intern("getdefaulttimeout"),
                dict: intern("__dict__"),
                disabled: intern("disabled"),
                disable: intern("_disable"),
                file: intern("__file__"),
                handlers: intern("handlers"),
                initializing: intern("_initializing"),
                level: intern("level"),
                loader: intern("__loader__"),
                logging: intern("logging"),
                mark: intern("__sgtk_host_owner__"),
                module: intern("__module__"),
                modules: intern("modules"),
                name: intern("__name__"),
                origin: intern("origin"),
                owner: intern("owner"),
                parent: intern("parent"),
                path: intern("__path__"),
                path_list: intern("_path"),
                reversed: intern("__reversed__"),
                root: intern("root"),
                set_default_timeout: intern("setdefaulttimeout"),
                sgtk: intern("sgtk"),
                socket: intern("_socket"),
                spec: intern("__spec__"),
                tank: intern("tank"),
            }
        })
    }
}
