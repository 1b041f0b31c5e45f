//! Keys are seen nowhere.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::{BootstrapCallbacks, Error, Host};
use sgtk_host_fixtures::{Fault, Studio};

use crate::support::{alone, options, studio};

/// What `tracing` writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has `tracing` write all that it is told.
fn logged() -> Log {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    log
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn what_goes_wrong_after_a_failure_tells_no_key_either() {
    alone("keys::what_goes_wrong_after_a_failure_tells_no_key_either", || {
        let log = logged();
        let studio = studio();
        let host = Host::builder().configs(studio.home()).build().unwrap();
        let stops = BootstrapCallbacks::new().on_progress(|_| {
            Python::attach(|py| {
                let scope = PyDict::new(py);
                scope.set_item("key", Studio::KEY).unwrap();
                let code = c"
import logging, sys
class Handler(logging.Handler):
    def close(self):
        raise ValueError('cannot close, with ' + key)
logging.getLogger().addHandler(Handler())
sys.modules['tank'].LogManager = key
";
                py.run(code, Some(&scope), Some(&scope)).unwrap();
            });
            ControlFlow::Break(())
        });
        let error = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &stops).unwrap_err();
        assert!(matches!(error, Error::BootstrapStopped { .. }), "{error}");
        let log = log.text();
        assert!(log.contains("cannot close, with [hidden]"), "{log}");
        assert!(!log.contains(Studio::KEY), "{log}");
    });
}

#[test]
fn a_key_is_in_no_debug_form_error_log_argument_or_variable() {
    alone("keys::a_key_is_in_no_debug_form_error_log_argument_or_variable", || {
        let log = logged();
        let studio = studio();
        let host = Host::builder().configs(studio.home()).forward_logs(true).build().unwrap();
        let builder = options(&studio, 176).http_proxy(format!("user:opensesame@{}", "127.0.0.1:9"));
        let bootstrap = builder.build().unwrap();
        let mut seen = vec![format!("{bootstrap:?} {bootstrap}")];
        // Through a proxy that is not there: the client's error tells the proxy's address.
        seen.push(host.bootstrap(&bootstrap).unwrap_err().to_string());

        let engine = host.bootstrap(&options(&studio, 176).build().unwrap()).unwrap();
        seen.push(format!("{engine:?} {:?}", engine.info()));
        // Code that shows it in every way it can.
        let error = engine.with(|engine| {
            let logger = engine.sgtk().getattr("LogManager")?.call0()?.getattr("root_logger")?;
            logger.call_method1("warning", ("the key is %s", Studio::KEY))?;
            Err::<(), _>(PyRuntimeError::new_err(format!("no entry with '{}'", Studio::KEY)))
        });
        let error = error.unwrap_err();
        assert!(error.to_string().contains("no entry with '[hidden]'"), "{error}");
        seen.push(format!("{error} {error:?}"));
        let process: String = Python::attach(|py| {
            let sys = py.import("sys").unwrap();
            let os = py.import("os").unwrap();
            let of = |object: Bound<'_, PyAny>| object.repr().unwrap().to_string();
            of(sys.getattr("argv").unwrap()) + &of(os.getattr("environ").unwrap())
        });
        seen.push(process);
        engine.destroy().unwrap();
        studio.site().fault("*", Fault::WrongKey).unwrap();
        seen.push(host.bootstrap(&options(&studio, 176).build().unwrap()).unwrap_err().to_string());

        let log = log.text();
        assert!(log.contains("the key is [hidden]"), "the record was forwarded");
        seen.push(log);
        for text in seen {
            assert!(!text.contains(Studio::KEY) && !text.contains("opensesame"), "{text}");
        }
    });
}
