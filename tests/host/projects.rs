//! Projects by what events say of them.

use std::fs;
use std::time::Duration;

use pyo3::prelude::*;
use serde_json::json;
use sgtk_host::config::ConfigError;
use sgtk_host::{Error, Host, ProjectRef};
use sgtk_host_fixtures::{Configs, Core, bundled, isolated};

use crate::support::{host, options};

fn version(host: &Host, project: impl Into<ProjectRef>) -> Result<String, Error> {
    host.with_sgtk(project, |sgtk| sgtk.getattr("__version__")?.extract())
}

/// A show with two configurations, and another one.
fn shows() -> Configs {
    let configs = Configs::new().unwrap();
    configs.localized("show_main", &Core::newer("v0.24.0")).unwrap();
    configs.attached("show_dev", &Core::older("v0.22.5")).unwrap();
    configs.localized("other", &Core::newer("v0.23.8")).unwrap();
    configs.project("show_main", 87, "client/show", "Primary").unwrap();
    configs.project("show_dev", 87, "client/show", "Dev").unwrap();
    configs.project("other", 88, "other", "Primary").unwrap();
    configs
}

#[test]
fn a_project_is_leased_by_its_number_its_tank_name_and_its_folder() {
    isolated("projects::a_project_is_leased_by_its_number_its_tank_name_and_its_folder", || {
        let configs = shows();
        let host = host(&configs);
        let event = json!({"id": 1, "project": {"type": "Project", "id": 87, "name": "Demo: Automotive"}});
        let of_event = ProjectRef::try_from(&event["project"]).unwrap();
        for (project, expected) in [
            (of_event, "v0.24.0"),
            (ProjectRef::id(87).configuration("Dev"), "v0.22.5"),
            (ProjectRef::tank_name("client/show"), "v0.24.0"),
            (ProjectRef::folder("show_dev"), "v0.22.5"),
            (88.into(), "v0.23.8"),
            ("other".into(), "v0.23.8"),
        ] {
            assert_eq!(version(&host, &project).unwrap(), expected, "{project}");
            let found = host.find(&project).unwrap();
            assert_eq!(version(&host, &found).unwrap(), expected, "{project}");
        }
        assert_eq!(host.residents().len(), 3, "a project is imported once, whatever it is called");
        Python::attach(|py| assert!(host.evict(py, 87).unwrap()));
        assert_eq!(host.residents().len(), 2);
        let sgtk = host.import_sgtk(ProjectRef::tank_name("other")).unwrap();
        Python::attach(|py| assert!(sgtk.bind(py).hasattr("CORE_VERSION").unwrap()));
    });
}

#[test]
fn what_no_configuration_or_more_than_one_says_is_an_error_and_never_a_core() {
    isolated("projects::what_no_configuration_or_more_than_one_says_is_an_error_and_never_a_core", || {
        let configs = shows();
        configs.studio(&Core::older("v0.20.35")).unwrap();
        configs.project("other", 87, "client/show", "Primary").unwrap();
        let host = host(&configs);
        let error = version(&host, 87).unwrap_err();
        assert!(matches!(&error, Error::Config { source: ConfigError::AmbiguousProject { .. } }), "{error}");
        let text = error.to_string();
        assert!(text.contains("show_main") && text.contains("other"), "{text}");
        for project in [
            ProjectRef::id(99),
            ProjectRef::tank_name("Demo: Automotive"),
            ProjectRef::folder("Demo__Automotive"),
            ProjectRef::folder("87"),
            ProjectRef::folder("Campeones 2"),
        ] {
            let error = version(&host, &project).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{project}: {error}");
        }
        assert!(host.residents().is_empty());
    });
}

#[test]
fn a_project_in_memory_is_found_while_its_files_cannot_be_read() {
    isolated("projects::a_project_in_memory_is_found_while_its_files_cannot_be_read", || {
        let configs = shows();
        let host = options(&configs).revalidate_after(Duration::ZERO).build().unwrap();
        assert_eq!(version(&host, 87).unwrap(), "v0.24.0");
        let away = configs.base().with_extension("away");
        fs::rename(configs.base(), &away).unwrap();
        for _ in 0..2 {
            assert_eq!(version(&host, 87).unwrap(), "v0.24.0");
        }
        let error = version(&host, 88).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "it is not in memory: {error}");
        fs::rename(&away, configs.base()).unwrap();
        assert_eq!(version(&host, 88).unwrap(), "v0.23.8");
    });
}

#[test]
fn the_fixtures_projects_have_numbers() {
    isolated("projects::the_fixtures_projects_have_numbers", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        assert_eq!(host.find(69).unwrap().folder(), "project_a");
        assert_eq!(version(&host, 74).unwrap(), "v0.23.10");
    });
}
