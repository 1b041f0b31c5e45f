//! What a core pointer says: one line with the folder whose `install/core` is the core.

use std::path::PathBuf;

use crate::Platform;
use crate::PointerProblem;
use crate::paths::Environment;
use crate::paths::expand;

/// The largest pointer that is read, in bytes: the longest path that Linux takes.
pub(super) const LIMIT: u64 = 4096;

/// A pointer that could be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    /// What the file says.
    pub(super) value: String,
    /// The folder that this means. Whether it exists was not looked at.
    pub(super) folder: PathBuf,
}

/// A pointer that could not be read: what it says, and why that is nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) value: String,
    pub(super) problem: PointerProblem,
}

/// Reads a pointer's bytes by the rules of `platform`.
pub(super) fn parse(bytes: &[u8], platform: Platform, environment: &Environment) -> Result<Pointer, Refused> {
    let value = only_line(bytes)?.to_owned();
    match folder(&value, platform, environment) {
        Ok(folder) => Ok(Pointer { value, folder }),
        Err(problem) => Err(Refused { value, problem }),
    }
}

/// The first line without white space, where no other has text.
///
/// `tk-core` strips the whole file and an API proxy reads its first line; they agree only where this is `Ok`.
pub(super) fn only_line(bytes: &[u8]) -> Result<&str, Refused> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let value = String::from_utf8_lossy(bytes).trim().to_owned();
        return Err(Refused { value, problem: PointerProblem::NotUtf8 });
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A lone carriage return ends a line too, as it does for Python's text files.
    let mut lines = text.split(['\n', '\r']).map(str::trim);
    let first = lines.next().unwrap_or_default();
    let further = lines.filter(|line| !line.is_empty()).count();
    let problem = match (first.is_empty(), further) {
        (true, _) => PointerProblem::Empty,
        (false, 0) => return Ok(first),
        (false, further) => PointerProblem::SeveralLines { lines: further + 1 },
    };
    Err(Refused { value: first.to_owned(), problem })
}

