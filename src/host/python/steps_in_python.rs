//! The Python that takes a bootstrap's steps, which is `sgtk-config`'s, loaded once for the process.

#[cfg(unix)]
use std::path::PathBuf;

use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyNameError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
#[cfg(unix)]
use pyo3::types::{PyBytes, PyList};
use sgtk_config::BOOTSTRAP_STEPS;
#[cfg(unix)]
use sgtk_config::{FolderContents, ReadFile};

static FUNCTIONS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Loads the functions, and what of the standard library they need: while nothing is in place, so that it is
/// the daemon's.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    FUNCTIONS.get_or_try_init(py, || load(py)).map(drop)
}

fn load(py: Python<'_>) -> PyResult<Py<PyDict>> {
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.bootstrap")?;
    // As modules have it: its imports are its own, not its callers'.
    globals.set_item("__loader__", py.None())?;
    let code = py.import("builtins")?.getattr("compile")?;
    let code = code.call1((BOOTSTRAP_STEPS, "<sgtk-host>/bootstrap.py", "exec"))?;
    py.import("builtins")?.getattr("exec")?.call1((code, &globals))?;
    #[cfg(unix)]
    if let Some(function) = globals.get_item("read_folders_with")? {
        function.call1((wrap_pyfunction!(read_folder, py)?,))?;
    }
    Ok(globals.unbind())
}

/// `_read_folder` of `own_files.py`: in a fraction of the time, and with other threads going on meanwhile.
#[cfg(unix)]
#[pyfunction]
fn read_folder<'py>(py: Python<'py>, folder: PathBuf) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
    let FolderContents { files, names } = py.detach(|| FolderContents::read(&folder));
    let bytes = |data: &[u8]| PyBytes::new(py, data);
    let files = files.into_iter().map(|ReadFile { path, stamp, digest, data }| {
        (path.into_os_string(), stamp, digest.map(|digest| bytes(&digest)), data.map(|data| bytes(&data)))
    });
    let by_folder = PyDict::new(py);
    for (folder, names) in names {
        by_folder.set_item(folder.into_os_string(), names)?;
    }
    Ok((PyList::new(py, files.collect::<Vec<_>>())?, by_folder))
}

/// Calls one of the functions.
pub(crate) fn call<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    function(py, name)?.call1(arguments)
}

/// As [`call`], with named arguments too.
pub(crate) fn call_with<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl PyCallArgs<'py>,
    named: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    function(py, name)?.call(arguments, Some(named))
}

/// One of the functions.
pub(crate) fn function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let functions = FUNCTIONS.get_or_try_init(py, || load(py))?.bind(py);
    functions.get_item(name)?.ok_or_else(|| PyNameError::new_err(name.to_owned()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::interpreter::Interpreter;

    #[test]
    fn folders_are_read_as_python_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("info.yml", "version: 1"),
            ("empty.py", ""),
            ("python/tank/__init__.py", "import os\n"),
            ("python/tank/__pycache__/x.pyc", "code"),
            ("python/x.pyc", "code"),
            ("core.backup/old.py", "old"),
            ("python/library.zip", "PK"),
            (".hidden/a.lock", "lock"),
        ] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), text).unwrap();
        }
        fs::File::create(at("large.zip")).unwrap().set_len((32 << 20) + 1).unwrap();
        let strange = folder.path().join(OsStr::from_bytes(b"\xff.py"));
        fs::write(strange, "strange").unwrap();
        symlink(at("info.yml"), at("linked.yml")).unwrap();
        symlink(at("python"), at("linked")).unwrap();
        symlink(at("python"), at("python/tank/circle")).unwrap();
        symlink(at("nowhere"), at("broken.py")).unwrap();
        mkfifoat(CWD, at("pipe.yml"), Mode::RUSR).unwrap();

        Interpreter::start_default().unwrap();
        Python::attach(|py| {
            let read = |reader: Bound<'_, PyAny>| {
                let read = reader.call1((folder.path().to_str().unwrap(),)).unwrap();
                let in_order =
                    c"sorted(read[0]), sorted((name, sorted(names)) for name, names in read[1].items())";
                let scope = PyDict::new(py);
                scope.set_item("read", read).unwrap();
                py.eval(in_order, Some(&scope), None).unwrap().repr().unwrap().to_string()
            };
            let readers = function(py, "_readers").unwrap();
            let (pythons, ours) = (readers.get_item(0).unwrap(), readers.get_item(-1).unwrap());
            assert!(!pythons.is(&ours));
            let expected = read(pythons);
            assert!(expected.contains("__init__.py") && expected.contains("b'import os"), "{expected}");
            assert_eq!(read(ours.clone()), expected);
            let missing = ours.call1((at("nowhere"),)).unwrap();
            assert_eq!(missing.repr().unwrap().to_string(), "([], {})");
        });
    }
}
