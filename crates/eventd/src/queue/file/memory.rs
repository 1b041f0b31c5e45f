//! What of the state is in memory: the lanes with their next events.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use crate::event::Event;
use crate::queue::{Failure, LaneName, LaneState, Message};
use crate::source::window::Window;

/// How many events are in memory for all lanes, and for one of them at most and at least; others stay in the
/// file until there is room.
const ALL: usize = 8192;
const MOST: usize = 1024;
const LEAST: usize = 32;

/// An event with its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) seq: i64,
    pub(super) event: Arc<Event>,
    /// The lanes that it is for; none for all.
    pub(super) lanes: Option<Arc<[LaneName]>>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) lanes: HashMap<LaneName, LaneMemory>,
    /// The open lanes of a site, and of a project.
    readers: HashMap<(Arc<str>, Option<i64>), Vec<LaneName>>,
    /// How many these are.
    open: usize,
    pub(super) windows: HashMap<Arc<str>, Window>,
    /// The place of the last event.
    pub(super) end: i64,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct LaneMemory {
    pub(super) site: Arc<str>,
    pub(super) project: Option<i64>,
    pub(super) open: bool,
    pub(super) done: i64,
    pub(super) last_id: i64,
    pub(super) floor: i64,
    pub(super) wanted: BTreeSet<i64>,
    pub(super) attempts: u32,
    pub(super) begun: Option<i64>,
    pub(super) retry_at: Option<Instant>,
    pub(super) parked: bool,
    pub(super) paused: bool,
    pub(super) failure: Option<Failure>,
    /// Whether `done` has moved past what is in the file.
    pub(super) unwritten: bool,
    next: VecDeque<Placed>,
    /// Whether the file has events after those in `next`.
    behind: bool,
    reader: Option<Arc<Notify>>,
}

/// What a reader finds.
pub(super) enum Found {
    Messages(Vec<Message>),
    /// The file has to be read for a lane first, from a place on.
    Behind(LaneName),
    /// Nothing, until a time where a retry is due.
    Nothing(Option<Instant>),
}

impl LaneMemory {
    pub(super) fn new(site: Arc<str>, project: Option<i64>, done: i64) -> LaneMemory {
        LaneMemory {
            site,
            project,
            open: false,
            done,
            last_id: 0,
            floor: 0,
            wanted: BTreeSet::new(),
            attempts: 0,
            begun: None,
            retry_at: None,
            parked: false,
            paused: false,
            failure: None,
            unwritten: false,
            next: VecDeque::new(),
            behind: false,
            reader: None,
        }
    }

    /// The event that it is at.
    pub(super) fn head(&self) -> Option<&Placed> {
        self.next.front()
    }

    /// From where on the file is to be read.
    pub(super) fn read_from(&self) -> i64 {
        self.next.back().map_or(self.done, |last| last.seq)
    }

    /// All up to here is done or passed.
    pub(super) fn done_up_to(&self, end: i64) -> i64 {
        match self.next.front() {
            Some(head) => head.seq - 1,
            None if self.behind || !self.open => self.done,
            None => end,
        }
    }

    fn wants(&self, name: &LaneName, placed: &Placed) -> bool {
        match &placed.lanes {
            Some(lanes) => lanes.contains(name),
            None => placed.event.id > self.floor || self.wanted.contains(&placed.event.id),
        }
    }

    /// Takes the head away, which is done or passed.
    pub(super) fn advance(&mut self) {
        if let Some(head) = self.next.pop_front() {
            self.done = self.done.max(head.seq);
            self.last_id = self.last_id.max(head.event.id);
            self.begun = None;
            self.attempts = 0;
            self.retry_at = None;
            self.parked = false;
            self.failure = None;
        }
    }

    /// Wakes the one who reads it.
    pub(super) fn wake(&self) {
        if let Some(reader) = &self.reader {
            reader.notify_one();
        }
    }
}

impl Memory {
    /// How many events of a lane may be in memory.
    pub(super) fn room(&self) -> usize {
        (ALL / self.open.max(1)).clamp(LEAST, MOST)
    }

