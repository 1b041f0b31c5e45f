//! What a host has been given, and by which lanes it is done: a state machine without server or clock.
//!
//! A consumer gives out one message at a time, and the next only when that one is acknowledged. Its lanes
//! have it one after the other; when all are done, it is.

mod message;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::{Notify, watch};

use super::lease::Epoch;
use super::pull::Pull;
use super::record::{Place, Record};
use crate::queue::{Lane, LaneName, Message};
pub(super) use message::{Arrived, Current};

/// How long what nobody reads is kept for a reader that may come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// A consumer, as a host reads it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) site: Arc<str>,
    pub(super) project: Option<i64>,
    /// What the host's rank is by.
    pub(super) key: String,
    pub(super) rank: u8,
    /// Its lanes that are open, in the order in which they have messages.
    pub(super) lanes: Vec<LaneName>,
    pub(super) current: Option<Current>,
    /// What came while the current one was not given up yet.
    next: Option<Arrived>,
    /// When it was opened here, in nanoseconds of Unix time.
    since: i64,
    /// All up to here is done.
    done: Option<Place>,
    /// What was done of a message that was taken away.
    partly: Option<(Place, BTreeSet<LaneName>)>,
    pub(super) record: Option<Record>,
    pub(super) pull: Option<Pull>,
    /// No pull before.
    pub(super) hold_until: Option<Duration>,
    /// Whoever waits for messages of its lanes: one for all, or one for each.
    readers: Vec<Arc<Notify>>,
    asked: Duration,
    /// The consumer whose message the reader of this one's lanes is working on.
    engaged: Option<Arc<str>>,
}

/// What opening a lane has to know.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// What the host's rank is by, and the rank.
    pub(super) key: String,
    pub(super) rank: u8,
    /// Not before that is it asked for: the first host of a project has to be the first to ask.
    pub(super) begins: Duration,
    /// Now, in nanoseconds of Unix time.
    pub(super) stamp: i64,
}

/// What becomes of what has arrived.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It is kept for a lane.
    Kept,
    /// It was done before, or no lane wants it: to be acknowledged.
    Done {
        /// Where.
        reply: Subject,
        /// Whether a record of it is to be taken away.
        recorded: bool,
    },
    /// Nobody here reads it.
    Back(Subject),
}

/// A message that all its lanes are done with.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) consumer: Arc<str>,
    pub(super) reply: Subject,
    /// Whether a record of it is to be taken away.
    pub(super) recorded: bool,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) groups: HashMap<Arc<str>, Group>,
    lanes: HashMap<LaneName, Arc<str>>,
    /// Nothing more is given out.
    pub(super) resting: bool,
}

impl Group {
    fn is_read(&self, now: Duration, groups: &HashMap<Arc<str>, bool>) -> bool {
        let engaged = self.engaged.as_ref().and_then(|consumer| groups.get(consumer)).copied();
        !self.readers.is_empty() || engaged.unwrap_or(false) || now.saturating_sub(self.asked) < PATIENCE
    }

    /// From when on this host has not had its events, in nanoseconds of Unix time.
    pub(super) fn had_until(&self) -> i64 {
        self.done.map_or(self.since, |done| done.stamp)
    }

    fn has_given(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.given.is_some())
    }

    /// Takes the current message away. What is done of it is kept in mind.
    fn take_away(&mut self) -> Option<Current> {
        let current = self.current.take()?;
        current.revoked.send_replace(true);
        if !current.done.is_empty() {
            self.partly = Some((current.arrived.place, current.done.clone()));
        }
        Some(current)
    }

    fn wake(&self) {
        self.readers.iter().for_each(|reader| reader.notify_one());
    }
}

