//! Which of several configurations is meant. No file is looked at here.

use super::reference::{Key, ProjectRef};
use super::settings::Settings;

/// The configuration that Toolkit makes first, and takes where none is named.
const PRIMARY: &str = "Primary";

/// A configuration that says of itself whose it is, or said so when it could be read last.
#[derive(Clone, Debug)]
pub(super) struct Claim<'a> {
    pub(super) folder: &'a str,
    pub(super) settings: &'a Settings,
    /// Whether it says so now.
    pub(super) readable: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// This folder. `by_name`: it is the primary one or has the name that was asked for; no other could take
    /// its place.
    One {
        folder: &'a str,
        by_name: bool,
    },
    /// It is this one's turn, and it cannot be read now.
    Unreadable {
        folder: &'a str,
    },
    None,
    /// Each with its name.
    Several(Vec<(&'a str, Option<&'a str>)>),
}

pub(super) fn choose<'a>(project: &ProjectRef, claims: &[Claim<'a>]) -> Choice<'a> {
    let mut meant: Vec<&Claim<'a>> = claims.iter().filter(|claim| is_of(claim, project)).collect();
    // A configuration that cannot be read and is now in another folder was moved.
    let moved = |claim: &Claim<'_>| {
        let id = claim.settings.configuration_id;
        id.is_some() && claims.iter().any(|other| other.readable && other.settings.configuration_id == id)
    };
    meant.retain(|claim| claim.readable || !moved(claim));
    let name = |claim: &Claim<'a>| claim.settings.configuration_name.as_deref();
    let mut by_name = project.configuration.is_some();
    if project.configuration.is_none() {
        let primary: Vec<_> = meant.iter().copied().filter(|claim| name(claim) == Some(PRIMARY)).collect();
        if !primary.is_empty() {
            (meant, by_name) = (primary, true);
        }
    }
    match *meant {
        [] => Choice::None,
        [one] if !one.readable => Choice::Unreadable { folder: one.folder },
        [one] => Choice::One { folder: one.folder, by_name },
        _ => Choice::Several(
            meant.iter().map(|claim| (claim.folder, claim.settings.configuration_name.as_deref())).collect(),
        ),
    }
}

fn is_of(claim: &Claim<'_>, project: &ProjectRef) -> bool {
    let settings = claim.settings;
    let named = match &project.key {
        Key::Id(id) => settings.project_id == Some(*id),
        Key::TankName(name) => settings.tank_name.as_ref() == Some(name),
        Key::Folder(name) => claim.folder == name,
    };
    let configuration = project.configuration.as_ref();
    named && configuration.is_none_or(|name| settings.configuration_name.as_ref() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(project: u32, id: u32, name: &str) -> Settings {
        Settings {
            project_id: Some(project),
            tank_name: Some(format!("show_{project}")),
            configuration_id: Some(id),
            configuration_name: Some(name.to_owned()),
            text: String::new(),
        }
    }

    fn claims<'a>(all: &'a [(&'a str, Settings, bool)]) -> Vec<Claim<'a>> {
        let claims =
            all.iter().map(|(folder, settings, readable)| Claim { folder, settings, readable: *readable });
        claims.collect()
    }

    fn one(folder: &str, by_name: bool) -> Choice<'_> {
        Choice::One { folder, by_name }
    }

    #[test]
    fn the_primary_configuration_is_meant_where_none_is_named() {
        let all = [
            ("a", settings(1, 1, "Primary"), true),
            ("a_dev", settings(1, 2, "Dev"), true),
            ("b_dev", settings(2, 3, "Dev"), true),
        ];
        let claims = claims(&all);
        assert_eq!(choose(&ProjectRef::id(1), &claims), one("a", true));
        assert_eq!(choose(&ProjectRef::id(1).configuration("Dev"), &claims), one("a_dev", true));
        assert_eq!(choose(&ProjectRef::tank_name("show_1"), &claims), one("a", true));
        assert_eq!(choose(&ProjectRef::id(2), &claims), one("b_dev", false));
        assert_eq!(choose(&ProjectRef::id(2).configuration("Primary"), &claims), Choice::None);
        assert_eq!(choose(&ProjectRef::folder("a_dev"), &claims), one("a_dev", false));
        assert_eq!(choose(&ProjectRef::folder("a").configuration("Dev"), &claims), Choice::None);
        assert_eq!(choose(&ProjectRef::id(3), &claims), Choice::None);
    }

    #[test]
    fn several_with_one_claim_are_none_to_choose_from() {
        let all = [
            ("a", settings(1, 1, "Primary"), true),
            ("b", settings(1, 2, "Primary"), true),
            ("c", settings(2, 3, "Dev"), true),
            ("d", settings(2, 4, "Test"), true),
        ];
        let claims = claims(&all);
        let primary = Some("Primary");
        assert_eq!(
            choose(&ProjectRef::id(1), &claims),
            Choice::Several(vec![("a", primary), ("b", primary)])
        );
        let both = vec![("c", Some("Dev")), ("d", Some("Test"))];
        assert_eq!(choose(&ProjectRef::id(2), &claims), Choice::Several(both));
    }

    #[test]
    fn one_that_cannot_be_read_gives_its_turn_to_nobody() {
        let mut all = [("a", settings(1, 1, "Primary"), false), ("a_dev", settings(1, 2, "Dev"), true)];
        assert_eq!(choose(&ProjectRef::id(1), &claims(&all)), Choice::Unreadable { folder: "a" });
        assert_eq!(choose(&ProjectRef::id(1).configuration("Dev"), &claims(&all)), one("a_dev", true));
        // Of two primary ones that were there, the other is not the only one.
        all[1].1 = settings(1, 2, "Primary");
        assert!(matches!(choose(&ProjectRef::id(1), &claims(&all)), Choice::Several(_)));
        // It was moved.
        all[1].1 = settings(1, 1, "Primary");
        assert_eq!(choose(&ProjectRef::id(1), &claims(&all)), one("a_dev", true));
    }
}
