use sgtk_host_fixtures::{bundled, bundled_versions, plugins};
use sgtk_pool::{Call, Delivery, PoolError, WorkerPool};

use crate::support::Studio;

#[test]
fn each_project_has_a_worker_with_its_own_core() {
    let configs = bundled().unwrap();
    let studio = Studio::of(&[]);
    for templates in [false, true] {
        let pool = WorkerPool::builder()
            .configs(configs.base())
            .plugin_path(studio.plugins.path())
            .plugin_path(plugins())
            .templates(templates)
            .build()
            .unwrap();
        for (project, version) in bundled_versions() {
            let about: serde_json::Value = pool.call(project, Call::new("work:about")).unwrap();
            assert_eq!(about["version"], version, "{project}");
        }
        let stats = pool.stats();
        let ways = [stats.started, stats.forked];
        assert_eq!(ways, if templates { [0, 6] } else { [6, 0] }, "{stats:?}");
    }
}

#[test]
fn a_module_that_cannot_be_loaded_is_told_apart_from_a_function_that_raises() {
    let studio = Studio::of(&["a"]);
    let error = studio.pool().call::<()>("a", Call::new("no_such_module:run")).unwrap_err();
    assert!(error.to_string().contains("(cannot load no_such_module:run)"), "{error}");
    let PoolError::Python { error, note, .. } = error else { panic!("{error:?}") };
    assert!(error.is_a("ImportError") && note.is_some(), "{error}");
    let error = studio.pool().call::<()>("a", Call::new("work:fail").arg("no luck")).unwrap_err();
    assert!(matches!(error, PoolError::Python { note: None, .. }), "{error}");
}

#[test]
fn an_exception_comes_with_its_class_message_and_traceback() {
    let studio = Studio::of(&["a"]);
    let error = studio.pool().call::<()>("a", Call::new("work:fail").arg("no luck")).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Ran);
    let PoolError::Python { error, .. } = error else { panic!("{error:?}") };
    assert_eq!((&*error.type_name, &*error.message), ("ValueError", "no luck"));
    assert!(error.is_a("Exception"));
    assert!(error.traceback.unwrap().contains("in fail"));
}
