//! A core's version, from its `info.yml`.

use std::path::Path;

use super::{Rule, Trail};
use crate::disk::presence::{self, Contents};

/// The largest `info.yml` that is read, in bytes. Real ones have a few thousand.
const LIMIT: u64 = 256 * 1024;

/// The version of the core in `install_core`, where its `info.yml` gives one. Whatever is wrong with that
/// file only goes into the trail: a core without a version can be used all the same.
pub(super) fn read(install_core: &Path, trail: &mut Trail) -> Option<String> {
    let file = install_core.join("info.yml");
    let (version, found) = match presence::read(&file, install_core, LIMIT) {
        Ok(Contents::Bytes(bytes)) => match parse(&String::from_utf8_lossy(&bytes)) {
            Some(version) => (Some(version.to_owned()), version.to_owned()),
            None => (None, "no version in it".to_owned()),
        },
        Ok(Contents::Missing) => (None, "nothing".to_owned()),
        Ok(Contents::NotAFile(kind)) => (None, kind.to_owned()),
        Ok(Contents::TooLarge(size)) => (None, format!("{size} bytes, more than {LIMIT}")),
        Err(error) => (None, error.to_string()),
    };
    trail.add(Rule::Version, &file, found);
    version
}

/// The value of the top-level key `version`, where it stands on the key's own line. That is how every release
/// writes it; for the rest of YAML this is no reader.
fn parse(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split(['\n', '\r']).find_map(value_of_version).and_then(scalar)
}

fn value_of_version(line: &str) -> Option<&str> {
    let after_key = ["version", "\"version\"", "'version'"].iter().find_map(|key| line.strip_prefix(key))?;
    let value = after_key.trim_start().strip_prefix(':')?;
    // `version:x` is a plain scalar in YAML and no key.
    (value.is_empty() || value.starts_with([' ', '\t'])).then(|| value.trim())
}

fn scalar(value: &str) -> Option<&str> {
    let mut characters = value.chars();
    let text = match characters.next()? {
        quote @ ('"' | '\'') => characters.as_str().split_once(quote)?.0,
        // A block, a flow collection, an anchor, a tag: nothing that a version is written as.
        '|' | '>' | '{' | '[' | '&' | '*' | '!' | '#' => return None,
        _ => {
            let comment = [" #", "\t#"].iter().filter_map(|mark| value.find(mark)).min();
            value.split_at(comment.unwrap_or(value.len())).0.trim_end()
        }
    };
    (!text.is_empty() && !["~", "null"].contains(&text)).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_version_is_found_however_it_is_written() {
        for text in [
            "version: \"v0.24.0\"",
            "version: 'v0.24.0'\r\nother: 1\r\n",
            "version: v0.24.0",
            "version:\tv0.24.0   # a comment",
            "\"version\": \"v0.24.0\" # a comment",
            "version : v0.24.0",
            "\u{feff}version: v0.24.0\n",
            "# version: v1\n---\nrequires_shotgun_version: v5\nversion: v0.24.0\n",
            "features:\n  version: v1\nversion: v0.24.0\n",
        ] {
            assert_eq!(parse(text), Some("v0.24.0"), "{text:?}");
        }
        assert_eq!(parse("version: \"HEAD\""), Some("HEAD"));
        assert_eq!(parse("version: v1#2"), Some("v1#2"));
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in [
            "",
            "version",
            "version:",
            "version: ",
            "version: \"\"",
            "version: \"v0",
            "version: ~",
            "version: null",
            "version: |\n  v1",
            "version: # v1",
            "versions: v1",
            "version:v1",
            " version: v1",
            "{version: v1}",
            "minimum_python_version: \"3.9\"",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_leaves_a_line_in_the_trail() {
        let folder = tempfile::tempdir().unwrap();
        let found = |trail: Trail| trail.steps().first().unwrap().found.clone();

        let mut trail = Trail::default();
        assert_eq!(read(folder.path(), &mut trail), None);
        assert_eq!(found(trail), "nothing");

        let file = folder.path().join("info.yml");
        std::fs::write(&file, vec![b'a'; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
        let mut trail = Trail::default();
        assert_eq!(read(folder.path(), &mut trail), None);
        assert_eq!(found(trail), "262145 bytes, more than 262144");

        std::fs::write(&file, b"# caf\xe9\nversion: \"v1\"\n").unwrap();
        let mut trail = Trail::default();
        assert_eq!(read(folder.path(), &mut trail).as_deref(), Some("v1"));
        assert_eq!(found(trail), "v1");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(version|[\"': #~|\t\r\né]){0,12}") {
            if let Some(version) = parse(&text) {
                prop_assert!(!version.is_empty() && !version.contains(['\n', '\r']));
            }
        }
    }
}
