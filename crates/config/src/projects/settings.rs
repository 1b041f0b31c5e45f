//! What a configuration says of itself, in `config/core/pipeline_configuration.yml`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::disk::presence::{self, Contents};

/// Below a configuration's folder.
pub(super) const FILE: &str = "config/core/pipeline_configuration.yml";

/// The largest file that is read, in bytes. Real ones have a few hundred.
const LIMIT: u64 = 256 * 1024;

/// The site's own configuration, which is for no project, has these as well, without values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) project_id: Option<u32>,
    pub(super) tank_name: Option<String>,
    pub(super) configuration_id: Option<u32>,
    pub(super) configuration_name: Option<String>,
    /// The whole file.
    pub(super) text: String,
}

impl Settings {
    /// Why this may be a file in the middle of being written, where `before` is what it said before.
    pub(super) fn cut_short(&self, before: &Self) -> Option<&'static str> {
        if before.project_id.is_some() && self.project_id.is_none() {
            return Some("it names no project, as it did before");
        }
        let same = Self { text: before.text.clone(), ..self.clone() } == *before;
        if same {
            return None;
        }
        let is_part = self.text.len() < before.text.len() && before.text.starts_with(&self.text);
        is_part.then_some("it is cut short")
    }
}

/// A pipeline configuration below the base folder, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectConfiguration {
    pub(super) folder: String,
    pub(super) path: PathBuf,
    pub(super) settings: Settings,
}

impl ProjectConfiguration {
    /// The name of its folder: what [`Configs::locate`](crate::Configs::locate) takes.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The project's number on the site. Nothing for the site's own configuration, or where the configuration
    /// does not say.
    #[must_use]
    pub fn project_id(&self) -> Option<u32> {
        self.settings.project_id
    }

    /// The project's name on disk, which may have slashes.
    #[must_use]
    pub fn tank_name(&self) -> Option<&str> {
        self.settings.tank_name.as_deref()
    }

    /// The configuration's number on the site.
    #[must_use]
    pub fn configuration_id(&self) -> Option<u32> {
        self.settings.configuration_id
    }

    /// The configuration's name on the site: `Primary`, `Dev`.
    #[must_use]
    pub fn configuration_name(&self) -> Option<&str> {
        self.settings.configuration_name.as_deref()
    }
}

/// Reads a configuration's settings; `None` where it has no such file.
pub(super) fn read(configuration: &Path) -> Result<Option<Settings>, String> {
    match presence::read(&configuration.join(FILE), configuration, LIMIT)
        .map_err(|error| error.to_string())?
    {
        Contents::Missing => Ok(None),
        Contents::NotAFile(found) => Err(format!("expected a file, found {found}")),
        Contents::TooLarge(size) => Err(format!("{size} bytes, more than {LIMIT}")),
        Contents::Bytes(bytes) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| "expected UTF-8 text".to_owned())?;
            parse(text).map(Some)
        }
    }
}

fn parse(text: &str) -> Result<Settings, String> {
    let mut values = top_level(text)?;
    let mut take = |key: &str| values.remove(key).flatten();
    Ok(Settings {
        project_id: number("project_id", take("project_id"))?,
        tank_name: take("project_name"),
        configuration_id: number("pc_id", take("pc_id"))?,
        configuration_name: take("pc_name"),
        text: text.to_owned(),
    })
}

fn number(key: &str, value: Option<String>) -> Result<Option<u32>, String> {
    let Some(text) = value else { return Ok(None) };
    // With a zero before it, it is of base 8 for Toolkit's reader, or a text.
    let number = text.parse().ok().filter(|_| text == "0" || !text.starts_with(['0', '+']));
    number.map(Some).ok_or_else(|| format!("{key} should be a number of the site and is {text:?}"))
}