    /// How many events are in memory, those of several lanes as often.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.lanes.values().map(|lane| lane.next.len()).sum()
    }

    /// Begins to read a lane that is known.
    pub(super) fn open(&mut self, name: &LaneName) {
        let end = self.end;
        let Some(lane) = self.lanes.get_mut(name).filter(|lane| !lane.open) else { return };
        lane.open = true;
        lane.behind = lane.done < end;
        let readers = self.readers.entry((Arc::clone(&lane.site), lane.project)).or_default();
        readers.push(name.clone());
        self.open += 1;
        lane.wake();
    }

    /// Ends that.
    pub(super) fn close(&mut self, name: &LaneName) {
        let end = self.end;
        let Some(lane) = self.lanes.get_mut(name).filter(|lane| lane.open) else { return };
        lane.done = lane.done_up_to(end);
        lane.open = false;
        lane.next.clear();
        if let Some(readers) = self.readers.get_mut(&(Arc::clone(&lane.site), lane.project)) {
            readers.retain(|reader| reader != name);
        }
        self.open = self.open.saturating_sub(1);
        lane.wake();
    }

    /// Gives an event that is in the file now to the lanes that read it.
    pub(super) fn appended(&mut self, placed: &Placed) {
        let room = self.room();
        self.end = self.end.max(placed.seq);
        let site = &placed.event.site;
        let subjects = match placed.event.project {
            Some(project) => vec![None, Some(project)],
            None => vec![None],
        };
        for subject in subjects {
            let Some(readers) = self.readers.get(&(Arc::clone(site), subject)) else { continue };
            for name in readers {
                let Some(lane) = self.lanes.get_mut(name) else { continue };
                if lane.behind || lane.next.len() >= room {
                    lane.behind = true;
                } else if lane.wants(name, placed) {
                    lane.next.push_back(placed.clone());
                    lane.wake();
                }
            }
        }
    }

    /// Takes what was read from the file after a place, in order, for all lanes of the subject that are
    /// behind and have come so far: they have the events in common. `complete`: there is no more.
    pub(super) fn filled(
        &mut self,
        subject: &(Arc<str>, Option<i64>),
        after: i64,
        read: &[Placed],
        complete: bool,
    ) {
        let room = self.room();
        let last = read.last().map(|placed| placed.seq);
        for name in self.readers.get(subject).into_iter().flatten() {
            let Some(lane) = self.lanes.get_mut(name) else { continue };
            let from = lane.read_from();
            if !lane.behind || from < after || lane.next.len() >= room {
                continue;
            }
            for placed in read {
                if placed.seq > from && lane.wants(name, placed) {
                    lane.next.push_back(placed.clone());
                }
            }
            if lane.next.is_empty() {
                // None of them was for this lane.
                lane.done = lane.done.max(last.unwrap_or(lane.done));
            }
            lane.behind = !complete;
            lane.wake();
        }
    }

    /// The earliest events of these lanes whose time has come, at most `most`.
    pub(super) fn next(
        &mut self,
        names: &[LaneName],
        reader: &Arc<Notify>,
        now: Instant,
        most: usize,
    ) -> Found {
        let mut ready: Vec<&LaneName> = Vec::new();
        let mut due: Option<Instant> = None;
        for name in names {
            let Some(lane) = self.lanes.get_mut(name) else { continue };
            if !lane.reader.as_ref().is_some_and(|known| Arc::ptr_eq(known, reader)) {
                lane.reader = Some(Arc::clone(reader));
            }
            if !lane.open {
                continue;
            }
            if lane.next.is_empty() && lane.behind {
                // It may have the earliest; and where it is parked it is to be seen at what.
                return Found::Behind(name.clone());
            }
            if lane.parked || lane.paused {
                continue;
            }
            if let Some(at) = lane.retry_at.filter(|at| *at > now) {
                due = Some(due.map_or(at, |due| due.min(at)));
                continue;
            }
            if !lane.next.is_empty() {
                ready.push(name);
            }
        }
        let messages = self.merged(&ready, most);
        if messages.is_empty() { Found::Nothing(due) } else { Found::Messages(messages) }
    }

    /// The next events of lanes, by their place; at the same one, the lane that is named first.
    fn merged(&self, names: &[&LaneName], most: usize) -> Vec<Message> {
        let mut lanes: Vec<(&LaneName, &LaneMemory, usize)> =
            names.iter().filter_map(|name| Some((*name, self.lanes.get(*name)?, 0))).collect();
        let mut messages = Vec::new();
        while messages.len() < most {
            if lanes.iter().any(|(_, lane, taken)| *taken == lane.next.len() && lane.behind) {
                // The file may have an earlier one for it.
                break;
            }
            let heads = lanes
                .iter_mut()
                .filter_map(|(name, lane, taken)| Some((lane.next.get(*taken)?, name, lane, taken)));
            let Some((head, name, lane, taken)) = heads.min_by_key(|(head, ..)| head.seq) else { break };
            let first = *taken == 0;
            messages.push(Message {
                lane: (*name).clone(),
                seq: head.seq,
                event: Arc::clone(&head.event),
                attempts: if first { lane.attempts } else { 0 },
                begun: first && lane.begun == Some(head.seq),
            });
            *taken += 1;
        }
        messages
    }

    /// The lane, where it is at this message.
    pub(super) fn at(&mut self, message: &Message) -> Option<&mut LaneMemory> {
        self.lanes
            .get_mut(&message.lane)
            .filter(|lane| lane.next.front().map(|head| head.seq) == Some(message.seq))
    }

    /// What all lanes, read or not, have behind them.
    pub(super) fn done_up_to(&self) -> i64 {
        self.lanes.values().map(|lane| lane.done_up_to(self.end)).min().unwrap_or(self.end)
    }

    /// What is known of a lane. `waiting` counts its events in the file.
    pub(super) fn describe(&self, name: &LaneName, waiting: u64, now: Instant) -> Option<LaneState> {
        let lane = self.lanes.get(name)?;
        let head = lane.next.front();
        let cursor = self.windows.get(&lane.site).map_or(0, Window::cursor);
        let idle = head.is_none() && !lane.behind && lane.open;
        Some(LaneState {
            name: name.clone(),
            site: Arc::clone(&lane.site),
            project: lane.project,
            waiting: if lane.behind { waiting } else { lane.next.len() as u64 },
            head: head.map(|head| head.event.id),
            head_created: head.and_then(|head| head.event.fields().created_at),
            attempts: lane.attempts,
            parked: lane.parked,
            paused: lane.paused,
            retry_in_ms: lane.retry_at.map(|at| at.saturating_duration_since(now).as_millis() as u64),
            failure: lane.failure.clone(),
            last_id: if idle { lane.last_id.max(cursor) } else { lane.last_id },
            undone: lane.next.iter().map(|placed| placed.event.id).filter(|id| *id < lane.last_id).collect(),
            open: lane.open,
        })
    }

    /// Whether a lane's events have to be counted in the file.
    pub(super) fn is_behind(&self, name: &LaneName) -> bool {
        self.lanes.get(name).is_some_and(|lane| lane.behind || !lane.open)
    }
}
