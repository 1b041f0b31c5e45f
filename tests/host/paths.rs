//! Path entries of projects, over many leases.

use pyo3::prelude::*;
use sgtk_host_fixtures::{bundled, isolated};

use crate::support::{Daemon, host, lease_own, value};

/// As a core hook that runs for each new `tk`, thousands of times: it adds its folder in front, behind, and
/// both.
const HOOK: &str = "
sys.path.append('/hooks/of/the/studio')
sys.path.insert(0, '/tools/of/the/studio')
sys.path.append('/tools/of/the/studio')
sys.path.append(sys.path[len(sys.path) // 2])
";

#[test]
fn entries_that_are_there_already_are_not_kept_twice() {
    isolated("paths::entries_that_are_there_already_are_not_kept_twice", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run("plain = list(sys.path)");
        let mut lengths = Vec::new();
        for _ in 0..40 {
            for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
                lease_own(&host, project, version, |sgtk| {
                    lengths.push(value::<usize>(sgtk, "len(__import__('sys').path)"));
                    daemon.run(HOOK);
                });
                assert!(daemon.get::<bool>("sys.path == plain"));
            }
        }
        assert_eq!(lengths[2..4], lengths[lengths.len() - 2..], "they do not grow from the second lease on");
        lease_own(&host, "project_a", "v0.24.0", |_| {
            assert_eq!(daemon.get::<usize>("sys.path.count('/hooks/of/the/studio')"), 1);
            assert_eq!(daemon.get::<usize>("sys.path.count('/tools/of/the/studio')"), 1);
            let order = "sys.path.index('/tools/of/the/studio') < sys.path.index(plain[0]) \
                             < sys.path.index('/hooks/of/the/studio')";
            assert!(daemon.get::<bool>(order), "each where it was found first");
        });
    });
}

#[test]
fn thousands_of_entries_in_one_lease_are_one_in_the_next() {
    isolated("paths::thousands_of_entries_in_one_lease_are_one_in_the_next", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        lease_own(&host, "project_a", "v0.24.0", |_| {
            daemon.run("for _ in range(5000): sys.path.append('/hooks/of/the/studio')");
        });
        lease_own(&host, "project_a", "v0.24.0", |_| {
            assert_eq!(daemon.get::<usize>("sys.path.count('/hooks/of/the/studio')"), 1);
        });
        Python::attach(|py| host.audit(py)).unwrap();
    });
}
