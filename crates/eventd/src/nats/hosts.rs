//! Who is there: each host says so every few seconds, on a subject that nobody keeps.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::queue::HostState;

/// How often a host says that it is there.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// After what silence one that nobody has named beforehand is no longer counted with. What is its own comes
/// back to it if it comes back earlier.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What a host says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Beat {
    /// Tells two that have the same name apart.
    pub(super) instance: String,
    #[serde(flatten)]
    pub(super) state: HostState,
}

/// The hosts that are known.
#[derive(Debug)]
pub(super) struct Hosts {
    own: String,
    named: Vec<String>,
    heard: Mutex<BTreeMap<String, (Beat, Duration)>>,
}

impl Hosts {
    pub(super) fn new(own: &str, named: &[String]) -> Hosts {
        Hosts { own: own.to_owned(), named: named.to_vec(), heard: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Beat, Duration)>> {
        self.heard.lock()
    }

    /// Takes what one has said.
    pub(super) fn hear(&self, beat: Beat, instance: &str, now: Duration) {
        let mut heard = self.lock();
        let before = heard.insert(beat.state.name.clone(), (beat.clone(), now));
        let is_other = beat.state.name == self.own && beat.instance != instance;
        if is_other && before.is_none_or(|(last, _)| last.instance == instance) {
            tracing::error!(
                host = self.own,
                pid = beat.state.pid,
                "another host has the same name: give each a name of its own"
            );
        }
    }

    /// The names by which ranks are counted.
    pub(super) fn names(&self, now: Duration) -> Vec<String> {
        let mut heard = self.lock();
        heard.retain(|name, (_, at)| self.named.contains(name) || now.saturating_sub(*at) < FORGOTTEN);
        let workers = heard.values().filter(|(beat, _)| !beat.state.publishes);
        let mut names: Vec<String> = workers.map(|(beat, _)| beat.state.name.clone()).collect();
        names.extend(self.named.iter().cloned());
        names.push(self.own.clone());
        names.sort();
        names.dedup();
        names
    }

    /// Those that are named and were never heard.
    pub(super) fn unheard(&self) -> Vec<String> {
        let heard = self.lock();
        self.named.iter().filter(|name| **name != self.own && !heard.contains_key(*name)).cloned().collect()
    }

    /// What is known of each.
    pub(super) fn states(&self, now: Duration) -> Vec<HostState> {
        let heard = self.lock();
        let mut states: Vec<HostState> = heard
            .values()
            .map(|(beat, at)| HostState {
                silent_ms: Some(now.saturating_sub(*at).as_millis() as u64),
                ..beat.state.clone()
            })
            .collect();
        for name in self.named.iter().filter(|name| !heard.contains_key(*name)) {
            states.push(HostState { name: name.clone(), ..HostState::default() });
        }
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(name: &str) -> Beat {
        let state = HostState { name: name.to_owned(), ..HostState::default() };
        Beat { instance: name.to_owned(), state }
    }

    #[test]
    fn those_who_are_named_or_were_heard_count() {
        let hosts = Hosts::new("a", &["b".to_owned()]);
        assert_eq!(hosts.names(Duration::ZERO), ["a", "b"]);
        assert_eq!(hosts.unheard(), ["b"]);
        hosts.hear(beat("c"), "a", Duration::from_secs(1));
        assert_eq!(hosts.names(Duration::from_secs(2)), ["a", "b", "c"]);
        assert_eq!(hosts.names(Duration::from_secs(700)), ["a", "b"]);
        assert_eq!(hosts.states(Duration::ZERO).len(), 1);
    }
}
