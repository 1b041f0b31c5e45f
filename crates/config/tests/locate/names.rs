//! A project's name cannot lead out of the folder of configurations.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use sgtk_config::{ConfigError, Configs, CoreKind, StudioFallback};

use crate::studio::Studio;

/// A studio with a core outside the base folder that any escaping name would find.
fn studio_with_decoys() -> Studio {
    let studio = Studio::new();
    for decoy in [".", "outside", "configs"] {
        studio.core(decoy);
        studio.write(&format!("{decoy}/install/core/_core_upgrader.py"), "");
    }
    studio
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let studio = studio_with_decoys();
    let absolute = studio.path("outside");
    for name in [
        "",
        ".",
        "..",
        "../outside",
        "studio/..",
        r"..\outside",
        "C:",
        "a\0",
        "a\nb",
        absolute.to_str().unwrap(),
    ] {
        let error = studio.configs().locate(name).unwrap_err();
        assert!(matches!(&error, ConfigError::ProjectName { project, .. } if project == name), "{error:?}");
    }
}

#[test]
fn a_refused_name_touches_no_file() {
    // The base folder cannot be looked at: any attempt to would be another error.
    let (trail, result) = Configs::new("/dev/null").explain("../etc");
    assert!(matches!(result, Err(ConfigError::ProjectName { .. })), "{result:?}");
    assert!(trail.steps().is_empty());
}

#[test]
fn a_name_is_never_expanded() {
    let studio = studio_with_decoys();
    for name in ["~", "$STUDIO", "%STUDIO%"] {
        let core = studio.configs().studio_fallback(StudioFallback::Always).locate(name).unwrap();
        assert_eq!(core.pipeline_configuration(), Some(studio.path("configs").join(name).as_path()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_name_the_core_is_in_the_base_folder(
        name in prop_oneof![any::<String>(), "(\\.|\\.\\.|/|\\\\|:| |a|outside|studio|\0|\u{7f}){0,6}"],
    ) {
        let studio = studio_with_decoys();
        let base = studio.path("configs");
        match studio.configs().studio_fallback(StudioFallback::Always).locate(&name) {
            Ok(core) => {
                let folder = core.pipeline_configuration();
                prop_assert_eq!(folder.and_then(Path::parent), Some(base.as_path()));
                prop_assert_eq!(core.kind(), CoreKind::Studio);
                let real = fs::canonicalize(core.python()).unwrap();
                prop_assert_eq!(real, fs::canonicalize(base.join("studio/install/core/python")).unwrap());
            }
            Err(ConfigError::ProjectName { project, .. }) => prop_assert_eq!(project, name),
            Err(error) => prop_assert!(false, "{:?}", error),
        }
    }
}
