//! Projects by what events say: a number, a tank name, a folder.

use std::fs;

use sgtk_config::{ConfigError, Configs, ProjectRef};

use crate::studio::Studio;

/// A configuration that says of itself what `pipeline_configuration.yml` says there.
fn configuration(studio: &Studio, folder: &str, project: u32, tank_name: &str, id: u32, name: &str) {
    studio.pipeline_configuration(folder);
    says(
        studio,
        folder,
        &format!(
            "pc_id: {id}\npc_name: {name}\nproject_id: {project}\nproject_name: {tank_name}\n\
             published_file_entity_type: PublishedFile\nuse_shotgun_path_cache: true\n"
        ),
    );
}

fn says(studio: &Studio, folder: &str, text: &str) {
    studio.write(&format!("configs/{folder}/config/core/pipeline_configuration.yml"), text);
}

fn folder(configs: &Configs, project: &ProjectRef) -> String {
    configs.find(project).unwrap().folder().to_owned()
}

/// 87 with a development configuration beside its primary one, 88 with a primary one, and the site's own.
fn studio() -> Studio {
    let studio = Studio::new();
    configuration(&studio, "demo", 87, "client/show", 1, "Primary");
    configuration(&studio, "demo_dev", 87, "client/show", 2, "Dev");
    configuration(&studio, "other", 88, "other", 3, "Primary");
    studio.pipeline_configuration("site");
    says(&studio, "site", "pc_id: 9\npc_name: Primary\nproject_id: \nproject_name: Site\n");
    studio.pipeline_configuration("silent");
    studio
}

#[test]
fn a_project_is_found_by_its_number_its_tank_name_and_its_folder() {
    let studio = studio();
    let configs = studio.configs();
    let event = serde_json::json!({"type": "Project", "id": 87, "name": "Demo: Automotive"});
    for project in [
        ProjectRef::id(87),
        ProjectRef::try_from(&event).unwrap(),
        ProjectRef::tank_name("client/show"),
        ProjectRef::folder("demo"),
        ProjectRef::id(87).configuration("Primary"),
    ] {
        let found = configs.find(&project).unwrap();
        assert_eq!((found.folder(), found.project_id()), ("demo", Some(87)), "{project}");
        assert_eq!((found.tank_name(), found.configuration_id()), (Some("client/show"), Some(1)));
        assert_eq!(found.configuration_name(), Some("Primary"));
        assert_eq!(found.path(), studio.path("configs/demo"));
    }
    for project in [ProjectRef::id(87), ProjectRef::tank_name("client/show"), ProjectRef::folder("demo_dev")]
    {
        assert_eq!(folder(&configs, &project.configuration("Dev")), "demo_dev");
    }
    let core = configs.locate(configs.find(&ProjectRef::id(88)).unwrap().folder()).unwrap();
    assert_eq!(core.project(), "other");
}

#[test]
fn a_configuration_of_no_project_is_found_by_its_folder_alone() {
    let studio = studio();
    let configs = studio.configs();
    for name in ["site", "silent"] {
        assert_eq!(configs.find(&ProjectRef::folder(name)).unwrap().project_id(), None);
    }
    assert_eq!(configs.find(&ProjectRef::folder("silent")).unwrap().tank_name(), None);
    let error = configs.find(&ProjectRef::folder("silent").configuration("Dev")).unwrap_err();
    assert!(matches!(error, ConfigError::NoConfiguration { .. }), "{error:?}");
}

#[test]
fn a_project_that_no_configuration_claims_is_an_error_that_names_it() {
    let studio = studio();
    let configs = studio.configs();
    let base = studio.path("configs");
    for (project, named) in [
        (ProjectRef::id(4), "project 4"),
        (ProjectRef::tank_name("Demo: Automotive"), "project with tank name \"Demo: Automotive\""),
        (ProjectRef::id(88).configuration("Dev"), "project 88, configuration \"Dev\""),
        (ProjectRef::folder("nobody"), "project in folder \"nobody\""),
    ] {
        let error = configs.find(&project).unwrap_err();
        assert_eq!(error.to_string(), format!("no configuration below {} is one of {named}", base.display()));
    }
    let error = configs.find(&ProjectRef::folder("../demo")).unwrap_err();
    assert!(matches!(error, ConfigError::ProjectName { .. }), "{error:?}");
}

