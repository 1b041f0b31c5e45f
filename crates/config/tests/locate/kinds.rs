//! Localized, attached, studio: each rule and what it gives.

use std::fs;
use std::os::unix::fs::symlink;

use sgtk_config::{ConfigError, CoreKind, Rule, StudioFallback};

use crate::studio::{PLATFORMS, Studio, spelled};

#[test]
fn a_localized_core_is_the_configurations_own() {
    let studio = Studio::new();
    let configuration = studio.localized("a");
    let core = studio.configs().locate("a").unwrap();
    assert_eq!(core.project(), "a");
    assert_eq!(core.kind(), CoreKind::Localized);
    assert_eq!(core.install_core(), configuration.join("install/core"));
    assert_eq!(core.python(), configuration.join("install/core/python"));
    assert_eq!(core.pipeline_configuration(), Some(configuration.as_path()));
    assert_eq!(core.current_pc(), Some(configuration.as_path()));
}

#[test]
fn a_core_of_its_own_wins_over_a_pointer() {
    let studio = Studio::new();
    studio.localized("a");
    studio.attached("a", "/nonexistent");
    assert_eq!(studio.configs().locate("a").unwrap().kind(), CoreKind::Localized);
}

#[test]
fn an_attached_core_is_where_the_platforms_pointer_says() {
    for platform in PLATFORMS {
        let studio = Studio::new();
        studio.pipeline_configuration("a");
        for other in PLATFORMS {
            let root = studio.core(&format!("shared/{other}"));
            let file = format!("configs/a/install/core/{}", other.core_pointer());
            studio.write(&file, format!("{}\r\n", spelled(&root, other)));
        }
        let core = studio.configs().platform(platform).locate("a").unwrap();
        let root = studio.path(&format!("shared/{platform}"));
        assert_eq!(core.kind(), CoreKind::Attached);
        assert_eq!(core.python(), root.join("install/core/python"), "{platform}");
        assert_eq!(core.pipeline_configuration(), Some(studio.path("configs/a").as_path()));
        assert_eq!(core.current_pc(), Some(studio.path("configs/a").as_path()));
    }
}

#[test]
fn a_project_may_be_attached_to_another_projects_core() {
    let studio = Studio::new();
    let other = studio.localized("b");
    studio.attached("a", other.to_str().unwrap());
    let core = studio.configs().locate("a").unwrap();
    assert_eq!(core.kind(), CoreKind::Attached);
    assert_eq!(core.install_core(), other.join("install/core"));
    assert_eq!(core.current_pc(), Some(studio.path("configs/a").as_path()));
}

#[test]
fn a_project_that_names_no_core_gets_the_studios() {
    let studio = Studio::new();
    studio.pipeline_configuration("a");
    let core = studio.configs().locate("a").unwrap();
    assert_eq!(core.kind(), CoreKind::Studio);
    assert_eq!(core.python(), studio.path("configs/studio/install/core/python"));
    assert_eq!(core.pipeline_configuration(), Some(studio.path("configs/a").as_path()));
    assert!(core.is_pipeline_configuration());
    assert_eq!(core.current_pc(), None);
}

#[test]
fn an_unknown_project_gets_the_studio_core_only_where_that_is_always_meant_and_the_trail_says_so() {
    let studio = Studio::new();
    let core = studio.configs().studio_fallback(StudioFallback::Always).locate("a").unwrap();
    assert_eq!(core.kind(), CoreKind::Studio);
    let folder = studio.path("configs/a");
    let expected = format!("configuration: {}: nothing; localized core: ", folder.display());
    assert!(core.trail().to_string().starts_with(&expected), "{}", core.trail());
}

#[test]
fn a_folder_that_toolkit_does_not_take_for_a_configuration_has_no_current_pc() {
    let studio = Studio::new();
    let configuration = studio.localized("a");
    fs::remove_file(configuration.join("config/core/roots.yml")).unwrap();
    let core = studio.configs().locate("a").unwrap();
    assert!(!core.is_pipeline_configuration());
    assert_eq!(core.current_pc(), None);
}

#[test]
fn without_the_fallback_a_missing_pointer_is_an_error() {
    let studio = Studio::new();
    studio.pipeline_configuration("a");
    let error = studio.configs().studio_fallback(StudioFallback::Never).locate("a").unwrap_err();
    let expected = studio.path("configs/a/install/core/core_Linux.cfg");
    assert!(matches!(&error, ConfigError::PointerMissing { file, .. } if *file == expected), "{error:?}");
}

#[test]
fn without_the_fallback_a_missing_configuration_is_an_error() {
    let studio = Studio::new();
    let error = studio.configs().studio_fallback(StudioFallback::Never).locate("a").unwrap_err();
    let expected = studio.path("configs/a");
    assert!(matches!(&error, ConfigError::UnknownProject { folder, .. } if *folder == expected), "{error:?}");
}

#[test]
fn a_missing_studio_core_is_an_error() {
    let studio = Studio::empty();
    studio.pipeline_configuration("a");
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(error, ConfigError::StudioCoreMissing { .. }), "{error:?}");
}

