//! Variables and `~` in a path, as Python's `os.path.expandvars` and `os.path.expanduser` read them on each
//! platform, except that what those would leave standing because it is not set is an error here.

use super::Environment;
use crate::Platform;
use crate::PointerProblem;

/// Expands `$NAME` and `${NAME}`, on Windows also `%NAME%`.
///
/// A `$` before anything else stands for itself, as does a brace or `%` that is not closed. On Windows `$$`
/// and `%%` are one sign each, and nothing is expanded between single quotes. Values are not expanded again.
pub(crate) fn variables(
    text: &str,
    platform: Platform,
    environment: &Environment,
) -> Result<String, PointerProblem> {
    let signs: &[char] = if platform == Platform::Windows { &['$', '%', '\''] } else { &['$'] };
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sign, after)) = split_at_sign(rest, signs) {
        expanded.push_str(before);
        rest = match reference(sign, after, platform) {
            Reference::Variable { name, after } => {
                expanded.push_str(value_of(name, platform, environment)?);
                after
            }
            Reference::Doubled { after } => {
                expanded.push(sign);
                after
            }
            Reference::Quoted { text, after } => {
                expanded.push(sign);
                expanded.push_str(text);
                after
            }
            Reference::None => {
                expanded.push(sign);
                after
            }
        };
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Expands a `~` that is the first component. Expects variables to be expanded already, as Toolkit does it.
pub(crate) fn home(
    text: String,
    platform: Platform,
    environment: &Environment,
) -> Result<String, PointerProblem> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text) };
    let is_separator =
        |character: char| u8::try_from(character).is_ok_and(|byte| platform.is_separator(byte));
    let user = rest.split(is_separator).next().unwrap_or_default();
    if !user.is_empty() {
        return Err(PointerProblem::OtherHome { user: user.to_owned() });
    }
    let home = environment.home(platform).ok_or(PointerProblem::NoHome)?;
    let home =
        home.to_str().ok_or_else(|| PointerProblem::VariableNotUnicode { variable: "~".to_owned() })?;
    if rest.is_empty() {
        return Ok(home.to_owned());
    }
    // The home folder may be the root itself, which ends in a separator.
    Ok(format!("{}{rest}", home.trim_end_matches(is_separator)))
}

/// What a sign begins.
enum Reference<'a> {
    Variable { name: &'a str, after: &'a str },
    Doubled { after: &'a str },
    Quoted { text: &'a str, after: &'a str },
    None,
}

fn split_at_sign<'a>(text: &'a str, signs: &[char]) -> Option<(&'a str, char, &'a str)> {
    let (before, from) = text.split_at(text.find(signs)?);
    let mut characters = from.chars();
    let sign = characters.next()?;
    Some((before, sign, characters.as_str()))
}

fn reference(sign: char, after: &str, platform: Platform) -> Reference<'_> {
    if sign == '\'' {
        // Up to and with the closing quote, or all there is.
        let end = after.find(sign).map_or(after.len(), |at| at + 1);
        let (text, after) = after.split_at(end);
        return Reference::Quoted { text, after };
    }
    if platform == Platform::Windows
        && let Some(after) = after.strip_prefix(sign)
    {
        return Reference::Doubled { after };
    }
    let named = match sign {
        '%' => after.split_once('%'),
        _ => match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}'),
            None => {
                let end =
                    after.bytes().position(|byte| !platform.in_variable_name(byte)).unwrap_or(after.len());
                (end > 0).then(|| after.split_at(end))
            }
        },
    };
    match named {
        Some((name, after)) => Reference::Variable { name, after },
        None => Reference::None,
    }
}

