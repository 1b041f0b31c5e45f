//! A message that a host was given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::watch;

use super::super::lease::Epoch;
use super::super::record::{Place, Record};
use crate::event::Event;
use crate::queue::LaneName;

/// What the server has given.
#[derive(Clone, Debug)]
pub(in crate::nats) struct Arrived {
    pub(in crate::nats) place: Place,
    /// Where acknowledgements go.
    pub(in crate::nats) reply: Subject,
    pub(in crate::nats) event: Arc<Event>,
    /// The lanes that it is for; none for all.
    pub(in crate::nats) only: Option<Vec<LaneName>>,
    /// When it was pulled.
    pub(in crate::nats) epoch: Epoch,
    pub(in crate::nats) record: Option<Record>,
}

/// What a consumer is at.
#[derive(Debug)]
pub(in crate::nats) struct Current {
    pub(in crate::nats) arrived: Arrived,
    pub(in crate::nats) done: BTreeSet<LaneName>,
    pub(in crate::nats) attempts: BTreeMap<LaneName, u32>,
    pub(in crate::nats) begun: BTreeSet<LaneName>,
    /// The lane that has it.
    pub(in crate::nats) given: Option<LaneName>,
    /// Whether a lane has had it.
    pub(super) started: bool,
    /// When the server was last told that it is worked on.
    pub(super) progressed: Duration,
    /// True once it may not be run here any more.
    pub(super) revoked: watch::Sender<bool>,
}

impl Current {
    pub(super) fn new(
        arrived: Arrived,
        partly: Option<&(Place, BTreeSet<LaneName>)>,
        now: Duration,
    ) -> Current {
        let record = arrived.record.as_ref().filter(|record| record.place == arrived.place);
        let mut done = record.map(|record| record.done.clone()).unwrap_or_default();
        if let Some((_, lanes)) = partly.filter(|(place, _)| *place == arrived.place) {
            done.extend(lanes.iter().cloned());
        }
        Current {
            done,
            attempts: record.map(|record| record.attempts.clone()).unwrap_or_default(),
            begun: record.map(|record| record.begun.clone()).unwrap_or_default(),
            given: None,
            started: false,
            progressed: now,
            revoked: watch::Sender::new(false),
            arrived,
        }
    }

    pub(in crate::nats) fn is_revoked(&self) -> bool {
        *self.revoked.borrow()
    }

    pub(super) fn wants(&self, lane: &LaneName) -> bool {
        !self.done.contains(lane) && self.arrived.only.as_ref().is_none_or(|only| only.contains(lane))
    }
}
