//! A daemon that does one thing after another, in any order, with some state machine's eyes on it.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::{Broken, Configs, bundled, bundled_versions, isolated};

use crate::support::{Daemon, assert_audit_is_empty, options, value};

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    /// The daemon leases the project and its code does something.
    Lease(usize, Deed),
    /// The lease ends by a panic.
    Panic(usize),
    /// The recipe, with the project left in place.
    Import(usize),
    /// A lease, or the recipe, of a broken project.
    Fail { recipe: bool },
    /// The project's parked core is dropped.
    Evict(usize),
    /// What the recipe left in place is dropped.
    Forget,
    /// The daemon changes something of its own: a module, a path entry, a variable, a logger.
    Change(u8),
    /// The daemon imports, or lets go of, a library that cores bring along too.
    Library { import: bool },
    /// Objects of earlier leases import late, outside of any.
    Late,
}

/// What a project's code does in its lease.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    ImportsLate,
    AddsPaths,
    Rebinds,
    SetsVariables,
    LoadsAHook,
}

impl Deed {
    fn code(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::ImportsLate => "sgtk.util.late()",
            Self::AddsPaths => {
                "sys.path.insert(0, '/of/the/project'); sys.path.append('/of/the/project/too')"
            }
            Self::Rebinds => "sys.path = ['/rebound'] + sys.path; sys.meta_path = list(sys.meta_path)",
            Self::SetsVariables => {
                "os.environ['OF_PROJECT'] = sgtk.__version__; os.environ['TANK_CURRENT_PC'] = '/elsewhere'"
            }
            Self::LoadsAHook => "sgtk.Sgtk('/projects/' + project).execute_core_hook('core_version')",
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let project = 0..bundled_versions().len();
    let deed = prop_oneof![
        Just(Deed::Nothing),
        Just(Deed::ImportsLate),
        Just(Deed::AddsPaths),
        Just(Deed::Rebinds),
        Just(Deed::SetsVariables),
        Just(Deed::LoadsAHook),
    ];
    let step = prop_oneof![
        8 => (project.clone(), deed).prop_map(|(project, deed)| Step::Lease(project, deed)),
        1 => project.clone().prop_map(Step::Panic),
        3 => project.clone().prop_map(Step::Import),
        1 => any::<bool>().prop_map(|recipe| Step::Fail { recipe }),
        1 => project.prop_map(Step::Evict),
        1 => Just(Step::Forget),
        2 => any::<u8>().prop_map(Step::Change),
        2 => any::<bool>().prop_map(|import| Step::Library { import }),
        1 => Just(Step::Late),
    ];
    prop::collection::vec(step, 1..14)
}

struct Machine {
    host: Host,
    daemon: Daemon,
    /// The version that the recipe has left in place.
    ambient: Option<&'static str>,
    changes: usize,
    _configs: Configs,
}

impl Machine {
    fn new() -> Self {
        let configs = bundled().unwrap();
        configs.broken("project_x", Broken::LeavesTraces).unwrap();
        let host = options(&configs).max_resident(4).build().unwrap();
        let daemon = Daemon::new();
        daemon.run("import types\nheld = {}\nsys.path.insert(0, HOST_LIBRARIES)");
        Self { host, daemon, ambient: None, changes: 0, _configs: configs }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Lease(project, deed) => {
                self.unchanged(|machine| machine.lease(project, deed));
            }
            Step::Panic(project) => self.unchanged(|machine| {
                let (project, _) = bundled_versions()[project];
                let leased = std::panic::AssertUnwindSafe(|| {
                    Python::attach(|py| {
                        let _lease = machine.host.lease(py, project).unwrap();
                        machine.daemon.run("import tank.late_a; sys.path.append('/lost')");
                        std::panic::resume_unwind(Box::new("no message, please"));
                    })
                });
                assert!(std::panic::catch_unwind(leased).is_err());
            }),
            Step::Import(project) => {
                let (project, version) = bundled_versions()[project];
                let sgtk = self.host.import_sgtk(project).unwrap();
                Python::attach(|py| assert_eq!(value::<String>(sgtk.bind(py), "sgtk.__version__"), version));
                self.ambient = Some(version);
            }
            Step::Fail { recipe } => self.unchanged(|machine| {
                let outcome = if recipe {
                    machine.host.import_sgtk("project_x").map(drop)
                } else {
                    machine.host.with_sgtk("project_x", |_| Ok(()))
                };
                assert!(outcome.unwrap_err().to_string().contains("'project_x'"));
            }),
            Step::Evict(project) => self.unchanged(|machine| {
                let (project, _) = bundled_versions()[project];
                Python::attach(|py| machine.host.evict(py, project)).unwrap();
            }),
            Step::Forget => {
                assert_eq!(self.host.forget_sgtk().unwrap(), self.ambient.is_some());
                self.ambient = None;
            }
            Step::Change(what) => {
                self.changes += 1;
                let number = self.changes;
                self.daemon.run(&match what % 4 {
                    0 => format!(
                        "sys.modules['of_the_daemon_{number}'] = \
                                  types.ModuleType('of_the_daemon_{number}')"
                    ),
                    1 => format!("sys.path.insert({number} % 3, '/of/the/daemon/{number}')"),
                    2 => format!("os.environ['OF_THE_DAEMON_{number}'] = '1'"),
                    _ => format!("logging.getLogger('of.the.daemon.{number}').setLevel({number})"),
                });
            }
            // With a core in place outside leases, its libraries are what the daemon sees.
            Step::Library { .. } if self.ambient.is_some() => {}
            Step::Library { import: true } => {
                self.daemon.run("import yaml, shotgun_api3");
                assert_eq!(self.daemon.get::<String>("yaml.CORE_VERSION"), "host");
            }
            Step::Library { import: false } => self.daemon.run(
                "for name in [n for n in sys.modules if n.split('.')[0] in ('yaml', 'shotgun_api3')]: del \
                 sys.modules[name]",
            ),
            Step::Late => self.late(),
        }
        self.check();
    }

