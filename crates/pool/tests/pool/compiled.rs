//! Compiled code on disk, for workers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;
use sgtk_config::{CodeCache, CodeKey, CodeStore};
use sgtk_pool::Call;

use crate::support::Studio;

const SOURCE: &str = "def number():\n    return 1\n";

/// A studio with a plugin, and the folder in which its code is kept.
struct Setting {
    studio: Studio,
    _folder: tempfile::TempDir,
    cache: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let (studio, folder) = (Studio::of(&["a"]), tempfile::tempdir().unwrap());
        studio.plugin("compiled", SOURCE);
        let cache = folder.path().join("code");
        Self { studio, _folder: folder, cache }
    }

    /// What the plugin's function gives in a worker that was started, or forked, anew.
    fn number(&self, forked: bool) -> Value {
        let options = self.studio.options().templates(forked).code_cache(CodeCache::at(&self.cache));
        options.build().unwrap().call("a", Call::new("compiled:number")).unwrap()
    }

    fn files(&self) -> PathBuf {
        fs::read_dir(&self.cache).unwrap().next().unwrap().unwrap().path()
    }

    /// Keeps other code for the plugin than what its source says.
    fn plant(&self) {
        self.plant_for(SOURCE, &SOURCE.replace('1', "2"));
    }

    /// Keeps the code of another source for one.
    fn plant_for(&self, source: &str, other: &str) {
        let code = "import marshal, sys; code = compile(sys.argv[1], 'planted.py', 'exec'); \
                    sys.stdout.buffer.write(marshal.dumps(code))";
        let code = Command::new("python3").args(["-c", code, other]).output().unwrap();
        assert!(code.status.success());
        let python = self.files().file_name().unwrap().to_str().unwrap().to_owned();
        let store = CodeStore::open(&CodeCache::at(&self.cache), &python).unwrap().unwrap();
        store.put(&CodeKey::of(source.as_bytes()), &code.stdout);
    }
}

#[test]
fn workers_keep_code_on_disk_and_take_it_from_there() {
    let setting = Setting::new();
    for forked in [false, true] {
        assert_eq!(setting.number(forked), 1);
        setting.plant();
        assert_eq!(setting.number(forked), 2);
        fs::remove_dir_all(&setting.cache).unwrap();
    }
}

#[test]
fn the_code_of_a_workers_own_side_is_kept_as_well() {
    let setting = Setting::new();
    let source = "import os\n\ndef number():\n    return int(os.environ.get('PLANTED', 1))\n";
    setting.studio.plugin("compiled", source);
    let own = include_str!("../../src/agent/calls.py");
    for forked in [false, true] {
        assert_eq!(setting.number(forked), 1);
        setting.plant_for(own, &format!("{own}\nos.environ['PLANTED'] = '2'\n"));
        assert_eq!(setting.number(forked), 2);
        fs::remove_dir_all(&setting.cache).unwrap();
    }
}

#[test]
fn torn_files_and_folders_that_others_can_write_to_are_not_used() {
    let setting = Setting::new();
    assert_eq!(setting.number(false), 1);
    setting.plant();
    let set_mode = |folder: &Path, mode| {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    };
    for folder in [setting.files(), setting.cache.clone()] {
        set_mode(&folder, 0o777);
        assert_eq!(setting.number(false), 1);
        set_mode(&folder, 0o700);
    }
    assert_eq!(setting.number(false), 2);
    for file in fs::read_dir(setting.files()).unwrap() {
        let file = file.unwrap().path();
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    }
    assert_eq!(setting.number(false), 1);
    assert_eq!(setting.number(false), 1);
}

#[test]
fn a_plugin_of_the_same_size_and_second_is_never_served_with_the_code_of_the_one_before() {
    let setting = Setting::new();
    let file = setting.studio.plugins.path().join("compiled.py");
    let written = SystemTime::now();
    for number in 1..4 {
        setting.studio.plugin("compiled", &SOURCE.replace('1', &number.to_string()));
        fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
        assert_eq!(setting.number(false), number);
    }
}
