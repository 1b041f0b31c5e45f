//! A core that changes on disk is noticed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sgtk_config::{CoreWatch, Fingerprint};

use crate::studio::Studio;

/// An attached project with every file that a fingerprint looks at.
fn attached() -> (Studio, PathBuf) {
    let studio = Studio::new();
    let shared = studio.core("shared");
    for file in ["_core_upgrader.py", "info.yml"] {
        studio.write(&format!("shared/install/core/{file}"), "");
    }
    studio.attached("a", "$STUDIO/shared");
    (studio, shared.join("install/core"))
}

fn fingerprint(studio: &Studio) -> Fingerprint {
    Fingerprint::quick(&studio.configs().locate("a").unwrap())
}

fn changed(before: &Fingerprint, after: &Fingerprint) -> Vec<PathBuf> {
    before.changed(after).map(Path::to_owned).collect()
}

#[test]
fn what_nobody_touches_stays_the_same() {
    let (studio, core) = attached();
    let before = fingerprint(&studio);
    fs::write(core.join("python/tank/other.py"), "").unwrap();
    assert_eq!(before, fingerprint(&studio));
}

#[test]
fn each_file_that_is_rewritten_is_noticed_by_size_by_time_and_by_being_another() {
    let (studio, core) = attached();
    let pointer = studio.path("configs/a/install/core/core_Linux.cfg");
    let in_core = ["_core_upgrader.py", "info.yml", "python/tank/__init__.py", "python/sgtk/__init__.py"]
        .map(|file| core.join(file));
    let location = studio.configs().locate("a").unwrap();
    for file in in_core.into_iter().chain([pointer]) {
        let noticed = |change: &dyn Fn()| {
            let before = Fingerprint::quick(&location);
            change();
            let after = Fingerprint::quick(&location);
            assert_ne!(before, after, "{}", file.display());
            assert_eq!(changed(&before, &after), [file.as_path()]);
        };
        let contents = fs::read(&file).unwrap();
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let set_modified =
            |time: SystemTime| File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();

        // Another size at the same time.
        noticed(&|| {
            fs::write(&file, [&contents[..], b"\n"].concat()).unwrap();
            set_modified(modified);
        });
        // The same size a hundred nanoseconds later.
        noticed(&|| set_modified(modified + Duration::from_nanos(100)));
        // The same size at the same time, in another file.
        noticed(&|| {
            let at = fs::metadata(&file).unwrap().modified().unwrap();
            let other = file.with_extension("new");
            fs::copy(&file, &other).unwrap();
            File::options().write(true).open(&other).unwrap().set_modified(at).unwrap();
            fs::rename(&other, &file).unwrap();
        });
        noticed(&|| fs::remove_file(&file).unwrap());
        noticed(&|| fs::write(&file, &contents).unwrap());
    }
}

#[test]
fn a_project_that_gets_a_core_of_its_own_is_noticed() {
    let (studio, _) = attached();
    let before = Fingerprint::quick(&studio.configs().locate("a").unwrap());
    let location = studio.configs().locate("a").unwrap();
    studio.localized("a");
    let after = Fingerprint::quick(&location);
    assert_eq!(changed(&before, &after), [studio.path("configs/a/install/core/_core_upgrader.py")]);
}

#[test]
fn a_studio_project_that_gets_a_pointer_is_noticed() {
    let studio = Studio::new();
    studio.pipeline_configuration("a");
    let location = studio.configs().locate("a").unwrap();
    let before = Fingerprint::quick(&location);
    let pointer = studio.attached("a", "$STUDIO/shared");
    assert_eq!(changed(&before, &Fingerprint::quick(&location)), [pointer]);
}

#[test]
fn a_core_behind_a_link_that_is_turned_is_noticed() {
    let (studio, core) = attached();
    let link = studio.path("current");
    std::os::unix::fs::symlink(studio.path("shared"), &link).unwrap();
    studio.attached("a", link.to_str().unwrap());
    let before = fingerprint(&studio);
    assert_eq!(studio.configs().locate("a").unwrap().install_core(), link.join("install/core"));
    fs::rename(core.parent().unwrap().parent().unwrap(), studio.path("old")).unwrap();
    studio.core("shared");
    assert_ne!(before, fingerprint(&studio));
}

