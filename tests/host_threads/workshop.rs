//! What the tests with threads share: Python code with names, and a watchdog for what must not hang.

use std::ffi::CString;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::Host;
use sgtk_host::interpreter::Interpreter;
use sgtk_host_fixtures::{host_libraries, host_packages, isolated};

/// Longer than anything here takes on a slow machine that has other things to do as well.
fn long() -> Duration {
    let seconds = std::env::var("SGTK_HOST_TEST_SECONDS").map_or(300, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Runs `body` in a process of its own, in which the daemon has packages of its own, and libraries that cores
/// bring too. A body that hangs ends with a message that shows what each thread was doing.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    isolated(name, || {
        let _watchdog = Watchdog::new(name);
        Interpreter::builder().write_bytecode(false).start().unwrap();
        Python::attach(|py| {
            let limit = long().as_secs_f64() - 5.0;
            py.import("faulthandler").unwrap().call_method1("dump_traceback_later", (limit,)).unwrap();
            // Threads are to take turns at the interpreter a lot, and tests are to end soon all the same.
            py.import("sys").unwrap().call_method1("setswitchinterval", (0.000_5,)).unwrap();
            let path = py.import("sys").unwrap().getattr("path").unwrap();
            for folder in [host_packages(), host_libraries()] {
                // Before what may be installed under the same names.
                path.call_method1("insert", (0, folder.to_str().unwrap())).unwrap();
            }
        });
        body();
    });
}

/// Ends the process where it is not dropped in time: threads that wait for each other would be waited for,
/// forever.
struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    fn new(name: &str) -> Self {
        let (alive, when_dropped) = mpsc::channel::<()>();
        let name = name.to_owned();
        std::thread::spawn(move || {
            if when_dropped.recv_timeout(long()) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name}: hangs, no end after {:?}", long());
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}

/// Runs Python code of the daemon's with these names, and gives all names that it has then.
pub(crate) fn run<'py>(
    py: Python<'py>,
    code: &str,
    names: &[(&str, &Bound<'py, PyAny>)],
) -> Bound<'py, PyDict> {
    let scope = PyDict::new(py);
    for (name, value) in names {
        scope.set_item(name, value).unwrap();
    }
    if let Err(error) = py.run(&CString::new(code).unwrap(), Some(&scope), None) {
        panic!("{}", sgtk_host::python_error(&error));
    }
    scope
}

/// A value out of a scope.
pub(crate) fn get<'py, T>(scope: &Bound<'py, PyDict>, name: &str) -> T
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let value = scope.get_item(name).unwrap().unwrap_or_else(|| panic!("no '{name}'"));
    value.extract().map_err(Into::into).unwrap()
}

/// The value of a Python expression of the daemon's with these names.
pub(crate) fn eval<'py, T>(py: Python<'py>, expression: &str, names: &[(&str, &Bound<'py, PyAny>)]) -> T
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    get(&run(py, &format!("value = {expression}"), names), "value")
}

/// Leases the project, and gives an object of its that the expression, in which `sgtk` is its core, stands
/// for. It is parked then.
pub(crate) fn keep(host: &Host, project: &str, expression: &str) -> Py<PyAny> {
    Python::attach(|py| {
        let lease = host.lease(py, project).unwrap();
        eval::<Bound<'_, PyAny>>(py, expression, &[("sgtk", lease.sgtk().as_any())]).unbind()
    })
}

/// Waits, detached or not attached at all, until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < long(), "never: {what}");
        std::thread::yield_now();
    }
}

/// A small generator of numbers that look random and are the same at each run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}
