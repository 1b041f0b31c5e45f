//! A host and a worker pool in one daemon.

use sgtk_host::{Call, Host};
use sgtk_host_fixtures::{bundled, bundled_versions, in_child, isolated};

#[test]
fn a_pool_works_while_the_daemon_uses_a_host() {
    let name = "beside_a_pool::a_pool_works_while_the_daemon_uses_a_host";
    isolated(name, || {
        assert!(in_child(name));
        let configs = bundled().unwrap();
        let plugins = tempfile::tempdir().unwrap();
        let about = "import sgtk\ndef version():\n    return sgtk.__version__\n";
        std::fs::write(plugins.path().join("about.py"), about).unwrap();
        let host = Host::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
        let pool = host.worker_pool().build().unwrap();
        std::thread::scope(|scope| {
            for (project, version) in bundled_versions() {
                let (host, pool) = (&host, &pool);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let own: String = host
                            .with_sgtk(project, |sgtk| {
                                use pyo3::prelude::*;
                                // Attached, and with a lease.
                                let in_worker: String =
                                    pool.call(project, Call::new("about:version")).unwrap();
                                assert_eq!(in_worker, version);
                                sgtk.getattr("__version__")?.extract()
                            })
                            .unwrap();
                        assert_eq!(own, version);
                    }
                });
            }
        });
    });
}