impl Table {
    /// Opens a lane of a consumer.
    pub(super) fn open(&mut self, consumer: &Arc<str>, lane: &Lane, opening: Opening) {
        let Opening { key, rank, begins, stamp } = opening;
        let group = self.groups.entry(Arc::clone(consumer)).or_insert_with(|| Group {
            site: Arc::clone(&lane.site),
            project: lane.project,
            key,
            rank,
            lanes: Vec::new(),
            current: None,
            next: None,
            since: stamp,
            done: None,
            partly: None,
            record: None,
            pull: None,
            hold_until: Some(begins),
            readers: Vec::new(),
            asked: Duration::ZERO,
            engaged: None,
        });
        if !group.lanes.contains(&lane.name) {
            group.lanes.push(lane.name.clone());
            group.lanes.sort();
        }
        self.lanes.insert(lane.name.clone(), Arc::clone(consumer));
    }

    /// Closes a lane. What it was the last one to want is finished.
    pub(super) fn close(&mut self, lane: &LaneName) -> Option<Finished> {
        let consumer = self.lanes.remove(lane)?;
        let group = self.groups.get_mut(&consumer)?;
        group.lanes.retain(|open| open != lane);
        if group.lanes.is_empty() { None } else { self.finish(&consumer) }
    }

    pub(super) fn consumer(&self, lane: &LaneName) -> Option<Arc<str>> {
        self.lanes.get(lane).cloned()
    }

    pub(super) fn lane_names(&self) -> impl Iterator<Item = (&LaneName, &Arc<str>)> {
        self.lanes.iter()
    }

    /// Takes what the server gives.
    pub(super) fn arrive(&mut self, consumer: &Arc<str>, arrived: Arrived, now: Duration) -> Arrival {
        let reply = arrived.reply.clone();
        let Some(group) = self.groups.get_mut(consumer).filter(|group| !group.lanes.is_empty()) else {
            return Arrival::Back(reply);
        };
        if group.done.is_some_and(|done| done.covers(arrived.place)) {
            return Arrival::Done { reply, recorded: false };
        }
        if self.resting {
            return Arrival::Back(reply);
        }
        if arrived.record.is_some() {
            group.record = arrived.record.clone();
        }
        match &mut group.current {
            // Given out again while it runs here: the server did not hear of it in time.
            Some(current) if current.arrived.place == arrived.place && !current.is_revoked() => {
                (current.arrived.reply, current.arrived.epoch) = (arrived.reply, arrived.epoch);
                return Arrival::Kept;
            }
            Some(current) if current.started => {
                group.next = Some(arrived);
                return Arrival::Kept;
            }
            _ => group.current = Some(Current::new(arrived, group.partly.as_ref(), now)),
        }
        group.wake();
        match self.finish(consumer) {
            Some(finished) => Arrival::Done { reply: finished.reply, recorded: finished.recorded },
            None => Arrival::Kept,
        }
    }

    /// Somebody waits for messages of these lanes, or does so no longer. Whether one of them is not pulled.
    pub(super) fn reads(
        &mut self,
        lanes: &[LaneName],
        reader: &Arc<Notify>,
        begins: bool,
        now: Duration,
    ) -> bool {
        let mut unpulled = false;
        for consumer in self.consumers_of(lanes) {
            if let Some(group) = self.groups.get_mut(&consumer) {
                if begins {
                    group.readers.push(Arc::clone(reader));
                } else {
                    group.readers.retain(|other| !Arc::ptr_eq(other, reader));
                }
                group.asked = now;
                group.engaged = None;
                unpulled |= group.pull.is_none();
            }
        }
        unpulled
    }

    /// Whoever was given this message reads these lanes again when it is done.
    pub(super) fn engage(&mut self, message: &Message, lanes: &[LaneName]) {
        let Some(consumer) = self.lanes.get(&message.lane).cloned() else { return };
        for one in self.consumers_of(lanes) {
            if let Some(group) = self.groups.get_mut(&one) {
                group.engaged = Some(Arc::clone(&consumer));
            }
        }
    }

    fn consumers_of(&self, lanes: &[LaneName]) -> BTreeSet<Arc<str>> {
        lanes.iter().filter_map(|lane| self.lanes.get(lane).cloned()).collect()
    }

