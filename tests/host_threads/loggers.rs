//! Loggers that projects' code makes, and those that it finds.

use pyo3::prelude::*;
use sgtk_host_fixtures::bundled;

use crate::support::options;
use crate::workshop::{alone, eval, run};

/// Configures a logger of its own when it is imported, as many plugins do, and logs.
const PLUGIN: &str = "
import logging.config
import sgtk
records = []
class Keeping(logging.Handler):
    def emit(self, record):
        records.append('%s of %s' % (record.getMessage(), record.name))
log = logging.getLogger(__name__)
log.setLevel(logging.INFO)
log.addHandler(Keeping())
logging.config.dictConfig({'version': 1, 'incremental': False, 'disable_existing_loggers': False,
                           'loggers': {__name__ + '.configured': {'level': 'INFO'}}})
parts = [log.getChild('part'), logging.getLogger(__name__ + '.configured')]
below = logging.getLogger('studio.plugin')
above = logging.getLogger('daemons')
above.addHandler(Keeping())
def say(text):
    log.info(text)
    below.info(text)
    return records[:], all(one is logging.getLogger(one.name) for one in (log, *parts))
";

/// The daemon's own loggers, with all that comes to them.
const DAEMON: &str = "
import logging, sys
records = []
class Keeping(logging.Handler):
    def emit(self, record):
        records.append('%s of %s' % (record.getMessage(), record.name))
studio = logging.getLogger('studio')
studio.addHandler(Keeping())
studio.setLevel(logging.WARNING)
worker = logging.getLogger('daemons.worker')
worker.setLevel(logging.INFO)
";

#[test]
fn a_logger_that_code_makes_is_its_projects_and_passes_records_on_to_the_daemons() {
    alone("loggers::a_logger_that_code_makes_is_its_projects_and_passes_records_on_to_the_daemons", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("talking.py"), PLUGIN).unwrap();
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        let say = |project: &str, text: &str| -> (Vec<String>, bool) {
            Python::attach(|py| {
                let lease = host.lease(py, project).unwrap();
                let told = eval(py, &format!("__import__('talking').say({text:?})"), &[]);
                lease.finish().unwrap();
                told
            })
        };
        Python::attach(|py| {
            let daemon = run(py, DAEMON, &[]);
            let heard = || -> Vec<String> { daemon.get_item("records").unwrap().unwrap().extract().unwrap() };
            assert_eq!(say("project_a", "one"), (vec!["one of talking".to_owned()], true));
            // Each once: the other project's copy of the plugin has a handler of its own.
            assert_eq!(say("project_b", "two"), (vec!["two of talking".to_owned()], true));
            assert_eq!(heard(), [""; 0]);
            let there =
                "[name for name in __import__('logging').Logger.manager.loggerDict if 'talking' in name]";
            assert_eq!(eval::<Vec<String>>(py, there, &[]), [""; 0], "the daemon's");
            // What the daemon sets meanwhile counts for loggers below its own.
            run(py, "studio.setLevel(20)", &[("studio", &daemon.get_item("studio").unwrap().unwrap())]);
            let (said, _) = say("project_a", "three");
            assert_eq!(said, ["one of talking", "three of talking"]);
            assert_eq!(heard(), ["three of studio.plugin"]);
            // A logger of a project's above one of the daemon's does not stay between it and the root.
            run(py, "worker.info('four')", &[("worker", &daemon.get_item("worker").unwrap().unwrap())]);
            let (said, _) = say("project_a", "five");
            assert_eq!(said.last().unwrap(), "five of talking");
            assert!(!said.iter().any(|said| said.starts_with("four")), "{said:?}");
        });
    });
}

#[test]
fn a_logger_that_a_library_makes_while_it_is_loaded_is_everybodys() {
    alone("loggers::a_logger_that_a_library_makes_while_it_is_loaded_is_everybodys", || {
        let configs = bundled().unwrap();
        let host = options(&configs).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let library =
            "import logging\nlog = logging.getLogger('a_library')\nlog.addHandler(logging.NullHandler())\n";
        std::fs::write(folder.path().join("a_library.py"), library).unwrap();
        Python::attach(|py| {
            let path = py.import("sys").unwrap().getattr("path").unwrap();
            path.call_method1("append", (folder.path().to_str().unwrap(),)).unwrap();
            let same = "__import__('a_library').log is __import__('logging').getLogger('a_library')";
            for project in ["project_a", "project_b"] {
                let lease = host.lease(py, project).unwrap();
                assert!(eval::<bool>(py, same, &[]), "{project}");
                lease.finish().unwrap();
            }
            assert!(eval::<bool>(py, same, &[]), "the daemon");
            let handlers = "len(__import__('logging').getLogger('a_library').handlers)";
            assert_eq!(eval::<usize>(py, handlers, &[]), 1);
        });
    });
}
