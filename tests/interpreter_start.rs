//! Starting CPython. Each test runs in a process of its own: there is one interpreter for each process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use pyo3::prelude::*;
use sgtk_host::interpreter::{Interpreter, Origin};
use sgtk_host_fixtures::isolated;

#[test]
fn the_running_libpython_is_the_one_linked() {
    isolated(
        "the_running_libpython_is_the_one_linked",
        |_| {},
        || {
            let interpreter = Interpreter::start_default().unwrap();
            let library = interpreter.library().unwrap().canonicalize().unwrap();
            let linked = Path::new(env!("SGTK_HOST_LINKED_LIBDIR")).canonicalize().unwrap();
            assert_eq!(library.parent(), Some(&*linked));
            assert_eq!(interpreter.origin(), Origin::Started);
            let inside: String = Python::attach(|py| {
                py.eval(c"'.'.join(map(str, __import__('sys').version_info[:3]))", None, None)
                    .unwrap()
                    .extract()
                    .unwrap()
            });
            assert_eq!(interpreter.version().to_string(), inside);
        },
    );
}
