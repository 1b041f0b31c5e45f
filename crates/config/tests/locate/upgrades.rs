//! A core that changes on disk is noticed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sgtk_config::Fingerprint;

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
    Fingerprint::of(&studio.configs().locate("a").unwrap())
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
            let before = Fingerprint::of(&location);
            change();
            let after = Fingerprint::of(&location);
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
    let before = Fingerprint::of(&studio.configs().locate("a").unwrap());
    let location = studio.configs().locate("a").unwrap();
    studio.localized("a");
    let after = Fingerprint::of(&location);
    assert_eq!(changed(&before, &after), [studio.path("configs/a/install/core/_core_upgrader.py")]);
}

#[test]
fn a_studio_project_that_gets_a_pointer_is_noticed() {
    let studio = Studio::new();
    studio.pipeline_configuration("a");
    let location = studio.configs().locate("a").unwrap();
    let before = Fingerprint::of(&location);
    let pointer = studio.attached("a", "$STUDIO/shared");
    assert_eq!(changed(&before, &Fingerprint::of(&location)), [pointer]);
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
