//! Bootstraps that start from a core which is in the middle of an upgrade.

use sgtk_host::Error;
use sgtk_host_fixtures::{Change, Core, Release, upgrade_by_toolkit};

use crate::support::{alone, assert_own, bootstrap, host, options, studio};

#[test]
fn a_core_to_start_from_that_is_half_replaced_is_an_error_until_it_is_whole() {
    alone("never_imported::a_core_to_start_from_that_is_half_replaced_is_an_error_until_it_is_whole", || {
        let studio = studio();
        let core = studio.start().parent().unwrap().to_owned();
        let release = Release::new(&Core::newer("v0.24.1")).unwrap();
        let changes = upgrade_by_toolkit(&core, &release, 7, 5).unwrap();
        for (step, change) in changes.iter().enumerate() {
            release.change(change, &core, false).unwrap();
            if step % 31 == 0 && !matches!(change, Change::BackUp(_)) {
                let error = host(&studio).bootstrap(&options(&studio, 177).build().unwrap()).unwrap_err();
                let text = error.to_string();
                assert!(matches!(error, Error::Bootstrap { .. } | Error::Config { .. }), "{error:?}");
                assert!(text.contains("an upgrade may be running") || text.contains("incomplete"), "{text}");
            }
        }
        for file in release.files() {
            release.copy(file, &core, false).unwrap();
        }
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 177);
        assert_own(&engine, "v0.23.8");
        engine.destroy().unwrap();
    });
}
