//! Values as Python's ConfigParser takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

/// A value of the file, or why there is none: an interpolation that cannot be done.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Error { error: String },
}

/// The file: values by section and key.
pub(super) type File = BTreeMap<String, BTreeMap<String, Value>>;

/// What has been read.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Read {
    Found(Found),
    /// Why the file cannot be read.
    Problem {
        problem: String,
    },
}

/// The file, and where its values come from.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) sections: File,
    /// The keys of its `[DEFAULT]`, which all sections have.
    pub(super) defaults: BTreeSet<String>,
    /// Sections and keys that come out of the environment.
    pub(super) inherited: BTreeSet<(String, String)>,
}

/// Whether there is something in a value that was a comment in Python 2, or looks like one.
pub(super) fn comment_in(text: &str) -> bool {
    let marks = [" ;", "\t;", " #", "\t#"];
    text.lines().any(|line| line.starts_with([';', '#']) || marks.iter().any(|mark| line.contains(mark)))
}

/// What is to be said of a value that is none, where it has a comment behind it.
fn of_comments(text: &str) -> &'static str {
    if comment_in(text) { "; a comment has to have a line of its own" } else { "" }
}

/// A key whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[{section}] {key}: {reason}")]
pub struct KeyError {
    /// The section.
    pub section: String,
    /// The key.
    pub key: String,
    /// What is wrong, and what is wanted.
    pub reason: String,
}

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    file: &'a File,
    name: &'a str,
}

impl<'a> Section<'a> {
    pub(super) fn new(file: &'a File, name: &'a str) -> Section<'a> {
        Section { file, name }
    }

    fn error(&self, key: &str, reason: impl Into<String>) -> KeyError {
        KeyError { section: self.name.to_owned(), key: key.to_owned(), reason: reason.into() }
    }

    /// The value, without white space around it. None where the key is not there or empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, KeyError> {
        let value = self.file.get(self.name).and_then(|section| section.get(&key.to_ascii_lowercase()));
        match value {
            Some(Value::Text(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(Value::Error { error }) => Err(self.error(key, error.clone())),
            None => Ok(None),
        }
    }

    pub(super) fn required(&self, key: &str) -> Result<String, KeyError> {
        self.text(key)?.ok_or_else(|| self.error(key, "it is not set, and has to be"))
    }

    /// A list with commas in between.
    pub(super) fn list(&self, key: &str) -> Result<Vec<String>, KeyError> {
        let text = self.text(key)?.unwrap_or_default();
        Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
    }

    /// As Python's `int`.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, KeyError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let digits = text.replace('_', "");
        let reason = || format!("'{text}' is no integer{}", of_comments(&text));
        let number = digits.parse().map_err(|_| self.error(key, reason()))?;
        Ok(Some(number))
    }

    pub(super) fn at_least(&self, key: &str, least: i64, default: i64) -> Result<i64, KeyError> {
        match self.integer(key)? {
            Some(number) if number < least => {
                Err(self.error(key, format!("it is {number} and has to be at least {least}")))
            }
            found => Ok(found.unwrap_or(default)),
        }
    }

    /// Seconds, with a fraction, or with a unit: `90`, `0.5`, `10m`, `2h`. None for `none` and `off`.
    pub(super) fn time(&self, key: &str, default: Option<Duration>) -> Result<Option<Duration>, KeyError> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        if matches!(text.to_ascii_lowercase().as_str(), "none" | "off" | "no" | "never") {
            return Ok(None);
        }
        let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
            Some(number) => (number, text.chars().next_back().unwrap_or('s')),
            None => (text.as_str(), 's'),
        };
        let factor = match unit {
            'm' => 60.0,
            'h' => 3600.0,
            'd' => 86_400.0,
            _ => 1.0,
        };
        let time =
            number.trim().parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n * factor).ok());
        time.map(Some).ok_or_else(|| {
            let words = "seconds, or a number with s, m, h or d, or none";
            self.error(key, format!("'{text}' is no time: {words}{}", of_comments(&text)))
        })
    }

    /// As ConfigParser's `getboolean`.
    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool, KeyError> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        match text.to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "on" => Ok(true),
            "0" | "no" | "false" | "off" => Ok(false),
            _ => Err(self.error(key, format!("'{text}' is neither yes nor no{}", of_comments(&text)))),
        }
    }

    pub(super) fn one_of<T: Copy>(&self, key: &str, values: &[(&str, T)], default: T) -> Result<T, KeyError> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        let found = values.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
            self.error(key, format!("'{text}' is none of {}{}", names.join(", "), of_comments(&text)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(values: &[(&str, &str)]) -> File {
        let section = values.iter().map(|(key, text)| ((*key).to_owned(), Value::Text((*text).to_owned())));
        File::from([("a".to_owned(), section.collect())])
    }

    #[test]
    fn times_have_units() {
        let file =
            file(&[("a", "90"), ("b", "0.5"), ("c", "10m"), ("d", "none"), ("e", "soon"), ("f", "-1")]);
        let section = Section::new(&file, "a");
        let millis = |key| section.time(key, None).unwrap().map(|time| time.as_millis());
        assert_eq!([millis("a"), millis("b"), millis("c")], [Some(90_000), Some(500), Some(600_000)]);
        assert_eq!(section.time("d", Some(Duration::ZERO)).unwrap(), None);
        assert_eq!(section.time("x", Some(Duration::ZERO)).unwrap(), Some(Duration::ZERO));
        assert!(section.time("e", None).is_err() && section.time("f", None).is_err());
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named_with_its_section() {
        let file = file(&[("n", "many")]);
        let error = Section::new(&file, "a").integer("n").unwrap_err();
        assert_eq!(error.to_string(), "[a] n: 'many' is no integer");
    }
}
