//! The Python that a configuration wants, from its `interpreter_*.cfg`.

use std::path::{Path, PathBuf};

use super::{Rule, Trail, pointer};
use crate::Platform;
use crate::disk::presence::{self, Contents};
use crate::paths::Environment;
use crate::paths::expand;

/// The Python named beside the core whose `install` folder is in `core_root`, where that is an existing file.
///
/// The defaults that configurations are shipped with often name a Python which is not installed, so whatever
/// is wrong with the file only goes into the trail. As in `tk-core`, variables are expanded and `~` is not.
pub(super) fn read(
    core_root: &Path,
    platform: Platform,
    environment: &Environment,
    trail: &mut Trail,
) -> Option<PathBuf> {
    let file = core_root.join("config").join("core").join(platform.interpreter_file());
    let (interpreter, found) = match named(&file, core_root, platform, environment) {
        Ok(Some(python)) => {
            let found = python.display().to_string();
            (Some(python), found)
        }
        Ok(None) => (None, "nothing".to_owned()),
        Err(problem) => (None, problem),
    };
    trail.add(Rule::Interpreter, &file, found);
    interpreter
}

fn named(
    file: &Path,
    core_root: &Path,
    platform: Platform,
    environment: &Environment,
) -> Result<Option<PathBuf>, String> {
    let bytes = match presence::read(file, core_root, pointer::LIMIT).map_err(|error| error.to_string())? {
        Contents::Missing => return Ok(None),
        Contents::Bytes(bytes) => bytes,
        Contents::NotAFile(kind) => return Err(kind.to_owned()),
        Contents::TooLarge(size) => return Err(format!("{size} bytes, more than {}", pointer::LIMIT)),
    };
    let value = pointer::only_line(&bytes).map_err(|refused| refused.problem.to_string())?;
    let expanded = expand::variables(value, platform, environment)
        .map_err(|problem| format!("{value:?}, where {problem}"))?;
    if !platform.is_absolute(&expanded) {
        return Err(format!("{value:?}, which is not an absolute path on {platform}"));
    }
    let python = PathBuf::from(expanded);
    if !python.is_file() {
        return Err(format!("{value:?}, where there is no file"));
    }
    Ok(Some(python))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A core's root whose interpreter file says `text`, what is read from it, and what the trail says.
    fn read_from(text: &[u8]) -> (Option<PathBuf>, String) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("config/core")).unwrap();
        fs::write(root.path().join("config/core/interpreter_Linux.cfg"), text).unwrap();
        fs::write(root.path().join("python"), "").unwrap();
        let environment =
            Environment::of([("ROOT", root.path()), ("HOME", root.path()), ("EMPTY", Path::new(""))]);
        let mut trail = Trail::default();
        let python = read(root.path(), Platform::Linux, &environment, &mut trail);
        (python, trail.steps().first().unwrap().found.clone())
    }

    #[test]
    fn the_path_is_stripped_and_its_variables_expanded() {
        let (python, found) = read_from(b"\xef\xbb\xbf $ROOT/python \r\n");
        assert_eq!(python.unwrap().display().to_string(), found);
        assert!(found.ends_with("/python"), "{found}");
    }

    #[test]
    fn a_file_that_names_no_python_is_none_and_the_trail_says_why() {
        for (text, why) in [
            (&b"$NONE/python"[..], "\"$NONE/python\", where variable \"NONE\" is not set"),
            (b"", "expected a path on the first line, found none"),
            (b"$EMPTY", "\"$EMPTY\", which is not an absolute path on Linux"),
            (b"python3", "\"python3\", which is not an absolute path on Linux"),
            (b"~/python", "\"~/python\", which is not an absolute path on Linux"),
            (b"$ROOT/absent", "\"$ROOT/absent\", where there is no file"),
            (b"$ROOT", "\"$ROOT\", where there is no file"),
            (b"/\xff", "expected UTF-8 text"),
            (b"/a\n/b", "expected one line, found 2 with text"),
        ] {
            assert_eq!(read_from(text), (None, why.to_owned()));
        }
    }

    #[test]
    fn a_missing_file_is_none() {
        let root = tempfile::tempdir().unwrap();
        let mut trail = Trail::default();
        let none = Environment::of([("", ""); 0]);
        assert_eq!(read(root.path(), Platform::Darwin, &none, &mut trail), None);
        let step = trail.steps().first().unwrap();
        assert_eq!(step.path, root.path().join("config/core/interpreter_Darwin.cfg"));
        assert_eq!(step.found, "nothing");
    }
}