/// A core in the middle of an upgrade: of the new one there is what a quick look is at, of the old one the
/// rest.
#[test]
fn a_core_that_is_half_new_is_noticed_when_the_other_half_comes() {
    let (studio, core) = attached();
    let late =
        ["python/tank/platform/__init__.py", "requirements/3.11/pkgs.zip", "hooks/pick_environment.py"];
    for file in late {
        studio.write(&format!("shared/install/core/{file}"), "old");
    }
    for file in ["info.yml", "_core_upgrader.py", "python/sgtk/__init__.py", "python/tank/__init__.py"] {
        studio.write(&format!("shared/install/core/{file}"), "new");
    }
    let location = studio.configs().locate("a").unwrap();
    let (quick, full) = (Fingerprint::quick(&location), Fingerprint::full(&location));
    let watch = CoreWatch::before_import(&location);
    assert!(watch.changed_since().is_empty());
    for file in late {
        studio.write(&format!("shared/install/core/{file}"), "new one");
    }
    let mut expected = late.map(|file| core.join(file)).to_vec();
    expected.sort();
    assert_eq!(quick, Fingerprint::quick(&location));
    assert_eq!(changed(&full, &Fingerprint::full(&location)), expected);
    assert_eq!(watch.changed_since(), expected);
}

#[test]
fn what_python_compiles_and_what_no_code_comes_from_changes_nothing() {
    let (studio, core) = attached();
    let location = studio.configs().locate("a").unwrap();
    let before = Fingerprint::full(&location);
    studio.write("shared/install/core/python/tank/__pycache__/api.cpython-311.pyc", "");
    studio.write("shared/install/core/tests/test_api.py", "");
    studio.write("configs/a/cache/log.txt", "");
    assert_eq!(before, Fingerprint::full(&location));
    assert_eq!(Fingerprint::of_core(&core), Fingerprint::of_core(&core));
}

#[test]
fn a_configurations_files_are_noticed_and_its_core_and_bundles_are_not() {
    let (studio, _) = attached();
    let folder = studio.path("configs/a");
    for file in ["core/templates.yml", "env/project.yml", "hooks/x/choose.py", "bundle_cache/app/app.py"] {
        studio.write(&format!("configs/a/config/{file}"), "");
    }
    let before = Fingerprint::of_configuration(&folder);
    let with_core = Fingerprint::of_bootstrapped(&folder);
    for file in [
        "core/templates.yml",
        "env/project.yml",
        "hooks/x/choose.py",
        "bundle_cache/app/app.py",
        "env/new.yml",
    ] {
        studio.write(&format!("configs/a/config/{file}"), "changed");
    }
    studio.write("configs/a/install/core/python/tank/api.py", "");
    let expected = ["core/templates.yml", "env/new.yml", "env/project.yml", "hooks/x/choose.py"]
        .map(|file| folder.join("config").join(file))
        .to_vec();
    assert_eq!(changed(&before, &Fingerprint::of_configuration(&folder)), expected);
    let api = folder.join("install/core/python/tank/api.py");
    assert_eq!(changed(&with_core, &Fingerprint::of_bootstrapped(&folder)), [expected, vec![api]].concat());
}

#[test]
fn plugins_and_the_modules_beside_them_are_noticed_and_their_data_is_not() {
    let studio = Studio::new();
    for file in ["plugin.py", "helpers/deep/module.py", "state.json"] {
        studio.write(&format!("plugins/{file}"), "");
    }
    let plugins = || Fingerprint::of_plugins([studio.path("plugins")]);
    let before = plugins();
    for file in ["helpers/deep/module.py", "state.json", "another.py"] {
        studio.write(&format!("plugins/{file}"), "changed");
    }
    let expected = ["another.py", "helpers/deep/module.py"].map(|file| studio.path("plugins").join(file));
    assert_eq!(changed(&before, &plugins()), expected);
}
