//! Where the file is looked for.

use std::path::{Path, PathBuf};

/// The file's name.
pub const FILE_NAME: &str = "shotgunEventDaemon.conf";

/// There is no configuration file.
#[derive(Debug, thiserror::Error)]
#[error("there is no {FILE_NAME} in {}; name one with --config", Folders(folders))]
pub struct NotFound {
    /// Where it was looked for.
    pub folders: Vec<PathBuf>,
}

struct Folders<'a>(&'a [PathBuf]);

impl std::fmt::Display for Folders<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.iter().map(|folder| folder.display().to_string()).collect();
        f.write_str(&names.join(", "))
    }
}

/// The file that was named, or the first that is there: beside the program (shotgunEvents: beside its
/// script), in `/etc`.
///
/// # Errors
/// None was named and there is none.
pub fn find(named: Option<&Path>) -> Result<PathBuf, NotFound> {
    if let Some(path) = named {
        return Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    }
    let program = std::env::current_exe().ok().and_then(|file| file.parent().map(Path::to_owned));
    let folders: Vec<PathBuf> = program.into_iter().chain([PathBuf::from("/etc")]).collect();
    let found = folders.iter().map(|folder| folder.join(FILE_NAME)).find(|file| file.exists());
    found.ok_or(NotFound { folders })
}

/// The value of a key of `[eventd]` as the file most likely has it, before ConfigParser has read it: what the
/// worker that reads it has to be.
#[must_use]
pub fn likely_value(path: &Path, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut in_section = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_section = line.trim() == "[eventd]";
        } else if in_section
            && let Some((name, value)) = line.split_once([':', '='])
            && name.trim().eq_ignore_ascii_case(key)
        {
            return Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_its_section() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        let likely = |text: &str| {
            std::fs::write(&file, text).unwrap();
            likely_value(&file, "python")
        };
        assert_eq!(
            likely("[daemon]\npython: /a\n[eventd]\nPython = /opt/python3\n"),
            Some("/opt/python3".into())
        );
        assert_eq!(likely("[eventd]\nattempts: 3\n[other]\npython: /a\n"), None);
    }
}