    /// The earliest message that one of the lanes wants, where the lease holds in this epoch.
    pub(super) fn give(
        &mut self,
        lanes: &[LaneName],
        epoch: Option<Epoch>,
        now: Duration,
    ) -> Option<Message> {
        let consumers = self.consumers_of(lanes);
        let mut found: Option<(u64, Arc<str>, LaneName)> = None;
        for consumer in &consumers {
            let Some(group) = self.groups.get_mut(consumer) else { continue };
            if let Some(current) = &mut group.current {
                // Whoever asks again is not working on it any more.
                if current.given.as_ref().is_some_and(|lane| lanes.contains(lane)) {
                    current.given = None;
                }
                if current.given.is_none() && current.is_revoked() {
                    group.take_away();
                }
            }
            if group.current.is_none()
                && let Some(next) = group.next.take()
            {
                group.current = Some(Current::new(next, group.partly.as_ref(), now));
            }
            let Some(epoch) = epoch.filter(|_| !self.resting) else { continue };
            let Some(current) = &group.current else { continue };
            if !current.arrived.epoch.allows(epoch, current.started) || current.given.is_some() {
                continue;
            }
            let lane = lanes.iter().find(|lane| group.lanes.contains(lane) && current.wants(lane));
            let seq = current.arrived.place.seq;
            if let Some(lane) = lane.filter(|_| found.as_ref().is_none_or(|(first, ..)| seq < *first)) {
                found = Some((seq, Arc::clone(consumer), lane.clone()));
            }
        }
        let (seq, consumer, lane) = found?;
        let current = self.groups.get_mut(&consumer)?.current.as_mut()?;
        (current.given, current.started) = (Some(lane.clone()), true);
        Some(Message {
            seq: i64::try_from(seq).unwrap_or(i64::MAX),
            event: Arc::clone(&current.arrived.event),
            attempts: current.attempts.get(&lane).copied().unwrap_or(0),
            begun: current.begun.contains(&lane),
            lane,
        })
    }

    /// The consumer and what it is at, where that is this message.
    pub(super) fn at(&mut self, message: &Message) -> Option<(Arc<str>, &mut Group)> {
        let consumer = self.lanes.get(&message.lane)?.clone();
        let group = self.groups.get_mut(&consumer)?;
        let current = group.current.as_ref()?;
        let is_it = i64::try_from(current.arrived.place.seq) == Ok(message.seq)
            && current.given.as_ref() == Some(&message.lane);
        is_it.then_some((consumer, group))
    }

    /// Hears when a message is not to be run any longer. None: it is so already.
    pub(super) fn revocation(&mut self, message: &Message) -> Option<watch::Receiver<bool>> {
        let (_, group) = self.at(message)?;
        group.current.as_ref().map(|current| current.revoked.subscribe())
    }

    /// A lane is done with a message. None where other lanes are not.
    pub(super) fn lane_done(&mut self, message: &Message) -> Option<Finished> {
        let (consumer, group) = self.at(message)?;
        let current = group.current.as_mut()?;
        current.given = None;
        current.done.insert(message.lane.clone());
        let finished = self.finish(&consumer);
        if finished.is_none() {
            self.groups.get(&consumer)?.wake();
        }
        finished
    }

    fn finish(&mut self, consumer: &Arc<str>) -> Option<Finished> {
        let group = self.groups.get_mut(consumer)?;
        let current = group.current.as_ref()?;
        if current.given.is_some() || group.lanes.iter().any(|lane| current.wants(lane)) {
            return None;
        }
        let current = group.current.take()?;
        group.done = Some(current.arrived.place);
        group.partly = None;
        let recorded = group.record.take_if(|record| record.place == current.arrived.place).is_some();
        group.wake();
        Some(Finished { consumer: Arc::clone(consumer), reply: current.arrived.reply, recorded })
    }

    /// The message is for the server again: no lane of this host has it.
    pub(super) fn release(&mut self, message: &Message) -> Option<Subject> {
        let (_, group) = self.at(message)?;
        let current = group.take_away()?;
        group.wake();
        Some(current.arrived.reply)
    }

    /// Nothing of a consumer is pulled for a while.
    pub(super) fn hold(&mut self, consumer: &str, until: Duration) {
        if let Some(group) = self.groups.get_mut(consumer) {
            group.hold_until = Some(until);
            group.pull = None;
        }
    }

