//! Which names can be a project's folder.

use crate::ConfigError;

/// As long as a file name can be on any platform's common file systems, in bytes.
const LONGEST: usize = 255;

/// Refuses every name that is not one plain folder name on each platform.
///
/// Names come from outside (an event, a path template). They are judged alike everywhere, so that a name
/// which is harmless on the machine that checks it is harmless on the one that uses it.
pub(crate) fn check(project: &str) -> Result<(), ConfigError> {
    match objection(project) {
        None => Ok(()),
        Some(reason) => Err(ConfigError::ProjectName { project: project.to_owned(), reason }),
    }
}

fn objection(project: &str) -> Option<&'static str> {
    if project.is_empty() {
        return Some("it is empty");
    }
    if project.len() > LONGEST {
        return Some("it is longer than 255 bytes");
    }
    // Windows drops dots and spaces at the end of a name: `.. ` is `..` there.
    if project.trim_end_matches(['.', ' ']).is_empty() {
        return Some("it is made of dots and spaces");
    }
    project.chars().find_map(|character| match character {
        '/' | '\\' => Some("it has a path separator"),
        ':' => Some("it has a colon, which on Windows names a drive or a stream"),
        '\0' => Some("it has a NUL character"),
        _ if character.is_control() => Some("it has a control character"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_no_plain_folder_name_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "...",
            ".. ",
            " ",
            ". .",
            "/",
            "/etc",
            "a/b",
            "a/",
            "../a",
            r"a\b",
            r"..\a",
            r"\\server\share",
            "C:",
            "c:a",
            "a:stream",
            "a\0",
            "\0",
            "a\nb",
            "a\r",
            "\t",
            "\u{1b}[31m",
            "a\u{7f}",
            "a\u{85}",
        ] {
            let error = check(name).expect_err(name);
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
        assert!(check(&"a".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn ordinary_names_are_taken() {
        for name in [
            "project_a",
            "Projekt Ä",
            "日本",
            "a.b",
            ".hidden",
            "..a",
            "a..",
            "-rf",
            "$HOME",
            "~",
            "%A%",
            "a*b",
        ] {
            check(name).expect(name);
        }
        check(&"a".repeat(LONGEST)).expect("a long name");
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_one_component_of_a_path(name in any::<String>()) {
            if check(&name).is_ok() {
                let components: Vec<_> = Path::new(&name).components().collect();
                prop_assert_eq!(components, [Component::Normal(name.as_ref())]);
            }
        }

        #[test]
        fn names_put_together_from_hazards_never_leave_the_folder(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("."), Just(".."), Just("/"), Just("\\"), Just(":"), Just(" "), Just("\0"), Just("a"), Just("C:"),
                ],
                0..8,
            ),
        ) {
            let name = parts.concat();
            if check(&name).is_ok() {
                prop_assert!(!name.contains(['/', '\\', ':', '\0']), "{:?}", name);
                prop_assert!(!name.trim_end_matches(['.', ' ']).is_empty(), "{:?}", name);
            }
        }
    }
}
