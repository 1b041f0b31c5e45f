//! What is given back, and what does not grow.
#![cfg(target_os = "linux")]

use pyo3::prelude::*;
use sgtk_host_fixtures::bundled;

use crate::support::host;
use crate::workshop::{Dice, alone, eval, get, keep, run};

const KIB: usize = 1024;

/// The memory that the process has resident, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    // SAFETY: asks for a constant of the system.
    pages * usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// What must not grow: the collector's objects, names of modules, paths and loggers, caches, handlers,
/// descriptors.
fn counts(py: Python<'_>) -> Vec<(String, usize)> {
    let scope = run(
        py,
        "
import gc, sys, logging, os, zipimport, linecache
gc.collect()
counts = [
    ('modules', len(sys.modules)),
    ('path', len(sys.path)),
    ('finders', len(sys.meta_path)),
    ('importers', len(sys.path_importer_cache)),
    ('zips', len(zipimport._zip_directory_cache)),
    ('lines', len(linecache.cache)),
    ('loggers', len(logging.Logger.manager.loggerDict)),
    ('handlers', len(logging._handlerList)),
    ('variables', len(os.environ)),
    ('descriptors', len(os.listdir('/proc/self/fd'))),
]
",
        &[],
    );
    get(&scope, "counts")
}

fn objects(py: Python<'_>) -> usize {
    eval(py, "(__import__('gc').collect(), len(__import__('gc').get_objects()))[1]", &[])
}

#[test]
fn an_evicted_core_is_gone_from_memory() {
    alone("memory::an_evicted_core_is_gone_from_memory", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        for project in ["project_a", "project_b", "project_c", "project_d"] {
            let references = keep(
                &host,
                project,
                "[__import__('weakref').ref(one) for one in [sgtk, sgtk.util.pins, sgtk.TankError, sgtk.util.late]
                + [one for name, one in vars(sgtk.util.pins).items() if name == 'Pinned']]",
            );
            Python::attach(|py| {
                let alive = "[one() for one in references if one() is not None]";
                let names = [("references", references.bind(py))];
                assert!(eval::<usize>(py, &format!("len({alive})"), &names) >= 4);
                assert!(host.evict(py, project).unwrap());
                assert_eq!(eval::<String>(py, &format!("str({alive})"), &names), "[]", "{project}");
            });
        }
    });
}

/// Reloads many times; nothing may have grown since the third.
fn does_not_grow(rounds: usize, mut reload: impl FnMut(usize)) {
    for round in 0..3 {
        reload(round);
    }
    let (before, memory, known) = Python::attach(|py| (counts(py), resident(), objects(py)));
    for round in 3..rounds {
        reload(round);
    }
    Python::attach(|py| {
        assert_eq!(counts(py), before);
        let now = objects(py);
        // Free lists and interned strings make for a few more or less.
        assert!(now < known + 200, "{known} objects became {now}");
        let grown = resident().saturating_sub(memory);
        assert!(grown < 2048 * KIB, "{} KiB more", grown / KIB);
    });
}

#[test]
fn fifty_reloads_of_a_core_take_no_more_memory_than_three() {
    alone("memory::fifty_reloads_of_a_core_take_no_more_memory_than_three", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        does_not_grow(50, |_| {
            host.with_sgtk("project_a", |sgtk| sgtk.getattr("util")?.call_method0("late").map(drop)).unwrap();
            Python::attach(|py| assert!(host.evict(py, "project_a").unwrap()));
        });
    });
}

#[test]
fn fifty_imports_by_the_recipe_take_no_more_memory_than_three() {
    alone("memory::fifty_imports_by_the_recipe_take_no_more_memory_than_three", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        does_not_grow(50, |round| {
            drop(host.import_sgtk(["project_a", "project_b"][round % 2]).unwrap());
            host.forget_sgtk().unwrap();
        });
    });
}

#[test]
fn ten_thousand_swaps_take_no_more_memory() {
    alone("memory::ten_thousand_swaps_take_no_more_memory", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let projects = ["project_a", "project_b", "project_c", "project_d"];
        let mut dice = Dice::new(3);
        let mut swap = |times: usize| {
            Python::attach(|py| {
                for _ in 0..times {
                    drop(host.lease(py, projects[dice.throw(4)]).unwrap());
                }
            });
        };
        swap(200);
        let (before, memory) = Python::attach(|py| (counts(py), resident()));
        swap(10_000);
        let grown = resident().saturating_sub(memory);
        Python::attach(|py| assert_eq!(counts(py), before));
        assert!(grown < 1024 * KIB, "{} KiB more", grown / KIB);
        Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
    });
}