    /// Drops what was pulled before this epoch; what runs is ended where the lease did not hold all the time.
    pub(super) fn drop_old(&mut self, epoch: Epoch) {
        for group in self.groups.values_mut() {
            if group.next.as_ref().is_some_and(|next| !next.epoch.allows(epoch, false)) {
                group.next = None;
            }
            let Some(current) = &group.current else { continue };
            if current.arrived.epoch.allows(epoch, current.started) {
                continue;
            }
            if current.given.is_some() {
                current.revoked.send_replace(true);
            } else {
                group.take_away();
            }
        }
    }

    /// Takes away what no lane has begun: for other hosts.
    pub(super) fn unbegun(&mut self) -> Vec<Subject> {
        let mut found = Vec::new();
        for group in self.groups.values_mut() {
            found.extend(group.next.take().map(|next| next.reply));
            if group.current.as_ref().is_some_and(|current| current.given.is_none()) {
                found.extend(group.take_away().map(|current| current.arrived.reply));
            }
        }
        found
    }

    /// What the server is to be told that it is worked on, where that was said longer ago than `every`.
    pub(super) fn progress(&mut self, now: Duration, every: Duration) -> Vec<Subject> {
        let mut told = Vec::new();
        for group in self.groups.values_mut() {
            let Some(current) = group.current.as_mut().filter(|current| !current.is_revoked()) else {
                continue;
            };
            if now.saturating_sub(current.progressed) >= every {
                current.progressed = now;
                told.push(current.arrived.reply.clone());
            }
        }
        told
    }

    /// Takes away what nobody here reads: for other hosts. Nothing more is pulled of it until somebody does.
    pub(super) fn unread(&mut self, now: Duration) -> Vec<Subject> {
        let given = self.given();
        let mut found = Vec::new();
        for group in self.groups.values_mut() {
            if group.has_given() || group.current.is_none() || group.is_read(now, &given) {
                continue;
            }
            found.extend(group.take_away().map(|current| current.arrived.reply));
            group.pull = None;
        }
        found
    }

    /// Has all readers look again.
    pub(super) fn wake_all(&self) {
        self.groups.values().for_each(Group::wake);
    }

    fn given(&self) -> HashMap<Arc<str>, bool> {
        self.groups
            .iter()
            .filter(|(_, group)| group.has_given())
            .map(|(name, _)| (Arc::clone(name), true))
            .collect()
    }

    /// The consumers that are to be pulled now, with the host's rank and the number of the pull.
    /// Those are left out for which another host `is_awaited`, by what ranks are by.
    pub(super) fn pulls(
        &mut self,
        now: Duration,
        is_awaited: impl Fn(&str) -> bool,
    ) -> Vec<(Arc<str>, u8, u64)> {
        if self.resting {
            return Vec::new();
        }
        let given = self.given();
        let mut due = Vec::new();
        for (name, group) in &mut self.groups {
            let held = group.hold_until.is_some_and(|until| until > now);
            if group.lanes.is_empty() || held || !group.is_read(now, &given) {
                continue;
            }
            if group.pull.is_none() && is_awaited(&group.key) {
                continue;
            }
            if group.pull.as_ref().is_none_or(|pull| pull.is_due(now, group.rank)) {
                let pull = Pull::new(group.pull.as_ref(), now, group.rank);
                due.push((Arc::clone(name), group.rank, pull.number));
                group.pull = Some(pull);
                group.hold_until = None;
            }
        }
        due
    }

    /// The connection, or the subscription, is a new one.
    pub(super) fn forget_pulls(&mut self) {
        for group in self.groups.values_mut() {
            group.pull = None;
            if let Some(current) = &mut group.current {
                current.progressed = Duration::ZERO;
            }
        }
    }

    /// Sets the host's ranks anew.
    pub(super) fn rank(&mut self, rank: impl Fn(&str) -> u8) {
        for group in self.groups.values_mut() {
            group.rank = rank(&group.key);
        }
    }
}

#[cfg(test)]
mod tests;