/// The keys of the top-level mapping whose values are scalars, as text; `None` for no value. Of two with one
/// name the last counts, as for Toolkit's reader. What is nested is passed over.
fn top_level(text: &str) -> Result<HashMap<String, Option<String>>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = HashMap::new();
    let (mut depth, mut documents) = (0_usize, 0);
    let mut key: Option<String> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err("expected one YAML document, found several".to_owned());
                }
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && matches!(event, Event::SequenceStart(..)) {
                    return Err("expected a YAML mapping, found a sequence".to_owned());
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                // The nested value of a key, or a nested key, has ended.
                if depth == 1 {
                    key = if key.is_some() { None } else { Some(String::new()) };
                }
            }
            Event::Scalar(..) | Event::Alias(_) if depth == 0 => {
                return Err("expected a YAML mapping, found a single value".to_owned());
            }
            Event::Scalar(text, style, ..) if depth == 1 => match key.take() {
                None => key = Some(text.into_owned()),
                Some(key) => {
                    let plain = style == ScalarStyle::Plain;
                    let none = text.is_empty() || plain && ["~", "null", "Null", "NULL"].contains(&&*text);
                    values.insert(key, (!none).then(|| text.into_owned()));
                }
            },
            Event::Alias(_) if depth == 1 => {
                if let Some(key) = key.take() {
                    let line = span.start.line();
                    return Err(format!(
                        "the value of {key:?} in line {line} is an alias, which is not supported"
                    ));
                }
                key = Some(String::new());
            }
            _ => {}
        }
    }
    if documents == 0 {
        return Err("it is empty".to_owned());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(id: u32, name: &str) -> Settings {
        Settings { project_id: Some(id), tank_name: Some(name.to_owned()), ..Settings::default() }
    }

    fn parsed(text: &str) -> Result<Settings, String> {
        parse(text).map(|settings| Settings { text: String::new(), ..settings })
    }

    #[test]
    fn settings_are_read_however_they_are_written() {
        for text in [
            "project_id: 87\nproject_name: client/show\n",
            "project_name: 'client/show'\r\nproject_id: '87'\r\n",
            "{project_name: client/show, project_id: 87}",
            "\u{feff}---\n# made by Toolkit\nproject_name: \"client/show\" # on disk\nproject_id: 87\n...\n",
            "project_name: >-\n  client/show\nproject_id: 87\npublished_file_entity_type: PublishedFile\n",
            "nested:\n  project_id: 1\n? [a, b]\n: {project_id: 2}\nproject_id: 87\nproject_name: \
             client/show\n",
            "project_id: 1\nproject_id: 87\nproject_name: client/show\n",
            "a: &x 1\n*x : 2\nproject_id: 87\nproject_name: client/show\n",
        ] {
            assert_eq!(parsed(text), Ok(settings(87, "client/show")), "{text}");
        }
        let full = parsed("pc_id: 33\npc_name: Primary\nproject_id: 4\nproject_name: 007\n").unwrap();
        let expected = Settings {
            configuration_id: Some(33),
            configuration_name: Some("Primary".to_owned()),
            ..settings(4, "007")
        };
        assert_eq!(full, expected);
    }

    #[test]
    fn a_configuration_of_no_project_has_none() {
        for text in ["project_id:\npc_id:", "project_id: ''", "project_id: null\nproject_name: ~", "pc_name:"]
        {
            assert_eq!(parsed(text), Ok(Settings::default()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (text, why) in [
            ("", "it is empty"),
            ("# a comment\n", "it is empty"),
            ("- project_id: 1", "a sequence"),
            ("project_id", "a single value"),
            ("project_id: [1", "at"),
            ("project_id: \"1", "at"),
            ("project_id: 1\nproject_id: -1", "project_id should be a number of the site and is \"-1\""),
            ("project_id: eighty", "is \"eighty\""),
            ("pc_id: 1.5", "pc_id should be"),
            ("project_id: 0127", "is \"0127\""),
            ("project_id: 0x57", "is \"0x57\""),
            ("a: &x 1\nproject_id: *x", "an alias"),
            ("project_id: 1\n---\nproject_id: 2", "several"),
            ("a: b\n\t- c", "at"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(project_id|pc_name|[\"': #~|>{}&*?!\\[\\],\\-\t\r\né1]){0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_name_is_read_as_it_was_written(name in "[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{feff}\u{fffe}\u{ffff}]{1,24}") {
            let text = format!("project_id: 1\nproject_name: {}\n", serde_json::to_string(&name).unwrap());
            prop_assert_eq!(parsed(&text), Ok(settings(1, &name)));
        }
    }
}
