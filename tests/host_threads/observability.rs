//! What the host tells: spans, events, statistics, and Toolkit's log records.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use sgtk_host_fixtures::{bundled, project_code};

use crate::listener::{Listener, Told};
use crate::support::{host, options};
use crate::workshop::{alone, eval, keep, run, until};

/// Panics unless these fields hold numbers above zero.
fn has_numbers(told: &Told, fields: &[&str]) {
    for field in fields {
        let value = told.get(*field).unwrap_or_else(|| panic!("no {field} in {told:?}"));
        assert!(value.parse::<u64>().is_ok(), "{field} of {told:?}");
    }
}

#[test]
fn entering_parking_importing_waiting_and_evicting_are_told_with_their_numbers() {
    alone(
        "observability::entering_parking_importing_waiting_and_evicting_are_told_with_their_numbers",
        || {
            let configs = bundled().unwrap();
            let (host, listener) = (host(&configs), Listener::listening());
            let core = configs.config("project_a").join("install/core").display().to_string();
            host.with_sgtk("project_a", |_| Ok(())).unwrap();
            let import = listener.one("span", "import");
            assert_eq!((import["project"].as_str(), import["core"].as_str()), ("project_a", core.as_str()));
            assert_eq!(import["version"], "v0.24.0");
            has_numbers(&listener.one("message", "imported"), &["micros"]);
            assert_eq!(listener.one("span", "lease")["project"], "project_a");
            let parked = listener.one("message", "parked");
            assert_eq!((parked["project"].as_str(), parked["core"].as_str()), ("project_a", core.as_str()));
            has_numbers(&parked, &["micros", "modules"]);
            assert_ne!(parked["modules"], "0");

            std::thread::scope(|scope| {
                Python::attach(|py| {
                    let lease = host.lease(py, "project_a").unwrap();
                    let entered = listener.one("message", "entered");
                    assert_eq!(
                        (entered["project"].as_str(), entered["core"].as_str()),
                        ("project_a", core.as_str())
                    );
                    has_numbers(&entered, &["micros", "modules"]);
                    let waits = host.clone();
                    scope.spawn(move || waits.with_sgtk("project_b", |_| Ok(())).unwrap());
                    py.detach(|| until("it is queued", || host.waiting() == 1));
                    drop(lease);
                });
            });
            let waited = listener.one("message", "waited");
            assert_eq!(waited["project"], "project_b");
            has_numbers(&waited, &["micros"]);

            Python::attach(|py| host.evict(py, "project_a").unwrap());
            let evicted = listener.one("message", "evicted");
            assert_eq!((evicted["project"].as_str(), evicted["core"].as_str()), ("project_a", core.as_str()));
            has_numbers(&evicted, &["micros", "modules"]);
            assert_eq!(listener.with("level", "ERROR").len() + listener.with("level", "WARN").len(), 0);
        },
    );
}

#[test]
fn the_resident_cores_are_listed_with_what_they_take() {
    alone("observability::the_resident_cores_are_listed_with_what_they_take", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        assert!(host.residents().is_empty());
        for project in ["project_b", "project_a", "project_b"] {
            host.with_sgtk(project, |_| Ok(())).unwrap();
        }
        let residents = host.residents();
        let seen: Vec<_> =
            residents.iter().map(|one| (one.project.as_str(), one.core.version(), one.entries)).collect();
        assert_eq!(seen, [("project_a", Some("v0.24.0"), 1), ("project_b", Some("v0.22.5"), 2)]);
        assert!(residents.iter().all(|one| one.modules > 40), "{residents:?}");
        assert!(residents[0].idle >= residents[1].idle);
    });
}