fn folder(value: &str, platform: Platform, environment: &Environment) -> Result<PathBuf, PointerProblem> {
    const QUOTES: [char; 2] = ['"', '\''];
    if value.starts_with(QUOTES) || value.ends_with(QUOTES) {
        return Err(PointerProblem::Quoted);
    }
    if ["None", "undefined", "undefined_location"].iter().any(|word| value.eq_ignore_ascii_case(word)) {
        return Err(PointerProblem::Undefined);
    }
    let expanded = expand::variables(value, platform, environment)?;
    let expanded = expand::home(expanded, platform, environment)?;
    if expanded.is_empty() {
        return Err(PointerProblem::Empty);
    }
    if !platform.is_absolute(&expanded) {
        return Err(PointerProblem::Relative { expanded, platform });
    }
    // Without doubled separators and `.`: the path becomes part of names that are compared. `..` stays, since
    // it means something else behind a link.
    Ok(PathBuf::from(expanded).components().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        Environment::of([
            ("STUDIO", "/mnt/studio"),
            ("EMPTY", ""),
            ("TILDE", "~"),
            ("HOME", "/home/a"),
            ("RELATIVE", "studio"),
        ])
    }

    fn on_linux(text: impl AsRef<[u8]>) -> Result<Pointer, Refused> {
        parse(text.as_ref(), Platform::Linux, &environment())
    }

    fn problem(text: impl AsRef<[u8]>) -> PointerProblem {
        on_linux(text).unwrap_err().problem
    }

    #[test]
    fn what_editors_leave_around_a_path_is_stripped() {
        for text in [
            "/mnt/studio",
            "/mnt/studio\n",
            "/mnt/studio\r\n",
            "/mnt/studio\r",
            "\u{feff}/mnt/studio\r\n",
            "\u{feff}  /mnt/studio\t \r\n\r\n \n",
            "\t/mnt/studio",
            "/mnt//studio/",
            "/mnt/./studio",
        ] {
            assert_eq!(on_linux(text).expect(text).folder, PathBuf::from("/mnt/studio"), "{text:?}");
        }
    }

    #[test]
    fn white_space_inside_a_path_stays() {
        assert_eq!(on_linux(" /mnt/my  studio \n").unwrap().folder, PathBuf::from("/mnt/my  studio"));
    }

    #[test]
    fn variables_are_expanded_before_the_home_folder() {
        assert_eq!(on_linux("$STUDIO/x").unwrap().folder, PathBuf::from("/mnt/studio/x"));
        assert_eq!(on_linux("~/x").unwrap().folder, PathBuf::from("/home/a/x"));
        assert_eq!(on_linux("$TILDE/x").unwrap().folder, PathBuf::from("/home/a/x"));
    }

    #[test]
    fn the_value_is_what_the_file_says_and_not_what_it_means() {
        assert_eq!(on_linux("$STUDIO \n").unwrap().value, "$STUDIO");
        assert_eq!(on_linux(" $NONE \n").unwrap_err().value, "$NONE");
    }

    #[test]
    fn nothing_on_the_first_line_is_empty() {
        for text in ["", "\n", "\r\n", " \t\n", "\u{feff}", "\n/mnt/studio\n", "$EMPTY"] {
            assert_eq!(problem(text), PointerProblem::Empty, "{text:?}");
        }
    }

    #[test]
    fn further_lines_with_text_are_counted() {
        assert_eq!(problem("/a\n/b"), PointerProblem::SeveralLines { lines: 2 });
        assert_eq!(problem("/a\r/b"), PointerProblem::SeveralLines { lines: 2 });
        assert_eq!(problem("/a\r\r\n\n/b\r\n c"), PointerProblem::SeveralLines { lines: 3 });
        assert_eq!(on_linux("/a\n/b").unwrap_err().value, "/a");
    }

    #[test]
    fn quotation_marks_around_a_path_are_refused_and_inside_it_are_not() {
        for text in ["\"/mnt/studio\"", "'/mnt/studio'", "\"/mnt/studio", "/mnt/studio'"] {
            assert_eq!(problem(text), PointerProblem::Quoted, "{text:?}");
        }
        assert_eq!(on_linux("/mnt/o'brien/x").unwrap().folder, PathBuf::from("/mnt/o'brien/x"));
    }

    #[test]
    fn toolkits_words_for_no_path_are_refused() {
        for text in ["None", "undefined\n", "none", "UNDEFINED", "undefined_location"] {
            assert_eq!(problem(text), PointerProblem::Undefined, "{text:?}");
        }
        assert_eq!(on_linux("/None").unwrap().folder, PathBuf::from("/None"));
    }

    #[test]
    fn relative_paths_are_refused_also_where_a_variable_makes_them() {
        for (text, expanded) in
            [("studio", "studio"), ("./studio", "./studio"), ("../x", "../x"), ("$RELATIVE/x", "studio/x")]
        {
            let expected =
                PointerProblem::Relative { expanded: expanded.to_owned(), platform: Platform::Linux };
            assert_eq!(problem(text), expected);
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_and_shown_as_far_as_it_is_text() {
        let utf16: Vec<u8> = "\u{feff}/mnt".encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
        assert_eq!(problem(&utf16), PointerProblem::NotUtf8);
        assert_eq!(on_linux(b"/mnt/\xff\n").unwrap_err().value, "/mnt/\u{fffd}");
    }

    #[test]
    fn windows_paths_are_paths_on_windows_only() {
        let parse = |platform| parse(br"C:\studio", platform, &environment());
        assert_eq!(parse(Platform::Windows).unwrap().folder, PathBuf::from(r"C:\studio"));
        assert!(parse(Platform::Linux).is_err());
        assert!(parse(Platform::Darwin).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for platform in Platform::ALL {
                let _ = parse(&bytes, platform, &environment());
            }
        }

        #[test]
        fn whatever_is_understood_is_absolute_and_one_line(text in "[\u{feff}\r\n $~%'\"{}A-Zaé/\\\\:.-]{0,24}") {
            for platform in Platform::ALL {
                if let Ok(pointer) = parse(text.as_bytes(), platform, &environment()) {
                    // To Unix the two separators that begin a share are one, so only these can be asked
                    // again.
                    if platform != Platform::Windows {
                        prop_assert!(platform.is_absolute(pointer.folder.to_str().unwrap()));
                    }
                    prop_assert!(!pointer.value.contains(['\n', '\r']));
                    prop_assert_eq!(pointer.value.trim(), &pointer.value);
                }
            }
        }

        #[test]
        fn a_plain_path_survives_every_dressing(
            path in "(/[a-zA-Z0-9_é.][a-zA-Z0-9_é -]{0,8}[a-z]){1,4}",
            before in "\u{feff}?[ \t]{0,3}",
            after in "[ \t]{0,3}(\r\n|\n|\r)?[ \t\r\n]{0,3}",
        ) {
            let pointer = on_linux(format!("{before}{path}{after}")).unwrap();
            prop_assert_eq!(&pointer.value, &path);
            prop_assert_eq!(pointer.folder, PathBuf::from(path));
        }
    }
}
