//! What is missing for a moment decides on no other core.
//!
//! The orders are those of Toolkit's own commands, and any other: deleting and copying the files of a core
//! one by one, moving it away, writing pointers, a share that is away.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use sgtk_config::{ConfigError, Configs, CoreKind, StudioFallback};

use crate::studio::Studio;

/// What a core has, as far as it matters here.
const CORE: [&str; 8] = [
    "_core_upgrader.py",
    "info.yml",
    ".gitignore",
    "hooks/pick_environment.py",
    "python/sgtk/__init__.py",
    "python/tank/__init__.py",
    "python/tank/api.py",
    "setup/tank_api_proxy/tank/__init__.py",
];

/// What an attached configuration has instead.
const PROXY: [&str; 5] = [
    "core_Darwin.cfg",
    "core_Linux.cfg",
    "core_Windows.cfg",
    "python/sgtk/__init__.py",
    "python/tank/__init__.py",
];

const FALLBACKS: [StudioFallback; 3] =
    [StudioFallback::Never, StudioFallback::ExistingConfigurations, StudioFallback::Always];

/// A studio core, a shared core, and a project `a` with a core of its own, or attached to the shared one.
fn studio(kind: CoreKind) -> Studio {
    let studio = Studio::new();
    lay(&studio, "shared", &CORE);
    studio.pipeline_configuration("a");
    match kind {
        CoreKind::Localized => lay(&studio, "configs/a", &CORE),
        _ => lay(&studio, "configs/a", &PROXY),
    }
    studio
}

fn lay(studio: &Studio, root: &str, files: &[&str]) {
    for file in files {
        lay_file(studio, root, file);
    }
}

fn lay_file(studio: &Studio, root: &str, file: &str) {
    let contents = if file.ends_with(".cfg") { "$STUDIO/shared" } else { "" };
    studio.write(&format!("{root}/install/core/{file}"), contents);
}

/// Every way to ask: with and without having asked before, with each fallback.
struct Askers<'a> {
    studio: &'a Studio,
    before: Vec<Configs>,
}

impl<'a> Askers<'a> {
    fn new(studio: &'a Studio) -> Self {
        let before: Vec<_> =
            FALLBACKS.into_iter().map(|fallback| studio.configs().studio_fallback(fallback)).collect();
        for configs in &before {
            configs.locate("a").expect("all is well before");
        }
        Self { studio, before }
    }

    /// Those who asked before and those who did not get one of these cores, or an error.
    fn get_only(&self, allowed: &[PathBuf]) {
        for fallback in FALLBACKS {
            is_one_of(&self.studio.configs().studio_fallback(fallback), allowed);
        }
        self.who_asked_before_get_only(allowed);
    }

    fn who_asked_before_get_only(&self, allowed: &[PathBuf]) {
        for configs in &self.before {
            is_one_of(configs, allowed);
        }
    }

    fn all_get(&self, core: &Path) {
        for fallback in FALLBACKS {
            let fresh = self.studio.configs().studio_fallback(fallback);
            assert_eq!(fresh.locate("a").unwrap().install_core(), core);
        }
        for configs in &self.before {
            assert_eq!(configs.locate("a").unwrap().install_core(), core);
        }
    }
}

fn is_one_of(configs: &Configs, allowed: &[PathBuf]) {
    if let Ok(core) = configs.locate("a") {
        assert!(allowed.iter().any(|one| one == core.install_core()), "{:#}", core.trail());
    }
}

#[test]
fn the_upgrader_alone_being_deleted_is_an_error_that_says_what_is_missing() {
    let studio = studio(CoreKind::Localized);
    fs::remove_file(studio.path("configs/a/install/core/_core_upgrader.py")).unwrap();
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(error, ConfigError::CoreUndecided { .. }), "{error:?}");
    let text = error.to_string();
    for part in ["project \"a\"", "_core_upgrader.py", "core_Linux.cfg", "an upgrade may be running"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_attached_project_without_its_pointer_is_an_error_that_names_it() {
    let studio = studio(CoreKind::Attached);
    let pointer = studio.path("configs/a/install/core/core_Linux.cfg");
    fs::remove_file(&pointer).unwrap();
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(&error, ConfigError::PointerMissing { file, .. } if *file == pointer), "{error:?}");
    assert!(error.to_string().contains("core_Darwin.cfg and core_Windows.cfg"), "{error}");
}

#[test]
fn a_core_that_was_moved_away_while_no_pointer_is_written_is_an_error() {
    let studio = studio(CoreKind::Localized);
    let install = studio.path("configs/a/install");
    fs::create_dir(install.join("core.backup")).unwrap();
    fs::rename(install.join("core"), install.join("core.backup/20240102_030405")).unwrap();
    for fallback in FALLBACKS {
        let error = studio.configs().studio_fallback(fallback).locate("a").unwrap_err();
        assert!(matches!(error, ConfigError::CoreUndecided { .. }), "{error:?}");
    }
}

