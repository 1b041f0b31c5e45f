//! Compiled code of projects' modules, in memory and on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sgtk_config::{CodeKey, CodeStore};
use sgtk_host::Host;
use sgtk_host::config::CodeCache;
use sgtk_host_fixtures::{Configs, Core, isolated, isolated_with};

use crate::support::{assert_audit_is_empty, options, value};

/// A module in the core's folder, and one in its zip of libraries.
const MODULES: [&str; 2] = ["tank.util.shotgun", "packaging.version"];

/// Configurations of two projects on one core and of one with a copy of its own, and a folder for compiled
/// code.
struct Setting {
    configs: Configs,
    _folder: tempfile::TempDir,
    cache: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let (configs, folder) = (Configs::new().unwrap(), tempfile::tempdir().unwrap());
        let core = Core::newer("v0.24.0");
        configs.attached("a", &core).unwrap();
        configs.attached("b", &core).unwrap();
        configs.localized("copy", &core).unwrap();
        let cache = folder.path().join("code");
        Self { configs, _folder: folder, cache }
    }

    fn host(&self) -> Host {
        self.host_with(CodeCache::at(&self.cache))
    }

    fn host_with(&self, cache: CodeCache) -> Host {
        options(&self.configs).code_cache(cache).build().unwrap()
    }

    /// The folder of this Python's code.
    fn files(&self) -> PathBuf {
        drop(self.host());
        let mut folders = fs::read_dir(&self.cache).unwrap().map(|entry| entry.unwrap().path());
        let folder = folders.next().unwrap();
        assert!(folders.next().is_none());
        folder
    }

    /// Keeps other code for the modules than what their sources say: what is taken from the disk shows it.
    fn plant(&self) {
        let python = self.files().file_name().unwrap().to_str().unwrap().to_owned();
        let store = CodeStore::open(&CodeCache::at(&self.cache), &python).unwrap().unwrap();
        let host = self.host_with(CodeCache::off());
        for module in MODULES {
            let source = format!("(lambda m: m.__loader__.get_data(m.__file__))({})", import(module));
            let source: Vec<u8> = host.with_sgtk("a", |sgtk| Ok(value(sgtk, &source))).unwrap();
            let planted = [&source[..], b"\nplanted = True\n"].concat();
            let code = Python::attach(|py| -> PyResult<Vec<u8>> {
                let arguments = (PyBytes::new(py, &planted), "planted.py", "exec");
                let code = py.import("builtins")?.getattr("compile")?.call1(arguments)?;
                py.import("marshal")?.call_method1("dumps", (code,))?.extract()
            });
            store.put(&CodeKey::of(&source), &code.unwrap());
        }
    }
}

fn import(module: &str) -> String {
    format!("__import__('importlib').import_module('{module}')")
}

/// Which of the modules have what was planted for them.
fn planted(host: &Host, project: &str) -> [bool; 2] {
    let has = |module| format!("hasattr({}, 'planted')", import(module));
    MODULES.map(|module| host.with_sgtk(project, |sgtk| Ok(value(sgtk, &has(module)))).unwrap())
}

#[test]
fn code_on_disk_is_taken_for_sources_in_folders_and_in_zips() {
    isolated("compiled_code::code_on_disk_is_taken_for_sources_in_folders_and_in_zips", || {
        let setting = Setting::new();
        setting.plant();
        let host = setting.host();
        assert_eq!(planted(&host, "a"), [true; 2]);
        // A copy with the same contents elsewhere, whose code tells its own place.
        assert_eq!(planted(&host, "copy"), [true; 2]);
        for project in ["a", "copy"] {
            let place = "[sgtk.util.shotgun.site_name.__code__.co_filename, sgtk.util.shotgun.__file__]";
            let place: [String; 2] = host.with_sgtk(project, |sgtk| Ok(value(sgtk, place))).unwrap();
            assert_eq!(place[0], place[1]);
        }
        assert_audit_is_empty(&host);
        drop(host);
        assert_eq!(planted(&setting.host_with(CodeCache::off()), "a"), [false; 2]);
    });
}

#[test]
fn an_import_keeps_its_code_on_disk_and_nothing_beside_the_sources() {
    isolated_with(
        "compiled_code::an_import_keeps_its_code_on_disk_and_nothing_beside_the_sources",
        |child| {
            child.env_remove("PYTHONDONTWRITEBYTECODE");
        },
        || {
            let setting = Setting::new();
            let host = setting.host();
            host.with_sgtk("a", |_| Ok(())).unwrap();
            let kept = fs::read_dir(setting.files()).unwrap().count();
            let question = "sum(1 for name in __import__('sys').modules if name.startswith('tank.'))";
            let modules: usize = host.with_sgtk("a", |sgtk| Ok(value(sgtk, question))).unwrap();
            assert!(kept >= modules, "{kept} files for {modules} modules");
            let core = Configs::python(&setting.configs.shared(&Core::newer("v0.24.0")));
            assert!(!core.join("tank/__pycache__").exists());
        },
    );
}

