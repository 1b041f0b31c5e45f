//! Leases of several projects, in turn.

use pyo3::prelude::*;
use sgtk_host_fixtures::{bundled, bundled_versions, isolated};

use crate::support::{host, value};

#[test]
fn each_project_gets_its_own_core_in_any_order() {
    isolated(
        "swaps::each_project_gets_its_own_core_in_any_order",
        |_| (),
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            for _ in 0..3 {
                for (project, version) in bundled_versions() {
                    Python::attach(|py| {
                        let sgtk = host.lease(py, project).unwrap();
                        assert_eq!(value::<String>(&sgtk, "sgtk.__version__"), *version);
                        assert_eq!(
                            value::<Vec<String>>(&sgtk, "sgtk.util.foreign_modules()"),
                            [""; 0],
                            "{project} {}",
                            value::<String>(&sgtk, "str(sgtk.util.baked_versions())")
                        );
                    });
                }
            }
            Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
        },
    );
}