    /// Runs `body`, which is to leave the process as it was.
    fn unchanged(&mut self, body: impl FnOnce(&mut Self)) {
        if self.ambient.is_some() {
            // What the daemon has added behind the modules of the project in place moves before them, once.
            self.host.with_sgtk("project_b", |_| Ok(())).unwrap();
        }
        self.daemon.remember();
        body(self);
        self.daemon.assert_as_before("after the step");
    }

    fn lease(&mut self, project: usize, deed: Deed) {
        let (project, version) = bundled_versions()[project];
        let daemon = &self.daemon;
        self.host
            .with_sgtk(project, |sgtk| {
                daemon.set("sgtk", sgtk);
                daemon.run(&format!("project = {project:?}"));
                let current = daemon.get::<Option<String>>("os.environ.get('TANK_CURRENT_PC')");
                let named = current.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
                assert_eq!(named.as_deref(), (project != "project_c").then_some(project));
                daemon.run(deed.code());
                let foreign = "[(name, got) for name, got in sgtk.util.baked_versions().items() \
                               if got not in (sgtk.__version__, 'host')]";
                assert_eq!(value::<Vec<(String, String)>>(sgtk, foreign), []);
                assert_eq!(value::<String>(sgtk, "sgtk.__version__"), version);
                assert_eq!(value::<String>(sgtk, "sgtk.util.shotgun.connection('x').core_version"), version);
                // Each generation of a project in memory has its own entry, the evicted ones as well.
                daemon.run("held[id(sgtk)] = sgtk\ndel sgtk");
                Ok(())
            })
            .unwrap();
    }

    fn late(&self) {
        self.daemon.run(
            "
wrong = []
for sgtk in held.values():
    for name in sgtk.util.THROUGH_BUILTIN:
        got = late(sgtk.util.late, name)
        if got != {name: sgtk.__version__} and not str(got).startswith('ImportError: cannot import'):
            wrong.append((sgtk.__version__, name, got))
held.clear()
",
        );
        assert_eq!(self.daemon.get::<String>("repr(wrong)"), "[]");
    }

    fn check(&self) {
        assert_audit_is_empty(&self.host);
        let visible = self
            .daemon
            .get::<Option<String>>("sys.modules['sgtk'].__version__ if 'sgtk' in sys.modules else None");
        assert_eq!(visible.as_deref(), self.ambient);
        if self.ambient.is_none() {
            assert_eq!(self.daemon.get::<Vec<String>>("toolkit_names()"), [""; 0]);
            assert!(self.daemon.get::<bool>("'TANK_CURRENT_PC' not in os.environ"));
        }
        assert!(self.host.residents().len() <= 4);
    }
}

#[test]
fn whatever_a_daemon_does_in_whatever_order_no_core_is_mixed_and_its_own_state_is_exact() {
    isolated(
        "properties::whatever_a_daemon_does_in_whatever_order_no_core_is_mixed_and_its_own_state_is_exact",
        || {
            // One process and one machine for all cases: what an earlier one has done is one more thing that
            // may be.
            let machine = std::cell::RefCell::new(Machine::new());
            let config =
                Config { cases: 10, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
            TestRunner::new(config)
                .run(&steps(), |steps| {
                    let mut machine = machine.borrow_mut();
                    steps.iter().for_each(|step| machine.take(step));
                    Ok(())
                })
                .unwrap();
        },
    );
}