fn value_of<'a>(
    name: &str,
    platform: Platform,
    environment: &'a Environment,
) -> Result<&'a str, PointerProblem> {
    match environment.get(name, platform) {
        None => Err(PointerProblem::UnsetVariable { variable: name.to_owned() }),
        Some(value) => {
            value.to_str().ok_or_else(|| PointerProblem::VariableNotUnicode { variable: name.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Platform::{Darwin, Linux, Windows};

    fn environment() -> Environment {
        Environment::of([
            ("STUDIO", "/mnt/studio"),
            ("EMPTY", ""),
            ("NESTED", "$STUDIO"),
            ("HOME", "/home/a"),
            ("USERPROFILE", r"C:\Users\a"),
            ("A-B", "dash"),
            ("A", "a"),
        ])
    }

    fn expanded(text: &str, platform: Platform) -> Result<String, PointerProblem> {
        variables(text, platform, &environment())
    }

    fn with_home(text: &str, platform: Platform) -> Result<String, PointerProblem> {
        home(text.to_owned(), platform, &environment())
    }

    fn unset(variable: &str) -> Result<String, PointerProblem> {
        Err(PointerProblem::UnsetVariable { variable: variable.to_owned() })
    }

    #[test]
    fn both_spellings_of_a_variable_are_expanded_on_every_platform() {
        for platform in Platform::ALL {
            assert_eq!(expanded("$STUDIO", platform).unwrap(), "/mnt/studio");
            assert_eq!(expanded("${STUDIO}/x", platform).unwrap(), "/mnt/studio/x");
            assert_eq!(expanded("/a/$STUDIO/${A}b$A", platform).unwrap(), "/a//mnt/studio/aba");
            assert_eq!(expanded("é$STUDIO é", platform).unwrap(), "é/mnt/studio é");
            assert_eq!(expanded("$EMPTY", platform).unwrap(), "");
        }
    }

    #[test]
    fn percent_signs_mean_something_on_windows_only() {
        assert_eq!(expanded("%STUDIO%/x", Windows).unwrap(), "/mnt/studio/x");
        assert_eq!(expanded("%studio%", Windows).unwrap(), "/mnt/studio");
        assert_eq!(expanded("100%% %A%", Windows).unwrap(), "100% a");
        assert_eq!(expanded("100%", Windows).unwrap(), "100%");
        assert_eq!(expanded("%NONE%", Windows), unset("NONE"));
        assert_eq!(expanded("%STUDIO%", Linux).unwrap(), "%STUDIO%");
        assert_eq!(expanded("%NONE%", Darwin).unwrap(), "%NONE%");
    }

    #[test]
    fn doubled_dollars_dashes_and_single_quotes_are_windows_ways() {
        assert_eq!(expanded("$$STUDIO", Windows).unwrap(), "$STUDIO");
        assert_eq!(expanded("$A-B", Windows).unwrap(), "dash");
        assert_eq!(expanded("x'$NONE'$A", Windows).unwrap(), "x'$NONE'a");
        assert_eq!(expanded("x'$NONE", Windows).unwrap(), "x'$NONE");
        assert_eq!(expanded("$$STUDIO", Linux).unwrap(), "$/mnt/studio");
        assert_eq!(expanded("$A-B", Linux).unwrap(), "a-B");
        assert_eq!(expanded("x'$A'", Linux).unwrap(), "x'a'");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        for platform in Platform::ALL {
            assert_eq!(expanded("/a/$NONE/b", platform), unset("NONE"));
            assert_eq!(expanded("${NO NE}", platform), unset("NO NE"));
            assert_eq!(expanded("${}", platform), unset(""));
            assert_eq!(expanded("$STUDIOS", platform), unset("STUDIOS"));
        }
    }

    #[test]
    fn signs_that_name_nothing_stay() {
        for text in ["$", "a$", "$/a", "$ STUDIO", "${STUDIO", "$é", ""] {
            for platform in Platform::ALL {
                assert_eq!(expanded(text, platform).unwrap(), text);
            }
        }
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(expanded("$NESTED", Linux).unwrap(), "$STUDIO");
    }

    #[test]
    fn a_tilde_is_the_home_folder_only_at_the_beginning() {
        assert_eq!(with_home("~", Linux).unwrap(), "/home/a");
        assert_eq!(with_home("~/x", Darwin).unwrap(), "/home/a/x");
        assert_eq!(with_home(r"~\x", Windows).unwrap(), r"C:\Users\a\x");
        assert_eq!(with_home("/a/~", Linux).unwrap(), "/a/~");
    }

    #[test]
    fn a_home_folder_that_is_the_root_does_not_double_its_separator() {
        let root = Environment::of([("HOME", "/")]);
        assert_eq!(home("~/x".to_owned(), Linux, &root).unwrap(), "/x");
        assert_eq!(home("~".to_owned(), Linux, &root).unwrap(), "/");
    }

    #[test]
    fn another_users_home_is_refused_by_name() {
        assert_eq!(with_home("~bob/x", Linux), Err(PointerProblem::OtherHome { user: "bob".to_owned() }));
        // A backslash is part of a name here.
        assert_eq!(with_home(r"~\x", Linux), Err(PointerProblem::OtherHome { user: r"\x".to_owned() }));
    }

    #[test]
    fn a_tilde_without_a_home_folder_is_an_error() {
        let none = Environment::of([("", ""); 0]);
        assert_eq!(home("~/x".to_owned(), Linux, &none), Err(PointerProblem::NoHome));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_unicode_is_an_error() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        let environment = Environment::of([("BYTES", OsString::from_vec(vec![b'/', 0xff]))]);
        assert_eq!(
            variables("$BYTES", Linux, &environment),
            Err(PointerProblem::VariableNotUnicode { variable: "BYTES".to_owned() })
        );
    }

    proptest! {
        #[test]
        fn text_without_signs_is_left_alone(text in "[^$%'~]*") {
            for platform in Platform::ALL {
                prop_assert_eq!(&expanded(&text, platform).unwrap(), &text);
                prop_assert_eq!(&with_home(&text, platform).unwrap(), &text);
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "[$%'~{}A/é\\\\ -]{0,12}") {
            for platform in Platform::ALL {
                let _ = expanded(&text, platform).and_then(|text| with_home(&text, platform));
            }
        }
    }
}
