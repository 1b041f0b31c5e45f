//! The Python files of the workers, in a folder.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The Python files of the workers.
const AGENTS: [(&str, &str); 10] = [
    ("__init__.py", include_str!("../python/sgtk_eventd/__init__.py")),
    ("configuration.py", include_str!("../python/sgtk_eventd/configuration.py")),
    ("lanes.py", include_str!("../python/sgtk_eventd/lanes.py")),
    ("mail.py", include_str!("../python/sgtk_eventd/mail.py")),
    ("plugins.py", include_str!("../python/sgtk_eventd/plugins.py")),
    ("records.py", include_str!("../python/sgtk_eventd/records.py")),
    ("site.py", include_str!("../python/sgtk_eventd/site.py")),
    ("state.py", include_str!("../python/sgtk_eventd/state.py")),
    ("worker.py", include_str!("../python/sgtk_eventd/worker.py")),
    ("values.py", include_str!("../python/sgtk_eventd/values.py")),
];

/// The folder of the workers' files: of this user alone, and by what is in it.
#[derive(Debug)]
pub(super) struct Home {
    folder: PathBuf,
}

impl Home {
    pub(super) fn make() -> io::Result<Home> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        AGENTS.hash(&mut hasher);
        let user = rustix::process::geteuid().as_raw();
        let folder = std::env::temp_dir().join(format!("sgtk-eventd-{user}-{:016x}", hasher.finish()));
        let home = Home { folder };
        home.write()?;
        Ok(home)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is there still: programs that clean up know nothing of it.
    pub(super) fn is_there(&self) -> bool {
        self.folder.join("sgtk_eventd/worker.py").exists()
    }

    /// Writes what is not there, or not as it is to be.
    pub(super) fn write(&self) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(&self.folder)?;
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if !ours || found.permissions().mode() & 0o022 != 0 {
            return Err(io::Error::other(format!("{} belongs to somebody else", self.folder.display())));
        }
        fs::create_dir_all(self.folder.join("sgtk_eventd"))?;
        for (name, text) in AGENTS {
            write_anew(&self.folder.join("sgtk_eventd").join(name), text)?;
        }
        Ok(())
    }
}

/// Writes a file unless it is so already; never half of it.
fn write_anew(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(file.path(), text)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Else the first look for garbage after the import would be at all of it.
    #[test]
    fn what_the_import_of_the_client_has_made_is_old_for_the_collector() {
        let home = Home::make().unwrap();
        let client = tempfile::tempdir().unwrap();
        fs::write(client.path().join("shotgun_api3.py"), "MADE = [[] for _ in range(1000)]\n").unwrap();
        let code = "
import gc, sys
sys.path[:0] = sys.argv[1:]
from sgtk_eventd import worker
made = worker.client_module().MADE
print(any(found is made for found in gc.get_objects(generation=2)), gc.isenabled())
";
        let mut python = Command::new("python3");
        let told = python.args(["-c", code]).arg(home.folder()).arg(client.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&told.stdout), "True True\n", "{told:?}");
    }
}
