//! Which folders are projects.

use sgtk_config::{ConfigError, Configs};

use crate::studio::Studio;

#[test]
fn projects_are_the_folders_with_a_core_or_a_configuration_in_order() {
    let studio = Studio::new();
    studio.pipeline_configuration("c");
    studio.localized("b");
    studio.attached("a", "None");
    studio.write("configs/notes/readme", "");
    studio.write("configs/file", "");
    studio.write("configs/..dots/config/core/roots.yml", "");
    studio.write("configs/d:e/config/core/roots.yml", "");
    assert_eq!(studio.configs().projects().unwrap(), ["..dots", "a", "b", "c"]);
}

#[test]
fn the_studio_core_is_a_project_only_where_it_is_a_configuration_too() {
    let studio = Studio::new();
    assert!(studio.configs().projects().unwrap().is_empty());
    studio.pipeline_configuration("studio");
    assert_eq!(studio.configs().projects().unwrap(), ["studio"]);
}

#[test]
fn a_base_that_cannot_be_listed_is_an_error_that_says_why() {
    let studio = Studio::new();
    studio.write("file", "");
    for (name, why) in [("absent", "it is missing"), ("file", "it is not a folder")] {
        let base = studio.path(name);
        let configs = Configs::new(&base);
        for error in [configs.projects().unwrap_err(), configs.locate("a").unwrap_err()] {
            assert_eq!(error.to_string(), format!("failed to list base folder {}: {why}", base.display()));
            assert!(matches!(&error, ConfigError::BaseUnreadable { base: named, .. } if *named == base));
        }
    }
}

// Other systems' file systems refuse such a name.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_not_unicode_is_no_project() {
    use std::os::unix::ffi::OsStrExt;
    let studio = Studio::new();
    let folder = studio.path("configs").join(std::ffi::OsStr::from_bytes(b"\xff"));
    std::fs::create_dir_all(folder.join("install/core")).unwrap();
    assert!(studio.configs().projects().unwrap().is_empty());
}

#[test]
fn the_overview_has_also_what_cannot_be_read_or_has_no_core_with_the_reason() {
    use std::fs;
    use std::os::unix::fs::symlink;
    let studio = Studio::new();
    studio.localized("good");
    let said = "configs/good/config/core/pipeline_configuration.yml";
    studio.write(said, "project_id: 87\nproject_name: client/show\npc_name: Primary\npc_id: 1\n");
    studio.localized("unreadable");
    studio.write("configs/unreadable/config/core/pipeline_configuration.yml", "[");
    fs::create_dir_all(studio.path("configs/coreless/install/apps")).unwrap();
    studio.attached("unpointed", "undefined_location");
    symlink(studio.path("absent"), studio.path("configs/unmounted")).unwrap();
    studio.write("configs/notes/readme", "");
    studio.write("configs/file", "");
    studio.write("configs/a:b/config/core/roots.yml", "");

    let listed = studio.configs().overview().unwrap();
    let names: Vec<_> = listed.iter().map(|one| one.folder.as_str()).collect();
    assert_eq!(names, ["a:b", "coreless", "good", "unmounted", "unpointed", "unreadable"]);
    let of = |name: &str| listed.iter().find(|one| one.folder == name).unwrap();
    let project = of("good").project.as_ref().unwrap();
    assert_eq!((project.project_id(), project.tank_name()), (Some(87), Some("client/show")));
    assert!(of("good").core.is_ok() && of("unreadable").core.is_ok());
    for (name, error, reason) in [
        ("unreadable", of("unreadable").project.as_ref().map(drop), "failed to read"),
        ("unmounted", of("unmounted").project.as_ref().map(drop), "is a link to nowhere"),
        ("a:b", of("a:b").project.as_ref().map(drop), "it has a colon"),
        ("coreless", of("coreless").core.as_ref().map(drop), "has no files in config/core"),
        ("unpointed", of("unpointed").core.as_ref().map(drop), "Toolkit's word for there being none"),
        ("unmounted", of("unmounted").core.as_ref().map(drop), "failed to read"),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}
