//! Workers of several Pythons at once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Python, isolated_with, misbehaving_plugins, pythons};
use sgtk_pool::{Call, WorkerPool};

/// A virtual environment of a Python: another one than that, also where the machine has no second version.
fn virtual_environment(python: &Python, folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let home = python.executable.parent().unwrap().display();
    fs::write(folder.join("pyvenv.cfg"), format!("home = {home}\n")).unwrap();
    symlink(&python.executable, bin.join("python")).unwrap();
    bin.join("python")
}

#[test]
fn no_variable_of_the_environment_takes_another_python() {
    let name = "versions::no_variable_of_the_environment_takes_another_python";
    isolated_with(
        name,
        |child| {
            // It would be what Python says of itself when it is asked.
            child.env("PYTHONEXECUTABLE", "/bin/sh").env("PYTHONHOME", "/nowhere");
        },
        || {
            let folder = tempfile::tempdir().unwrap();
            let launcher = folder.path().join("launcher");
            let python = &pythons()[0];
            fs::write(&launcher, format!("#!/bin/sh\nexec {} \"$@\"\n", python.executable.display()))
                .unwrap();
            fs::set_permissions(&launcher, PermissionsExt::from_mode(0o755)).unwrap();
            let options = WorkerPool::builder().plain("tools").plugin_path(misbehaving_plugins());
            let pool = options.configs(folder.path()).python(&launcher).build().unwrap();
            let identity: Value = pool.call("tools", Call::new("told:identity")).unwrap();
            assert_eq!(identity["python"], json!([python.version.0, python.version.1]));
        },
    );
}

#[test]
fn each_configuration_gets_the_python_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let mut wanted = pythons().to_vec();
    for (number, python) in pythons().iter().enumerate() {
        let executable = virtual_environment(python, &folder.join(number.to_string()));
        wanted.push(Python { executable, ..python.clone() });
    }
    assert!(wanted.len() >= 2, "there is a Python");
    let configs = Configs::new().unwrap();
    let wanted: Vec<_> =
        wanted.into_iter().enumerate().map(|(number, python)| (format!("p{number}"), python)).collect();
    for (name, python) in &wanted {
        let folder = configs.localized(name, &Core::older("v0.22.5")).unwrap();
        configs.interpreter(&folder, python.executable.to_str().unwrap()).unwrap();
    }
    for templates in [false, true] {
        let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
        let pool = options.templates(templates).build().unwrap();
        // All at once.
        let calls: Vec<_> = wanted
            .iter()
            .map(|(name, python)| {
                let call = pool.submit::<Value>(name, Call::new("told:identity")).unwrap();
                (name, python, call)
            })
            .collect();
        for (name, python, call) in calls {
            let identity = call.wait().unwrap();
            assert_eq!(identity["python"], json!([python.version.0, python.version.1]));
            assert_eq!(identity["executable"], python.executable.to_str().unwrap());
            let toolkit: Value = pool.call(name, Call::new("told:toolkit")).unwrap();
            assert_eq!(toolkit["version"], "v0.22.5");
        }
    }
}
