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
