//! Which events a callback wants: `matchEvents`, as shotgunEvents means it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::event::Subject;

/// `matchEvents`: none for all events.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Filter(Option<BTreeMap<String, Option<Names>>>);

/// The attributes of an event type.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Names {
    /// Python's `in` finds the name anywhere in the text: studios write `"sg_status_list"` without brackets.
    Text(String),
    List(Vec<String>),
}

impl Names {
    fn has(&self, name: &str) -> bool {
        match self {
            Names::Text(text) => text.contains(name),
            Names::List(names) => names.iter().any(|one| one == name),
        }
    }
}

impl Filter {
    /// Whether an event passes.
    #[must_use]
    pub fn wants(&self, event: &Subject) -> bool {
        let Some(kinds) = self.0.as_ref().filter(|kinds| !kinds.is_empty()) else { return true };
        // A star stands for all types, whatever else there is.
        let Some(names) = kinds.get("*").or_else(|| kinds.get(&event.event_type)) else { return false };
        let Some(names) = names else { return true };
        let attribute = event.attribute_name.as_deref().filter(|name| !name.is_empty());
        names.has("*") || attribute.is_some_and(|name| names.has(name))
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(kinds) = self.0.as_ref().filter(|kinds| !kinds.is_empty()) else {
            return f.write_str("all events");
        };
        for (index, (kind, names)) in kinds.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match names {
                None => write!(f, "{comma}{kind}")?,
                Some(Names::Text(text)) => write!(f, "{comma}{kind}: part of '{text}'")?,
                Some(Names::List(names)) => write!(f, "{comma}{kind}: {}", names.join("|"))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(filter: &str, event_type: &str, attribute: &str) -> bool {
        let filter: Filter = serde_json::from_str(filter).unwrap();
        let attribute_name = Some(attribute.to_owned()).filter(|name| !name.is_empty());
        filter.wants(&Subject { event_type: event_type.to_owned(), attribute_name })
    }

    #[test]
    fn no_filter_and_an_empty_one_let_all_through() {
        assert!(wants("null", "Shotgun_Shot_New", "") && wants("{}", "Shotgun_Shot_New", ""));
    }

    #[test]
    fn attributes_are_a_list_or_nothing_or_a_star() {
        let filter = r#"{"A": ["x", "y"], "B": null, "C": ["*"], "D": []}"#;
        assert!(wants(filter, "A", "x") && !wants(filter, "A", "xx") && !wants(filter, "A", ""));
        assert!(wants(filter, "B", "") && wants(filter, "C", "") && !wants(filter, "D", "x"));
        assert!(!wants(filter, "E", "x"));
    }

    #[test]
    fn a_text_lets_every_part_of_it_through() {
        let filter = r#"{"A": "sg_status_list"}"#;
        assert!(wants(filter, "A", "sg_status_list") && wants(filter, "A", "status"));
        assert!(!wants(filter, "A", "sg_status_list_2") && !wants(filter, "A", ""));
    }

    #[test]
    fn a_star_for_the_type_hides_what_else_is_there() {
        let filter = r#"{"*": ["x"], "A": null}"#;
        assert!(wants(filter, "A", "x") && wants(filter, "B", "x") && !wants(filter, "A", "y"));
    }
}
