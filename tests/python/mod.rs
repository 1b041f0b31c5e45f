//! Pythons and Python code for the interpreter's tests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;

/// The Python that the crate was linked with, as a real file.
pub(crate) fn linked() -> PathBuf {
    Path::new(env!("SGTK_HOST_LINKED_PYTHON")).canonicalize().unwrap()
}

/// `str(expression)` in the started interpreter.
pub(crate) fn eval(expression: &str) -> String {
    let code = std::ffi::CString::new(expression).unwrap();
    Python::attach(|py| match py.eval(&code, None, None) {
        Ok(value) => value.str().unwrap().to_string(),
        Err(error) => panic!("{expression}: {error}"),
    })
}

/// Runs `code` as a module's body in `__main__`.
pub(crate) fn run(code: &str) {
    let code = std::ffi::CString::new(code).unwrap();
    Python::attach(|py| py.run(&code, None, None)).unwrap();
}

/// A virtual environment in `folder`, without pip, holding `modules` (file name, text). Returns its Python.
pub(crate) fn virtual_environment(folder: &Path, modules: &[(&str, &str)]) -> PathBuf {
    let python = linked();
    let bin = folder.join("bin");
    let version = env!("SGTK_HOST_LINKED_VERSION");
    let packages = folder.join(format!("lib/python{version}/site-packages"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&packages).unwrap();
    let home = python.parent().unwrap().display();
    fs::write(folder.join("pyvenv.cfg"), format!("home = {home}\ninclude-system-site-packages = false\n"))
        .unwrap();
    symlink(&python, bin.join("python")).unwrap();
    for (name, text) in modules {
        fs::write(packages.join(name), text).unwrap();
    }
    bin.join("python")
}

/// A virtual environment in `folder` that runs `code` as part of its start. By way of a `.pth` file, as there
/// is one `sitecustomize` for each Python and the one that it was installed with, as Debian's is, comes
/// first.
pub(crate) fn virtual_environment_that_starts_with(folder: &Path, code: &str) -> PathBuf {
    let modules = [("start_up_code.pth", "import start_up_code\n"), ("start_up_code.py", code)];
    virtual_environment(folder, &modules)
}

/// An executable shell script.
pub(crate) fn script(path: &Path, body: &str) -> PathBuf {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}
