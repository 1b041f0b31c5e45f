//! Several hosts in one process, and hosts that go.

use pyo3::prelude::*;
use sgtk_host_fixtures::{Configs, Core, bundled};

use crate::support::host;
use crate::workshop::{Dice, alone, eval, get, keep, run, until};

#[test]
fn two_hosts_take_turns_and_never_mix() {
    alone("two_hosts::two_hosts_take_turns_and_never_mix", || {
        let (one, other) = (bundled().unwrap(), Configs::new().unwrap());
        other.localized("project_a", &Core::older("v0.21.7")).unwrap();
        other.localized("project_b", &Core::newer("v0.24.7")).unwrap();
        let (one, other) = (host(&one), host(&other));
        let wanted = [
            (&one, "project_a", "v0.24.0"),
            (&other, "project_a", "v0.21.7"),
            (&one, "project_b", "v0.22.5"),
            (&other, "project_b", "v0.24.7"),
        ];
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || {
                    let mut dice = Dice::new(seed + 1);
                    for _ in 0..10 {
                        let (host, project, version) = wanted[dice.throw(4)];
                        Python::attach(|py| {
                            let lease = host.lease(py, project).unwrap();
                            let names = [("sgtk", lease.sgtk().as_any())];
                            run(py, "import time; time.sleep(0)", &[]);
                            assert_eq!(eval::<String>(py, "__import__('sgtk').__version__", &names), version);
                            assert_eq!(
                                eval::<Vec<String>>(py, "sgtk.util.foreign_modules()", &names),
                                [""; 0]
                            );
                            assert!(eval::<bool>(
                                py,
                                "set(sgtk.util.late().values()) == {sgtk.CORE_VERSION}",
                                &names
                            ));
                        });
                    }
                });
            }
        });
        Python::attach(|py| {
            assert_eq!(one.audit(py).unwrap(), []);
            assert_eq!(other.audit(py).unwrap(), []);
            let _lease = one.lease(py, "project_a").unwrap();
            let error = other.lease(py, "project_a").map(drop).unwrap_err();
            assert!(error.to_string().contains("holds project 'project_a'"), "{error}");
        });
    });
}

#[test]
fn code_of_a_host_that_is_gone_gets_its_own_modules_or_an_error_that_names_the_project() {
    alone(
        "two_hosts::code_of_a_host_that_is_gone_gets_its_own_modules_or_an_error_that_names_the_project",
        || {
            let configs = bundled().unwrap();
            let (gone, stays) = (host(&configs), host(&configs));
            Python::attach(|py| {
                let lease = gone.lease(py, "project_a").unwrap();
                let scope = run(
                    py,
                    "
import threading
stop, wrong, refused, rounds = threading.Event(), [], [], []
def again():
    while not stop.is_set():
        try:
            got = util.late()
        except ImportError as error:
            refused.append(str(error))
        else:
            wrong.extend(item for item in got.items() if item[1] != 'v0.24.0')
        rounds.append(1)
threads = [threading.Thread(target=again) for _ in range(3)]
for thread in threads: thread.start()
",
                    &[("util", &lease.sgtk().getattr("util").unwrap())],
                );
                drop(lease);
                drop(gone);
                for project in ["project_b", "project_a", "project_d", "project_a"] {
                    let seen = scope_len(&scope, "rounds");
                    let _lease = stays.lease(py, project).unwrap();
                    until("the threads go on", || {
                        py.detach(std::thread::yield_now);
                        scope_len(&scope, "rounds") > seen + 5
                    });
                }
                run(
                    py,
                    "all['stop'].set()\nfor thread in all['threads']: thread.join()",
                    &[("all", scope.as_any())],
                );
                assert_eq!(get::<Vec<(String, String)>>(&scope, "wrong"), []);
                let refused = get::<Vec<String>>(&scope, "refused");
                assert!(refused.iter().all(|text| text.contains("'project_a'")), "{refused:?}");
                assert_eq!(stays.audit(py).unwrap(), []);
            });
        },
    );
}

fn scope_len(scope: &Bound<'_, pyo3::types::PyDict>, name: &str) -> usize {
    scope.get_item(name).unwrap().unwrap().len().unwrap()
}

#[test]
fn a_lease_outlives_its_host_and_nothing_is_left_after_it() {
    alone("two_hosts::a_lease_outlives_its_host_and_nothing_is_left_after_it", || {
        let configs = bundled().unwrap();
        let gone = host(&configs);
        let dead = keep(&gone, "project_a", "__import__('weakref').ref(sgtk)");
        Python::attach(|py| {
            let lease = gone.lease(py, "project_a").unwrap();
            drop(gone);
            assert_eq!(
                eval::<String>(
                    py,
                    "sgtk.util.late('from_absolute')['from_absolute']",
                    &[("sgtk", lease.sgtk().as_any())]
                ),
                "v0.24.0"
            );
            drop(lease);
            assert!(eval::<bool>(py, "'sgtk' not in __import__('sys').modules", &[]));
            assert!(
                eval::<bool>(py, "dead() is None", &[("dead", dead.bind(py))]),
                "the core is still in memory"
            );
        });
    });
}