#[test]
fn a_core_that_lacks_a_package_is_an_error_that_names_it() {
    for (gone, missing) in [
        ("sgtk/__init__.py", "sgtk (sgtk/__init__.py or sgtk.py)"),
        ("tank/__init__.py", "tank (tank/__init__.py)"),
    ] {
        let studio = Studio::new();
        let python = studio.localized("a").join("install/core/python");
        fs::remove_file(python.join(gone)).unwrap();
        let error = studio.configs().locate("a").unwrap_err();
        let expected =
            format!("the core of project \"a\" is incomplete: {} lacks {missing}; ", python.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn sgtk_may_be_a_module_instead_of_a_package() {
    let studio = Studio::new();
    let python = studio.localized("a").join("install/core/python");
    fs::remove_dir_all(python.join("sgtk")).unwrap();
    fs::write(python.join("sgtk.py"), "").unwrap();
    studio.configs().locate("a").unwrap();
}

#[test]
fn a_link_to_nowhere_is_an_error_and_not_the_studio_core() {
    for link in
        ["configs/a", "configs/a/install", "configs/a/install/core", "configs/a/install/core/core_Linux.cfg"]
    {
        let studio = Studio::new();
        let link = studio.path(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(studio.path("unmounted"), &link).unwrap();
        let (trail, result) = studio.configs().explain("a");
        assert!(matches!(result, Err(ConfigError::Unreadable { .. })), "{result:?}");
        assert!(trail.to_string().ends_with(&format!("{} is a link to nowhere", link.display())), "{trail}");
    }
}

#[test]
fn a_configuration_may_be_a_link() {
    let studio = Studio::new();
    let elsewhere = studio.localized("b");
    symlink(elsewhere, studio.path("configs/a")).unwrap();
    let core = studio.configs().locate("a").unwrap();
    assert_eq!(core.kind(), CoreKind::Localized);
    assert_eq!(core.python(), studio.path("configs/a/install/core/python"));
}

#[test]
fn the_version_and_the_interpreter_are_those_of_the_core_that_is_used() {
    let studio = Studio::new();
    let shared = studio.core("shared");
    for (root, name) in [("configs/studio", "studio"), ("configs/a", "a"), ("shared", "shared")] {
        // That alone would show that the project has a core of its own.
        if name != "a" {
            studio.write(&format!("{root}/install/core/info.yml"), format!("version: \"v-{name}\"\n"));
        }
        studio.write(&format!("{root}/python-{name}"), "");
        let interpreter = format!("$STUDIO/{root}/python-{name}\n");
        studio.write(&format!("{root}/config/core/interpreter_Linux.cfg"), interpreter);
    }
    let found = |project| {
        let core = studio.configs().locate(project).unwrap();
        (core.kind(), core.version().unwrap().to_owned(), core.interpreter().unwrap().to_owned())
    };
    let expected = |kind, name, root: &str| {
        (kind, format!("v-{name}"), studio.path(root).join(format!("python-{name}")))
    };

    assert_eq!(found("a"), expected(CoreKind::Studio, "studio", "configs/studio"));
    studio.attached("a", shared.to_str().unwrap());
    assert_eq!(found("a"), expected(CoreKind::Attached, "shared", "shared"));
    studio.localized("a");
    studio.write("configs/a/install/core/info.yml", "version: \"v-a\"\n");
    assert_eq!(found("a"), expected(CoreKind::Localized, "a", "configs/a"));
}

#[test]
fn a_core_without_version_and_interpreter_is_found_all_the_same() {
    let studio = Studio::new();
    studio.localized("a");
    studio.write("configs/a/config/core/interpreter_Linux.cfg", "/nonexistent/python");
    let core = studio.configs().locate("a").unwrap();
    assert_eq!((core.version(), core.interpreter()), (None, None));
    let interpreter = core.trail().steps().iter().find(|step| step.rule == Rule::Interpreter).unwrap();
    assert_eq!(interpreter.found, "\"/nonexistent/python\", where there is no file");
}

#[test]
fn the_trail_tells_each_rule_in_the_order_it_was_tried() {
    let studio = Studio::new();
    studio.pipeline_configuration("a");
    studio.write("configs/studio/install/core/info.yml", "version: v1");
    let trail = format!("{:#}", studio.configs().locate("a").unwrap().trail());
    let base = studio.path("configs").display().to_string();
    let expected = [
        "configuration: BASE/a: a folder",
        "localized core: BASE/a/install/core/_core_upgrader.py: nothing",
        "core pointer: BASE/a/install/core/core_Linux.cfg: nothing",
        "studio core: BASE/studio/install/core: a folder",
        "python folder: BASE/studio/install/core/python: sgtk and tank",
        "version: BASE/studio/install/core/info.yml: v1",
        "interpreter: BASE/studio/config/core/interpreter_Linux.cfg: nothing",
        "storage roots: BASE/a/config/core/roots.yml: found",
    ];
    assert_eq!(trail.replace(&base, "BASE"), expected.join("\n"));
}
