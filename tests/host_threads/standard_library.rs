//! What a project's code replaces in the standard library, whatever the module.

use pyo3::prelude::*;
use sgtk_host_fixtures::bundled;

use crate::support::host;
use crate::workshop::{alone, eval, run};

/// Loads all public modules that can be loaded here, but for those that do something then.
const LOAD: &str = "
import contextlib, importlib, os, pkgutil, sys, warnings
folder = os.path.dirname(os.__file__)
left_out = {'antigravity', 'idlelib', 'lib2to3', 'test', 'this', 'tkinter', 'turtle', 'turtledemo'}
def public(name):
    return not name.startswith('_') and name not in left_out
def names(folders, prefix=''):
    for _, name, is_package in pkgutil.iter_modules(folders):
        if public(name) and name != 'tests':
            yield prefix + name
            if is_package:
                yield from names([os.path.join(folders[0], name)], prefix + name + '.')
tops = getattr(sys, 'stdlib_module_names', None) or [*sys.builtin_module_names, *names([folder])]
for name in sorted({name for name in tops if public(name)}) + sorted(names([folder])):
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter('ignore')
        importlib.import_module(name)
";

/// The public modules of the standard library that are loaded, under their own names, and a function in each.
/// setuptools has a `distutils` of its own.
const FIND: &str = "
import sys, types
found = {}
for name in sorted(sys.modules):
    module, public = sys.modules[name], not any(part.startswith('_') for part in name.split('.'))
    public = public and name not in ('builtins', 'sys') and name.split('.')[0] in known
    if public and isinstance(module, types.ModuleType) and module.__name__ == name and module.__spec__ \
            and '-packages' not in str(module.__spec__.origin):
        own = [key for key, value in vars(module).items() if not key.startswith('_')
               and isinstance(value, (types.FunctionType, type)) and value.__module__ == name]
        found[name] = own[0] if own else None
";

/// Replaces that function in each, and adds a name.
const REPLACE: &str = "
for name, own in found.items():
    sys.modules[name].of_a_project = marker
    if own and name + '.' + own != 'importlib.import_module':
        setattr(sys.modules[name], own, marker)
";

/// The modules in which all that was replaced is there, and those in which something of it is.
const SEEN: &str = "
there = {name: [vars(sys.modules[name]).get(key) is marker
                for key in ('of_a_project', own) if key and name + '.' + key != 'importlib.import_module']
         for name, own in found.items()}
whole = [name for name in there if all(there[name])]
some = [name for name in there if any(there[name])]
";

#[test]
fn what_a_project_replaces_in_any_public_module_is_its_own() {
    alone("standard_library::what_a_project_replaces_in_any_public_module_is_its_own", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let values = Python::attach(|py| {
            let values = run(py, "marker = object()", &[]).unbind();
            let namespace = values.bind(py);
            let within = |code: &str| {
                let code = std::ffi::CString::new(code).unwrap();
                py.run(&code, Some(namespace), None).unwrap();
            };
            let list =
                |name: &str| -> Vec<String> { namespace.get_item(name).unwrap().unwrap().extract().unwrap() };
            // The daemon has loaded some of them, the project loads the others.
            within("import asyncio, email.mime.text, json, logging.config, unittest, xml.dom.minidom");
            let lease = host.lease(py, "project_a").unwrap();
            within(LOAD);
            within("known = {name.split('.')[0] for name in tops}");
            within(FIND);
            lease.finish().unwrap();
            let all: Vec<String> =
                eval(py, "list(found)", &[("found", &namespace.get_item("found").unwrap().unwrap())]);
            assert!(all.len() > 150, "{all:?}");
            let lease = host.lease(py, "project_a").unwrap();
            within(REPLACE);
            within(SEEN);
            assert_eq!(list("whole"), all);
            lease.finish().unwrap();
            within(SEEN);
            assert_eq!(list("some"), [""; 0], "the daemon's");
            let lease = host.lease(py, "project_b").unwrap();
            within(SEEN);
            assert_eq!(list("some"), [""; 0], "another project's");
            lease.finish().unwrap();
            let lease = host.lease(py, "project_a").unwrap();
            within(SEEN);
            assert_eq!(list("whole"), all, "the project's own again");
            lease.finish().unwrap();
            within(SEEN);
            assert_eq!(list("some"), [""; 0], "the daemon's again");
            values
        });
        drop(values);
    });
}
