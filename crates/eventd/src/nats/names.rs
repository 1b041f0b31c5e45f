//! Names on the server, and which host comes first for what.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

/// The stream of events.
pub(super) const EVENTS: &str = "SGTK_EV";
/// Its subjects: `sgtk.ev.SITE.PROJECT`, with 0 for events without a project.
pub(super) const EVENT_SUBJECTS: &str = "sgtk.ev.>";
/// The stream of events that failed for good.
pub(super) const FAILED: &str = "SGTK_FAILED";
/// Its subjects: `sgtk.failed.SITE.PROJECT`.
pub(super) const FAILED_SUBJECTS: &str = "sgtk.failed.>";
/// The bucket of what is known of consumers beyond what the server knows itself.
pub(super) const RECORDS: &str = "SGTK_STATE";
/// Says that there is a new consumer: its name.
pub(super) const NEW: &str = "sgtk.new";
/// What each host says of itself: `sgtk.host.NAME`.
pub(super) const HOSTS: &str = "sgtk.host";
/// The only priority group of a consumer.
pub(super) const GROUP: &str = "g";

/// The lowest priority that a pull can have.
const LAST: usize = 9;

/// A text as a part of a subject or of a consumer's name: what is not allowed there is written as `=2E`.
pub(super) fn token(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            token.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

pub(super) fn event_subject(site: &str, project: Option<i64>) -> String {
    format!("sgtk.ev.{}.{}", token(site), project.unwrap_or(0))
}

pub(super) fn site_subjects(site: &str) -> String {
    format!("sgtk.ev.{}.*", token(site))
}

pub(super) fn failed_subject(site: &str, project: Option<i64>) -> String {
    format!("sgtk.failed.{}.{}", token(site), project.unwrap_or(0))
}

/// The consumer of a project: `p-shotgun-176`.
pub(super) fn project_consumer(site: &str, project: i64) -> String {
    format!("p-{}-{project}", token(site))
}

/// The site's token and the project of such a name.
pub(super) fn parse_project_consumer(name: &str) -> Option<(&str, i64)> {
    let (site, project) = name.strip_prefix("p-")?.split_once('-')?;
    Some((site, project.parse().ok()?))
}

/// The consumer of a plugin that has all events of a site: `all-shotgun-note-1a2b3c4d`.
pub(super) fn plugin_consumer(site: &str, key: &str) -> String {
    let stem = key.rsplit('/').next().unwrap_or(key).trim_end_matches(".py");
    format!("all-{}-{}-{:08x}", token(site), token(stem), hash(&[key]) >> 32)
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// The place of a host for a key among all hosts, by rendezvous hashing, as a priority: 0 comes first. The
/// hash is the same in all versions, so that hosts of two of them agree.
pub(super) fn rank<'a>(host: &str, hosts: impl IntoIterator<Item = &'a str>, key: &str) -> u8 {
    hosts.into_iter().filter(|other| is_before(other, host, key)).count().min(LAST) as u8
}

/// Whether another host comes before this one for a key.
pub(super) fn is_before(other: &str, host: &str, key: &str) -> bool {
    other != host && (hash(&[other, key]), other) > (hash(&[host, key]), host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_sites_of_any_name() {
        assert_eq!(event_subject("london", Some(176)), "sgtk.ev.london.176");
        assert_eq!(event_subject("a.b *", None), "sgtk.ev.a=2Eb=20=2A.0");
        let name = project_consumer("my-site", 176);
        assert_eq!(parse_project_consumer(&name), Some(("my=2Dsite", 176)));
        assert_eq!(parse_project_consumer(&plugin_consumer("shotgun", "/a/note.py")), None);
    }

    /// Hosts of two versions run beside each other in an upgrade: these values are never to change.
    #[test]
    fn the_ranks_of_hosts_are_those_of_all_versions() {
        // The first eight bytes of SHA-1 of both texts, each followed by a zero byte.
        assert_eq!(hash(&["a", "p-shotgun-176"]), 0x38f2_efc3_7acd_c13d);
        assert_eq!(hash(&["render-01.studio", "all-shotgun-note-1a2b3c4d"]), 0x6a57_0b6d_99be_dbb0);
        let ranks = |key: &str| ["a", "b", "c"].map(|host| rank(host, ["a", "b", "c"], key));
        assert_eq!(ranks("p-shotgun-1"), [1, 0, 2]);
        assert_eq!(ranks("p-shotgun-176"), [2, 1, 0]);
        assert_eq!(plugin_consumer("shotgun", "/plugins/note.py"), "all-shotgun-note-774864e5");
    }

    #[test]
    fn hosts_agree_who_comes_first_and_one_that_goes_moves_only_its_own() {
        let all = ["a", "b", "c"];
        let first = |hosts: &[&str], key: &str| {
            let firsts: Vec<_> =
                hosts.iter().filter(|host| rank(host, hosts.iter().copied(), key) == 0).copied().collect();
            assert_eq!(firsts.len(), 1, "{key}");
            firsts[0].to_owned()
        };
        let mut counts = std::collections::BTreeMap::new();
        for project in 0..600 {
            let key = format!("shotgun/{project}");
            let with = first(&all, &key);
            let without = first(&["a", "b"], &key);
            assert!(with == "c" || with == without, "{key} moves from {with} to {without}");
            *counts.entry(with).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| *count > 150), "{counts:?}");
    }
}
