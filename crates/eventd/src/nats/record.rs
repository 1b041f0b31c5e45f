//! What is known of a consumer beyond what the server knows: written down only where something failed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::queue::{Failure, LaneName};

/// The place of a message in the stream. The time tells a stream from one that was made anew, whose numbers
/// begin at 1 again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its number in the stream.
    pub(super) seq: u64,
    /// When it was stored, in nanoseconds of Unix time.
    pub(super) stamp: i64,
}

impl Place {
    /// Whether all up to here covers another one.
    pub(super) fn covers(&self, other: Place) -> bool {
        self.seq >= other.seq && self.stamp >= other.stamp
    }
}

/// What is known of a consumer's message, over restarts and for all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The message.
    pub(super) place: Place,
    /// Its event's id.
    pub(super) event: i64,
    /// Lanes that are done with it.
    #[serde(default)]
    pub(super) done: BTreeSet<LaneName>,
    /// How often lanes have tried it.
    #[serde(default)]
    pub(super) attempts: BTreeMap<LaneName, u32>,
    /// Lanes that have begun it and must not run it twice.
    #[serde(default)]
    pub(super) begun: BTreeSet<LaneName>,
    /// The lane that failed.
    #[serde(default)]
    pub(super) lane: Option<LaneName>,
    /// Why.
    #[serde(default)]
    pub(super) failure: Option<Failure>,
    /// Whether the consumer is parked at it.
    #[serde(default)]
    pub(super) parked: bool,
    /// Since when it could not be run at all, in milliseconds of Unix time.
    #[serde(default)]
    pub(super) unrun_since: Option<i64>,
    /// When it is tried again, in milliseconds of Unix time.
    #[serde(default)]
    pub(super) retry_at: Option<i64>,
    /// The host that has written this.
    #[serde(default)]
    pub(super) host: String,
}
