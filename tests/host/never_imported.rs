//! Cores that this process has never imported, in the middle of an upgrade of Toolkit's own that stands
//! still.

use std::path::Path;
use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{Change, Configs, Core, Release, isolated, upgrade_by_toolkit};

use crate::support::{assert_audit_is_empty, options, value};

/// What must be of one version.
const VERSIONS: &str = "[sgtk.__version__, sgtk.platform.CORE_VERSION, sgtk.api.CORE_VERSION, \
                        sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION]";

/// A host for which everything is new.
fn fresh(configs: &Configs) -> Host {
    options(configs).revalidate_after(Duration::ZERO).build().unwrap()
}

/// The version of the whole core, leased or put in place for good.
fn version(host: &Host, for_good: bool) -> Result<String, Error> {
    let versions: Vec<String> = if for_good {
        let sgtk = host.import_sgtk("project_a")?;
        Python::attach(|py| value(sgtk.bind(py), VERSIONS))
    } else {
        host.with_sgtk("project_a", |sgtk| Ok(value(sgtk, VERSIONS)))?
    };
    assert!(versions.iter().all(|version| *version == versions[0]), "a mix: {versions:?}");
    Ok(versions[0].clone())
}

/// Stops after some of the steps, at which a host comes that knows nothing. Returns how often it has got the
/// old core, an error, and the new one.
fn upgrade(configs: &Configs, core: &Path, order: u64, in_use: usize) -> [usize; 3] {
    let release = Release::new(&Core::newer("v0.24.1")).unwrap();
    let changes = upgrade_by_toolkit(core, &release, order, in_use).unwrap();
    let mut found = [0; 3];
    for (step, change) in changes.iter().enumerate() {
        release.change(change, core, false).unwrap();
        let is_turn = matches!(changes.get(step + 1), None | Some(Change::Delete(_)))
            && matches!(change, Change::BackUp(_) | Change::Copy(_));
        if !is_turn && step % 13 != (order % 13) as usize {
            continue;
        }
        match version(&fresh(configs), step % 2 == 0) {
            Ok(version) => {
                let index = ["v0.24.0", "", "v0.24.1"].iter().position(|one| *one == version).unwrap();
                found[index] += 1;
                let is_backing_up = matches!(change, Change::BackUp(_));
                assert_eq!(is_backing_up, index == 0, "{change:?}: {version}");
            }
            Err(error) => {
                found[1] += 1;
                let is_told =
                    matches!(error, Error::Config { .. } | Error::CoreChanging { .. } | Error::Import { .. });
                assert!(is_told && !matches!(change, Change::BackUp(_)), "{change:?}: {error}");
            }
        }
    }
    found
}

#[test]
fn an_upgrade_that_stops_at_any_step_gives_the_old_core_an_error_or_the_new_one() {
    isolated(
        "never_imported::an_upgrade_that_stops_at_any_step_gives_the_old_core_an_error_or_the_new_one",
        || {
            for order in [1, 20, 300] {
                let configs = Configs::new().unwrap();
                let project = configs.localized("project_a", &Core::newer("v0.24.0")).unwrap();
                let [old, none, new] = upgrade(&configs, &project.join("install/core"), order, 0);
                assert!(old > 0 && none > 0 && new > 0, "{old} {none} {new}");
                let host = fresh(&configs);
                assert_eq!(version(&host, false).unwrap(), "v0.24.1");
                assert_audit_is_empty(&host);
            }
        },
    );
}

#[test]
fn an_upgrade_that_leaves_files_which_are_in_use_is_an_error_that_names_them() {
    isolated(
        "never_imported::an_upgrade_that_leaves_files_which_are_in_use_is_an_error_that_names_them",
        || {
            let configs = Configs::new().unwrap();
            let project = configs.localized("project_a", &Core::newer("v0.24.0")).unwrap();
            let core = project.join("install/core");
            let [old, none, new] = upgrade(&configs, &core, 4, 2);
            assert!(old > 0 && none > 0 && new == 0, "{old} {none} {new}");
            let text = version(&fresh(&configs), false).unwrap_err().to_string();
            for word in ["project_a", "newer than the backup 20260102_030405", "an upgrade may be running"] {
                assert!(text.contains(word), "{text}");
            }
            // Quiet is not enough, as it is for a core that was edited.
            let hasty = options(&configs).settle_after(Duration::ZERO).build().unwrap();
            assert!(matches!(version(&hasty, false), Err(Error::CoreChanging { .. })));
            // The same upgrade again, with nothing in the way.
            let release = Release::new(&Core::newer("v0.24.1")).unwrap();
            for file in release.files() {
                release.copy(file, &core, false).unwrap();
            }
            assert_eq!(version(&hasty, false).unwrap(), "v0.24.1");
        },
    );
}
