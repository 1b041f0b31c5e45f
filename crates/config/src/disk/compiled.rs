//! Compiled code beside sources that were edited.
//!
//! Python takes compiled code for that of a source with the same size and the same second of its last change.
//! A file that is edited twice in one second, as programs do, would be the old one for good.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Removes the compiled code in `__pycache__` of those sources for which a Python would take it, as it cannot
/// be told whether it is theirs. Where it cannot be removed it stays.
pub fn forget_compiled<'a>(sources: impl IntoIterator<Item = &'a Path>) {
    for source in sources.into_iter().filter(|source| source.extension().is_some_and(|end| end == "py")) {
        let (Some(folder), Some(stem)) = (source.parent(), source.file_stem().and_then(|stem| stem.to_str()))
        else {
            continue;
        };
        let Ok(entries) = fs::read_dir(folder.join("__pycache__")) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(stem));
            // `module.cpython-311.opt-1.pyc`: one for each Python and level.
            let is_of_source = rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".pyc"));
            if is_of_source && looks_current(source, &entry.path()) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

/// Whether the head of a file of compiled code names the source's time and size (PEP 552).
#[must_use]
pub fn looks_current(source: &Path, compiled: &Path) -> bool {
    let (Ok(head), Ok(metadata)) = (read_head(compiled), fs::metadata(source)) else { return false };
    let seconds = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let number =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?)) };
    // As Python has them: the lowest 32 bits.
    number(4) == Some(0)
        && number(8) == seconds.map(|time| time.as_secs() as u32)
        && number(12) == Some(metadata.len() as u32)
}

fn read_head(file: &Path) -> std::io::Result<[u8; 16]> {
    let mut head = [0; 16];
    fs::File::open(file)?.read_exact(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_code_that_python_would_take_for_an_edited_source_is_removed_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("__pycache__");
        fs::create_dir(&cache).unwrap();
        let source = folder.path().join("a.py");
        fs::write(&source, "x = 1\n").unwrap();
        let metadata = fs::metadata(&source).unwrap();
        let seconds = metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32;
        let head = |seconds: u32| {
            let words = [0x0a0d_0da7, 0, seconds, metadata.len() as u32];
            words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>()
        };
        let taken = ["a.cpython-311.pyc", "a.cpython-39.opt-1.pyc"].map(|name| cache.join(name));
        let others = ["a.cpython-313.pyc", "ab.cpython-311.pyc"].map(|name| cache.join(name));
        for file in taken.iter().chain(&others[1..]) {
            fs::write(file, head(seconds)).unwrap();
        }
        fs::write(&others[0], head(seconds - 10)).unwrap();
        forget_compiled([source.as_path(), folder.path()]);
        assert!(taken.iter().all(|file| !file.exists()) && others.iter().all(|file| file.exists()));
    }
}