#[test]
fn a_pointer_for_other_platforms_only_is_an_error_and_not_the_studio_core() {
    let studio = Studio::new();
    studio.pipeline_configuration("a");
    studio.write("configs/a/install/core/core_Windows.cfg", "x");
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(error, ConfigError::PointerMissing { .. }), "{error:?}");
    assert!(error.to_string().ends_with("core_Linux.cfg, only core_Windows.cfg"), "{error}");
}

#[test]
fn a_name_that_nobody_has_is_an_error_that_proposes_existing_ones() {
    let studio = Studio::new();
    for name in ["campeones", "campeones_2", "other"] {
        studio.pipeline_configuration(name);
    }
    let configs = studio.configs();
    for (name, end) in [
        ("Campeones 2", "; did you mean \"campeones_2\" or \"campeones\"?"),
        ("87", "/87"),
        ("Demo__Automotive", "/Demo__Automotive"),
    ] {
        let error = configs.locate(name).unwrap_err();
        assert!(matches!(&error, ConfigError::UnknownProject { .. }), "{error:?}");
        assert!(error.to_string().ends_with(end), "{error}");
    }
}

#[test]
fn a_folder_without_a_configuration_in_it_is_an_error() {
    let studio = Studio::new();
    fs::create_dir_all(studio.path("configs/mount")).unwrap();
    fs::create_dir_all(studio.path("configs/emptied/install/core")).unwrap();
    fs::create_dir_all(studio.path("configs/unpacked/config/core")).unwrap();
    for name in ["mount", "emptied", "unpacked"] {
        let error = studio.configs().locate(name).unwrap_err();
        assert!(matches!(error, ConfigError::NotAConfiguration { .. }), "{error:?}");
    }
}

#[test]
fn a_core_that_was_removed_for_good_has_to_be_forgotten_before_the_studio_core_serves() {
    let studio = studio(CoreKind::Localized);
    let configs = studio.configs();
    configs.locate("a").unwrap();
    fs::remove_dir_all(studio.path("configs/a/install")).unwrap();
    let error = configs.clone().locate("a").unwrap_err();
    assert!(error.to_string().contains("the core was localized when it was last found"), "{error}");
    configs.forget("a");
    assert_eq!(configs.locate("a").unwrap().kind(), CoreKind::Studio);
}

#[test]
fn the_studio_core_is_not_whole_without_what_it_had() {
    let studio = Studio::new();
    lay(&studio, "configs/studio", &CORE);
    studio.pipeline_configuration("a");
    let configs = studio.configs();
    configs.locate("a").unwrap();
    for mark in ["_core_upgrader.py", "info.yml"] {
        fs::remove_file(studio.path("configs/studio/install/core").join(mark)).unwrap();
        let error = configs.locate("a").unwrap_err();
        assert!(error.to_string().contains(&format!("lacks {mark}, which it had before")), "{error}");
        lay_file(&studio, "configs/studio", mark);
        configs.locate("a").unwrap();
    }
}

#[test]
fn a_share_that_is_away_is_an_error_until_it_is_back() {
    for kind in [CoreKind::Localized, CoreKind::Attached] {
        let studio = studio(kind);
        let askers = Askers::new(&studio);
        let core = studio.configs().locate("a").unwrap().install_core().to_owned();
        for gone in [
            "configs",
            "configs/a",
            "configs/a/install",
            "configs/a/install/core",
            "configs/a/config",
            "shared",
            "shared/install",
        ] {
            let (from, to) = (studio.path(gone), studio.path("away"));
            fs::rename(&from, &to).unwrap();
            askers.who_asked_before_get_only(std::slice::from_ref(&core));
            // An empty mount point in its place.
            fs::create_dir(&from).unwrap();
            askers.who_asked_before_get_only(std::slice::from_ref(&core));
            fs::remove_dir(&from).unwrap();
            fs::rename(&to, &from).unwrap();
            askers.all_get(&core);
        }
    }
}

/// `files` in an order that `order` draws.
fn shuffled<'a>(files: &[&'a str], order: &[Index]) -> Vec<&'a str> {
    let mut left = files.to_vec();
    let mut drawn = order.iter();
    let mut shuffled = Vec::new();
    while !left.is_empty() {
        let at = drawn.next().map_or(0, |index| index.index(left.len()));
        shuffled.push(left.swap_remove(at));
    }
    shuffled
}