#[test]
fn torn_and_foreign_files_are_compiled_anew() {
    isolated("compiled_code::torn_and_foreign_files_are_compiled_anew", || {
        let setting = Setting::new();
        setting.plant();
        let files: Vec<_> = fs::read_dir(setting.files()).unwrap().map(|file| file.unwrap().path()).collect();
        for (index, file) in files.iter().enumerate() {
            let whole = fs::read(file).unwrap();
            fs::write(file, if index % 2 == 0 { &whole[..whole.len() / 2] } else { b"\xe3\0\0\0" }).unwrap();
        }
        assert_eq!(planted(&setting.host(), "a"), [false; 2]);
        assert_eq!(planted(&setting.host(), "b"), [false; 2]);
    });
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    isolated("compiled_code::a_folder_that_others_can_write_to_is_not_used", || {
        let setting = Setting::new();
        setting.plant();
        let set_mode = |folder: &Path, mode| {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        };
        for folder in [setting.files(), setting.cache.clone()] {
            set_mode(&folder, 0o777);
            assert_eq!(planted(&setting.host(), "a"), [false; 2]);
            set_mode(&folder, 0o700);
        }
        assert_eq!(planted(&setting.host(), "a"), [true; 2]);
    });
}

#[test]
fn a_file_of_the_same_size_and_second_is_never_served_with_the_code_of_the_one_before() {
    isolated_with(
        "compiled_code::a_file_of_the_same_size_and_second_is_never_served_with_the_code_of_the_one_before",
        |child| {
            child.env_remove("PYTHONDONTWRITEBYTECODE");
        },
        || {
            let setting = Setting::new();
            let file = Configs::python(&setting.configs.config("copy")).join("tank/probe.py");
            let number = format!("{}.VALUE", import("tank.probe"));
            let written = std::time::SystemTime::now();
            for expected in 0..4 {
                fs::write(&file, format!("VALUE = {expected}\n")).unwrap();
                fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
                let found: i32 = setting.host().with_sgtk("copy", |sgtk| Ok(value(sgtk, &number))).unwrap();
                assert_eq!(found, expected);
            }
        },
    );
}

#[test]
fn projects_on_the_same_files_have_their_code_in_common_and_nothing_that_can_change() {
    isolated(
        "compiled_code::projects_on_the_same_files_have_their_code_in_common_and_nothing_that_can_change",
        || {
            let setting = Setting::new();
            for cache in [CodeCache::at(&setting.cache), CodeCache::off()] {
                let host = setting.host_with(cache);
                let objects = "[id(sgtk.util.shotgun.site_name.__code__), id(sgtk.util.shotgun.site_name), \
                               id(sgtk.util.shotgun.__dict__), id(sgtk.TankError)]";
                let of = |project| -> [usize; 4] {
                    host.with_sgtk(project, |sgtk| Ok(value(sgtk, objects))).unwrap()
                };
                let (one, other) = (of("a"), of("b"));
                assert_eq!(one[0], other[0]);
                (1..4).for_each(|index| assert_ne!(one[index], other[index], "{index}"));
                assert_audit_is_empty(&host);
            }
        },
    );
}

#[test]
fn the_code_of_the_last_dropped_projects_stays_for_those_to_come_as_long_as_a_host_runs() {
    isolated(
        "compiled_code::the_code_of_the_last_dropped_projects_stays_for_those_to_come_as_long_as_a_host_runs",
        || {
            let setting = Setting::new();
            let host = setting.host();
            let code = "__import__('weakref').ref(sgtk.util.shotgun.site_name.__code__)";
            let code: Py<PyAny> = host.with_sgtk("a", |sgtk| Ok(value(sgtk, code))).unwrap();
            let is_there = || Python::attach(|py| !code.bind(py).call0().unwrap().is_none());
            Python::attach(|py| host.evict(py, "a")).unwrap();
            assert!(is_there());
            let before = Python::attach(|py| code.bind(py).call0().unwrap().as_ptr() as usize);
            let of = |project| -> usize {
                let code = "id(sgtk.util.shotgun.site_name.__code__)";
                host.with_sgtk(project, |sgtk| Ok(value(sgtk, code))).unwrap()
            };
            // Another project on the same files has it. A copy has other paths, which code shows.
            assert_eq!(of("b"), before);
            assert_ne!(of("copy"), before);
            host.shutdown().unwrap();
            assert!(!is_there());
        },
    );
}
