//! Bootstrapping and destroying again and again.

use pyo3::prelude::*;
use sgtk_host_fixtures::Project;

use crate::support::{PROJECTS, alone, assert_own, bootstrap, core, counts, host, resident, studio};

/// How many folders and zips the import system knows.
fn known_folders() -> usize {
    let known = |py: Python<'_>| py.import("sys")?.getattr("path_importer_cache")?.len();
    Python::attach(known).unwrap()
}

#[test]
fn fifty_cycles_for_alternating_projects_take_no_more_than_three() {
    alone("cycles::fifty_cycles_for_alternating_projects_take_no_more_than_three", || {
        let studio = studio();
        let host = host(&studio);
        let cycle = |number: usize| {
            let (id, _, version) = PROJECTS[number % PROJECTS.len()];
            let engine = bootstrap(&host, &studio, id);
            assert_own(&engine, version);
            engine.destroy().unwrap();
        };
        (0..3).for_each(cycle);
        let (before, memory) = (Python::attach(counts), resident());
        let folders = known_folders();
        (3..50).for_each(cycle);
        assert_eq!(Python::attach(counts), before);
        assert_eq!(known_folders(), folders);
        let grown = resident().saturating_sub(memory);
        assert!(grown < 3 * 1024, "{grown} KiB more");
    });
}

#[test]
fn a_core_that_was_upgraded_is_the_next_engines_and_not_the_present_ones() {
    alone("cycles::a_core_that_was_upgraded_is_the_next_engines_and_not_the_present_ones", || {
        let studio = studio();
        let host = host(&studio);
        let present = bootstrap(&host, &studio, 177);
        studio.project(&Project::new(177, "sintel", core("v0.24.1"))).unwrap();
        let next = bootstrap(&host, &studio, 177);
        assert_own(&next, "v0.24.1");
        let version: String = present.with(|engine| engine.sgtk().getattr("__version__")?.extract()).unwrap();
        assert_eq!(version, "v0.23.8");
    });
}