fn orders() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), CORE.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// `tank core`: file by file, where folders stay or go with the last file in them.
    #[test]
    fn an_upgrade_in_any_order_gives_the_projects_own_core_or_an_error(
        deleting in orders(), copying in orders(), folders_stay in any::<bool>(),
    ) {
        let studio = studio(CoreKind::Localized);
        let askers = Askers::new(&studio);
        let core = studio.path("configs/a/install/core");
        let own = [core.clone()];
        for file in shuffled(&CORE, &deleting) {
            fs::remove_file(core.join(file)).unwrap();
            let mut folder = core.join(file).parent().unwrap().to_owned();
            while !folders_stay && folder != core && fs::remove_dir(&folder).is_ok() {
                folder.pop();
            }
            // By files alone the studio core is right once all is gone; whoever asked before knows better.
            if folders_stay || fs::read_dir(&core).unwrap().any(|entry| entry.unwrap().file_name() != ".gitignore") {
                askers.get_only(&own);
            }
            askers.who_asked_before_get_only(&own);
        }
        for file in shuffled(&CORE, &copying) {
            lay_file(&studio, "configs/a", file);
            if file != ".gitignore" {
                askers.who_asked_before_get_only(&own);
            }
        }
        askers.get_only(&own);
        askers.all_get(&core);
    }

    /// `tank share_core` and `tank attach_to_core`: the core is moved away, proxies and pointers are written.
    #[test]
    fn sharing_a_core_gives_the_old_one_the_new_one_or_an_error(writing in orders(), same_disk in any::<bool>(), deleting in orders()) {
        let studio = studio(CoreKind::Localized);
        let askers = Askers::new(&studio);
        let install = studio.path("configs/a/install");
        let cores = [install.join("core"), studio.path("shared/install/core")];
        let backup = install.join("core.backup/20240102_030405");
        fs::create_dir_all(backup.parent().unwrap()).unwrap();
        if same_disk {
            fs::rename(install.join("core"), &backup).unwrap();
        } else {
            for file in CORE {
                fs::create_dir_all(backup.join(file).parent().unwrap()).unwrap();
                fs::copy(install.join("core").join(file), backup.join(file)).unwrap();
                askers.get_only(&cores);
            }
            for file in shuffled(&CORE, &deleting) {
                fs::remove_file(install.join("core").join(file)).unwrap();
                askers.get_only(&cores);
            }
            fs::remove_dir_all(install.join("core")).unwrap();
        }
        askers.get_only(&cores);
        fs::create_dir(install.join("core")).unwrap();
        for file in shuffled(&PROXY, &writing) {
            askers.get_only(&cores);
            lay_file(&studio, "configs/a", file);
        }
        askers.all_get(&cores[1]);
    }

    /// `tank localize`: proxies and pointers are deleted, the core is copied.
    #[test]
    fn localizing_gives_the_shared_core_the_new_one_or_an_error(deleting in orders(), copying in orders()) {
        let studio = studio(CoreKind::Attached);
        let askers = Askers::new(&studio);
        let core = studio.path("configs/a/install/core");
        let cores = [core.clone(), studio.path("shared/install/core")];
        for file in shuffled(&PROXY, &deleting) {
            fs::remove_file(core.join(file)).unwrap();
            askers.get_only(&cores);
        }
        for file in shuffled(&CORE, &copying) {
            lay_file(&studio, "configs/a", file);
            askers.get_only(&cores);
        }
        askers.all_get(&core);
    }

    /// A pointer that is written anew, by whatever editor, and seen at any moment.
    #[test]
    fn a_pointer_being_rewritten_gives_the_old_core_the_new_one_or_an_error(
        cuts in prop::collection::vec(any::<Index>(), 1..6), removed in any::<bool>(), end in "(|\n|\r\n)",
    ) {
        let studio = studio(CoreKind::Attached);
        lay(&studio, "other", &CORE);
        let askers = Askers::new(&studio);
        let pointer = studio.path("configs/a/install/core/core_Linux.cfg");
        let cores = ["shared", "other"].map(|root| studio.path(root).join("install/core"));
        let contents = format!("{}{end}", studio.path("other").display());
        if removed {
            fs::remove_file(&pointer).unwrap();
            askers.get_only(&cores);
        }
        for word in ["", "undefined", "undefined_location", "None", "\n"] {
            fs::write(&pointer, word).unwrap();
            askers.get_only(&cores);
        }
        for cut in cuts {
            fs::write(&pointer, &contents[..cut.index(contents.len())]).unwrap();
            askers.get_only(&cores);
        }
        fs::write(&pointer, &contents).unwrap();
        askers.all_get(&cores[1]);
    }

    /// The shared core's own upgrade.
    #[test]
    fn an_upgrade_of_a_shared_core_gives_that_core_or_an_error(deleting in orders(), copying in orders()) {
        let studio = studio(CoreKind::Attached);
        let askers = Askers::new(&studio);
        let core = studio.path("shared/install/core");
        let shared = [core.clone()];
        for file in shuffled(&CORE, &deleting) {
            fs::remove_file(core.join(file)).unwrap();
            askers.get_only(&shared);
        }
        for file in shuffled(&CORE, &copying) {
            lay_file(&studio, "shared", file);
            askers.get_only(&shared);
        }
        askers.all_get(&core);
    }
}