#[test]
fn two_configurations_that_claim_one_project_are_an_error_that_names_both() {
    let studio = Studio::new();
    configuration(&studio, "a", 87, "show", 1, "Primary");
    configuration(&studio, "a_copy", 87, "show", 1, "Primary");
    configuration(&studio, "b_dev", 88, "other", 2, "Dev");
    configuration(&studio, "b_test", 88, "other", 3, "Test");
    let configs = studio.configs();
    for (project, both) in [
        (ProjectRef::id(87), ["\"a\" (Primary)", "\"a_copy\" (Primary)"]),
        (ProjectRef::tank_name("show"), ["\"a\" (Primary)", "\"a_copy\" (Primary)"]),
        (ProjectRef::id(88), ["\"b_dev\" (Dev)", "\"b_test\" (Test)"]),
    ] {
        let error = configs.find(&project).unwrap_err();
        assert!(matches!(error, ConfigError::AmbiguousProject { .. }), "{error:?}");
        assert!(both.iter().all(|one| error.to_string().contains(one)), "{error}");
    }
    assert_eq!(folder(&configs, &ProjectRef::id(88).configuration("Test")), "b_test");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_configuration_is_its_second_name_and_claims_nothing() {
    let studio = Studio::new();
    configuration(&studio, "b", 87, "show", 1, "Primary");
    std::os::unix::fs::symlink("b", studio.path("configs/a_link")).unwrap();
    std::os::unix::fs::symlink(studio.path("configs/b"), studio.path("configs/z_link")).unwrap();
    let configs = studio.configs();
    for project in [ProjectRef::id(87), ProjectRef::tank_name("show")] {
        assert_eq!(folder(&configs, &project), "b");
    }
    assert_eq!(folder(&configs, &ProjectRef::folder("a_link")), "a_link");
    // Links to what is no configuration's folder here may be different ones.
    configuration(&studio, "../releases/v1", 88, "other", 2, "Primary");
    for name in ["c", "d"] {
        std::os::unix::fs::symlink("../releases/v1", studio.path("configs").join(name)).unwrap();
    }
    let error = studio.configs().find(&ProjectRef::id(88)).unwrap_err();
    assert!(matches!(error, ConfigError::AmbiguousProject { .. }), "{error:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_its_configurations_error_and_hides_no_other() {
    let studio = studio();
    says(&studio, "broken", "project_id: [87");
    let configs = studio.configs();
    assert_eq!(folder(&configs, &ProjectRef::id(87)), "demo");
    assert_eq!(folder(&configs, &ProjectRef::id(88)), "other");
    let error = configs.find(&ProjectRef::folder("broken")).unwrap_err();
    let file = studio.path("configs/broken/config/core/pipeline_configuration.yml");
    let start = format!("failed to read {} of the configuration in folder \"broken\": ", file.display());
    assert!(error.to_string().starts_with(&start), "{error}");
    let error = configs.find(&ProjectRef::id(4)).unwrap_err();
    assert!(error.to_string().contains("project 4, and these cannot be read: \"broken\" (while "), "{error}");
    says(&studio, "hexadecimal", "project_id: 0x57");
    let error = configs.find(&ProjectRef::id(4)).unwrap_err().to_string();
    let reason = "\"hexadecimal\" (project_id should be a number of the site and is \"0x57\")";
    assert!(error.ends_with(reason), "{error}");
}

#[test]
fn a_configuration_that_was_set_up_anew_elsewhere_is_told_from_the_one_that_is_missing() {
    let studio = studio();
    let configs = studio.configs();
    assert_eq!(folder(&configs, &ProjectRef::id(88)), "other");
    fs::remove_dir_all(studio.path("configs/other")).unwrap();
    configuration(&studio, "anew", 88, "other", 99, "Primary");
    let error = configs.find(&ProjectRef::id(88)).unwrap_err().to_string();
    let both = "\"anew\" (Primary) and \"other\" (Primary; it is missing, and was there before)";
    assert!(error.ends_with(both), "{error}");
    configs.forget("other");
    assert_eq!(folder(&configs, &ProjectRef::id(88)), "anew");
}

#[test]
fn what_has_changed_on_disk_is_found_as_it_is_now() {
    let studio = studio();
    let configs = studio.configs();
    assert_eq!(folder(&configs, &ProjectRef::id(88)), "other");
    // Same size, at once: times on disk may not tell.
    configuration(&studio, "other", 89, "other", 3, "Primary");
    configs.find(&ProjectRef::id(88)).unwrap_err();
    assert_eq!(folder(&configs, &ProjectRef::id(89)), "other");
    configuration(&studio, "new", 90, "new", 4, "Primary");
    assert_eq!(folder(&configs, &ProjectRef::id(90)), "new");
    // A copy that was not adapted is noticed although the one that was found has not changed.
    configuration(&studio, "copy", 90, "new", 4, "Primary");
    configs.find(&ProjectRef::id(90)).unwrap_err();
    fs::rename(studio.path("configs/copy"), studio.path("away")).unwrap();
    assert_eq!(folder(&configs, &ProjectRef::id(90)), "new");
    fs::rename(studio.path("configs/new"), studio.path("configs/renamed")).unwrap();
    assert_eq!(folder(&configs, &ProjectRef::id(90)), "renamed");
}

#[test]
fn a_primary_configuration_that_is_missing_for_a_moment_gives_its_place_to_no_other() {
    for gone in ["demo", "demo/config", "demo/config/core/pipeline_configuration.yml"] {
        let studio = studio();
        let configs = studio.configs();
        assert_eq!(folder(&configs, &ProjectRef::id(87)), "demo");
        let path = studio.path("configs").join(gone);
        fs::rename(&path, studio.path("away")).unwrap();
        let error = configs.find(&ProjectRef::id(87)).unwrap_err();
        assert!(
            matches!(&error, ConfigError::ConfigurationUnreadable { folder, .. } if folder == "demo"),
            "{error:?}"
        );
        assert_eq!(folder(&configs, &ProjectRef::id(87).configuration("Dev")), "demo_dev");
        fs::rename(studio.path("away"), &path).unwrap();
        assert_eq!(folder(&configs, &ProjectRef::id(87)), "demo");
        // Removed for good.
        fs::remove_dir_all(studio.path("configs/demo")).unwrap();
        configs.find(&ProjectRef::id(87)).unwrap_err();
        configs.forget("demo");
        assert_eq!(folder(&configs, &ProjectRef::id(87)), "demo_dev");
    }
}

#[test]
fn a_file_being_rewritten_gives_the_same_configuration_or_an_error_at_every_length() {
    let studio = studio();
    let file = studio.path("configs/demo/config/core/pipeline_configuration.yml");
    let text = fs::read_to_string(&file).unwrap();
    let asked = studio.configs();
    asked.find(&ProjectRef::id(87)).unwrap();
    for length in 0..=text.len() {
        fs::write(&file, &text[..length]).unwrap();
        if let Ok(found) = asked.find(&ProjectRef::id(87)) {
            assert_eq!(found.folder(), "demo", "{:?}", &text[..length]);
        }
    }
}

#[test]
fn a_file_that_loses_lines_that_say_nothing_of_its_project_is_taken_as_it_is() {
    let studio = studio();
    let configs = studio.configs();
    configs.find(&ProjectRef::id(87)).unwrap();
    says(&studio, "demo", "pc_id: 1\npc_name: Primary\nproject_id: 87\nproject_name: client/show\n");
    assert_eq!(folder(&configs, &ProjectRef::id(87)), "demo");
}

#[test]
fn the_only_readable_configuration_is_not_taken_for_the_primary_one() {
    let studio = studio();
    says(&studio, "demo", "");
    let error = studio.configs().find(&ProjectRef::id(87)).unwrap_err();
    assert!(matches!(error, ConfigError::ProjectUndecided { .. }), "{error:?}");
    assert!(error.to_string().contains("demo_dev") && error.to_string().contains("\"demo\""), "{error}");
    assert_eq!(folder(&studio.configs(), &ProjectRef::id(87).configuration("Dev")), "demo_dev");
}

#[test]
fn a_base_that_is_away_is_said_so() {
    let studio = studio();
    let configs = studio.configs();
    configs.find(&ProjectRef::id(87)).unwrap();
    fs::rename(studio.path("configs"), studio.path("away")).unwrap();
    let error = configs.find(&ProjectRef::id(87)).unwrap_err();
    assert!(error.to_string().ends_with("it is missing"), "{error}");
}