#[test]
fn toolkit_s_log_records_are_forwarded_with_their_project() {
    alone("observability::toolkit_s_log_records_are_forwarded_with_their_project", || {
        let configs = bundled().unwrap();
        let listener = Listener::listening();
        let host = options(&configs).forward_logs(true).build().unwrap();
        for project in ["project_a", "project_b", "project_a"] {
            host.with_sgtk(project, |sgtk| {
                let code = "
import logging
for name in ('sgtk.core.somewhere', 'tank.elsewhere'):
    logger = logging.getLogger(name)
    logger.warning('%s says %d', name, 7)
logging.getLogger('sgtk').error('bad %d', 'format')
logging.getLogger('sgtk').info('fine')
logging.getLogger('sgtk').debug('small')
logging.getLogger('daemon').error('its own')
logging.disable(logging.NOTSET)
";
                run(sgtk.py(), code, &[]);
                Ok(())
            })
            .unwrap();
        }
        for (message, level, logger) in [
            ("sgtk.core.somewhere says 7", "WARN", "sgtk.core.somewhere"),
            ("tank.elsewhere says 7", "WARN", "tank.elsewhere"),
            ("fine", "INFO", "sgtk"),
            ("small", "DEBUG", "sgtk"),
        ] {
            let told = listener.with("message", message);
            let projects: Vec<_> = told.iter().map(|one| one["project"].as_str()).collect();
            assert_eq!(projects, ["project_a", "project_b", "project_a"], "{message}");
            for one in told {
                assert_eq!((one["level"].as_str(), one["logger"].as_str()), (level, logger));
                assert_eq!(one["target"], "sgtk");
            }
        }
        let unformatted = listener.with("level", "ERROR");
        assert_eq!(unformatted.len(), 3, "{unformatted:?}");
        assert!(unformatted[0]["message"].contains("bad %d"), "{unformatted:?}");
        assert!(listener.with("message", "its own").is_empty());
    });
}

#[test]
fn records_of_a_parked_project_s_threads_carry_its_name() {
    alone("observability::records_of_a_parked_project_s_threads_carry_its_name", || {
        let configs = bundled().unwrap();
        let listener = Listener::listening();
        let host = options(&configs).forward_logs(true).build().unwrap();
        let log = keep(&host, "project_a", "sgtk.LogManager.get_logger('tank.background').warning");
        Python::attach(|py| {
            let _lease = host.lease(py, "project_b").unwrap();
            log.bind(py).call1(("from afar",)).unwrap();
        });
        assert_eq!(listener.one("message", "from afar")["project"], "project_a");
    });
}

#[test]
fn no_record_is_forwarded_unless_asked_for() {
    alone("observability::no_record_is_forwarded_unless_asked_for", || {
        let configs = bundled().unwrap();
        let (host, listener) = (host(&configs), Listener::listening());
        host.with_sgtk("project_a", |sgtk| {
            run(sgtk.py(), "import logging; logging.getLogger('sgtk').error('unheard')", &[]);
            Ok(())
        })
        .unwrap();
        assert!(listener.with("message", "unheard").is_empty());
        assert!(listener.with("target", "sgtk").is_empty());
    });
}

#[test]
fn a_record_that_an_engine_writes_to_another_logger_is_forwarded_once() {
    alone("observability::a_record_that_an_engine_writes_to_another_logger_is_forwarded_once", || {
        let configs = bundled().unwrap();
        let listener = Listener::listening();
        let host = options(&configs).forward_logs(true).build().unwrap();
        host.with_sgtk("project_a", |sgtk| {
            // As `tk-shell` does, which has no log of its own.
            let code = "
import logging
shell = logging.getLogger('tank.tk-shell')
class Engine(logging.Handler):
    def emit(self, record):
        shell.warning('app: %s', record.getMessage())
        shell.warning('of its own')
logging.getLogger('sgtk').addHandler(Engine())
logging.getLogger('sgtk.env.app').warning('from the app')
shell.warning('from the shell')
";
            run(sgtk.py(), code, &[]);
            Ok(())
        })
        .unwrap();
        for message in ["from the app", "of its own", "from the shell"] {
            listener.one("message", message);
        }
        assert!(listener.with("message", "app: from the app").is_empty());
    });
}

#[test]
fn loggers_that_are_made_late_are_forwarded_as_their_own_project_s() {
    alone("observability::loggers_that_are_made_late_are_forwarded_as_their_own_project_s", || {
        let listener = Listener::listening();
        let configs = bundled().unwrap();
        let host = options(&configs).plugin_path(project_code()).forward_logs(true).build().unwrap();
        let code = keep(&host, "project_a", "__import__('by_hand')");
        let loggers = Python::attach(logger_names);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                Python::attach(|py| code.call_method1(py, "log", ("sgtk.late", 200)).map(drop).unwrap());
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                for project in ["project_b", "project_c", "project_a"] {
                    host.with_sgtk(project, |_| Ok(())).unwrap();
                }
            }
        });
        let told = listener.with("message", "of v0.24.0");
        assert_eq!(told.len(), 200);
        for (number, one) in told.iter().enumerate() {
            assert_eq!((&*one["project"], &*one["logger"]), ("project_a", &*format!("sgtk.late.{number}")));
        }
        assert_eq!(Python::attach(logger_names), loggers);
    });
}

fn logger_names(py: Python<'_>) -> Vec<String> {
    eval(py, "sorted(__import__('logging').Logger.manager.loggerDict)", &[])
}
