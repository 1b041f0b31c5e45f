//! The process of the projects: `sgtk-eventd host-projects`, which the daemon starts.

mod calls;
mod connection;
mod instances;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use sgtk_config::python::Executables;
use sgtk_host::interpreter::Interpreter;
use sgtk_host::pyo3::prelude::*;
use sgtk_host::pyo3::types::PyCFunction;
use tracing_subscriber::layer::SubscriberExt as _;

use super::wire::{News, Order, Setup, read};
use calls::{Calls, chain};
use connection::Connection;
use instances::Instances;

/// How long hooks, threads and `atexit` callbacks may take at the end.
const ENDING: Duration = Duration::from_secs(2);

/// Python's side of the log, for the process as a whole.
const RECORDS: &str = include_str!("../../python/sgtk_eventd/records.py");

/// Serves until the daemon wants it to end, or has ended itself.
pub(crate) fn main() -> ExitCode {
    let mut socket = match take_socket() {
        Ok(socket) => socket,
        Err(error) => {
            // There is nobody else to tell.
            let _ =
                writeln!(std::io::stderr(), "sgtk-eventd: this is a command of the daemon's own: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Ok(connection) = socket.try_clone().map(Connection::new) else { return ExitCode::FAILURE };
    let connection = Arc::new(connection);
    let Ok(Some(setup)) = read::<Setup>(&mut socket) else { return ExitCode::FAILURE };
    let log = tracing_subscriber::registry().with(connection::ToDaemon(Arc::clone(&connection)));
    // None was set before.
    let _ = tracing::subscriber::set_global_default(log);
    {
        let connection = Arc::clone(&connection);
        sgtk_config::keys::on_learned(move |secret| connection.send(&News::Secret(secret.to_owned())));
    }
    let instances = match start(&setup, &connection) {
        Ok(instances) => Arc::new(instances),
        Err(reason) => {
            connection.send(&News::Unfit(format!("[sgtk] isolation = in-process: {reason}")));
            return ExitCode::FAILURE;
        }
    };
    let calls = Calls::new(Arc::clone(&instances), Arc::clone(&connection));
    loop {
        match read::<Order>(&mut socket) {
            Ok(Some(Order::Call(request))) => calls.begin(*request),
            Ok(Some(Order::Abort(id))) => calls.abort(id),
            Ok(Some(Order::Forget(worker))) => calls.forget(&worker),
            Ok(Some(Order::End)) => {
                instances.end();
                if let Some(interpreter) = Interpreter::current()
                    && let Err(error) = interpreter.shutdown(ENDING)
                {
                    tracing::warn!(%error, "the process of all projects ends in the middle of something");
                }
                leave(0);
            }
            // The daemon has ended, in whatever way: nobody wants what runs here any more.
            Ok(None) | Err(_) => leave(1),
        }
    }
}

/// Ends this process at once, whatever its threads do.
fn leave(code: i32) -> ! {
    // SAFETY: it takes a number and does not return; nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

/// The socket to the daemon, which came in standard input's place. Nothing that is started here inherits it.
fn take_socket() -> std::io::Result<UnixStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::net::sockopt::socket_type(&socket)?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(socket.into())
}

fn start(setup: &Setup, connection: &Arc<Connection>) -> Result<Instances, String> {
    let interpreter = Interpreter::builder();
    let interpreter = match &setup.python {
        Some(python) => {
            let found = Executables::default().real(python);
            interpreter.executable(found.map_err(|error| format!("[eventd] python: {error}"))?)
        }
        None => interpreter,
    };
    let interpreter = interpreter.start().map_err(|error| format!("[eventd] python: {}", chain(&error)))?;
    let instances = Instances::new(setup).map_err(|error| chain(&error))?;
    Python::attach(|py| prepare(py, connection))
        .map_err(|error| sgtk_host::python_error(&error).to_string())?;
    connection.send(&News::Ready(interpreter.version().to_string()));
    Ok(instances)
}

/// What holds for all projects: where log records and prints go.
fn prepare(py: Python<'_>, connection: &Arc<Connection>) -> PyResult<()> {
    for stream in ["stdout", "stderr"] {
        let options = sgtk_host::pyo3::types::PyDict::new(py);
        options.set_item("line_buffering", true)?;
        py.import("sys")?.getattr(stream)?.call_method("reconfigure", (), Some(&options))?;
    }
    // A crash says where, and then ends the process: Rust's own handlers, to which the signal would be passed
    // on, let one pass that somebody has sent.
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action needs no code of this process's.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    py.import("faulthandler")?.call_method0("enable")?;
    let code = std::ffi::CString::new(RECORDS)?;
    let records = PyModule::from_code(py, &code, c"records.py", c"eventd_records")?;
    let connection = Arc::clone(connection);
    let tell = PyCFunction::new_closure(py, None, None, move |arguments, _| {
        let record: String = arguments.get_item(0)?.extract()?;
        // The daemon may be slow to read.
        arguments.py().detach(|| connection.send(&News::Record(record)));
        PyResult::Ok(())
    })?;
    records.call_method1("begin", (tell,))?;
    Ok(())
}
