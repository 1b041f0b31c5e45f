//! What the writer does: each job writes its rows, and says what follows in memory once they are committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::MutexGuard;
use rusqlite::Connection;

use super::memory::{LaneMemory, Memory, Placed};
use super::rows;
use crate::event::Event;
use crate::queue::{
    Batch, DeadLetter, Failure, Lane, LaneName, Message, QueueError, SiteState, Start, State, Verdict,
};

#[derive(Debug)]
pub(super) enum Job {
    Append(Batch),
    Open(Vec<Lane>),
    Close(Vec<LaneName>),
    /// Reads events from the file into memory.
    Fill(LaneName),
    Begin(Message),
    Settle(Message, Verdict),
    /// Messages that were done, in order.
    SettleAll(Vec<Message>),
    Resume {
        lane: LaneName,
        event: Option<i64>,
        skip: bool,
    },
    Pause(LaneName, bool),
    Replay(Event, Vec<LaneName>),
    Find(Arc<str>, i64),
    Dead(usize),
    ForgetDead(i64, Option<LaneName>),
    State,
    BeginRun,
    ShutDown,
}

/// What a job's caller gets.
#[derive(Debug)]
pub(super) enum Outcome {
    Nothing,
    Appended(usize),
    Resumed(bool),
    Event(Option<Event>),
    Dead(Vec<DeadLetter>),
    Lanes(Vec<LaneName>),
    State(State),
}

/// What follows in memory.
pub(super) type Effect = Box<dyn FnOnce(&mut Memory) + Send>;

pub(super) enum Refusal {
    Sqlite(rusqlite::Error),
    Queue(QueueError),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Refusal {
        Refusal::Sqlite(error)
    }
}

type Written = Result<(Outcome, Effect), Refusal>;

fn nothing() -> Effect {
    Box::new(|_| {})
}

impl Job {
    /// Whether a power failure must not take it back.
    pub(super) fn is_durable(&self) -> bool {
        !matches!(
            self,
            Job::Settle(_, Verdict::Done | Verdict::Passed)
                | Job::SettleAll(_)
                | Job::Fill(_)
                | Job::Find(..)
                | Job::Dead(_)
                | Job::State
                | Job::ShutDown
        )
    }

    /// Whether it depends on, or changes, more than the lanes that it names.
    pub(super) fn is_alone(&self) -> bool {
        matches!(
            self,
            Job::Append(_)
                | Job::Open(_)
                | Job::Close(_)
                | Job::Replay(..)
                | Job::State
                | Job::BeginRun
                | Job::ShutDown
        )
    }

    /// The lanes that it is about.
    pub(super) fn lanes(&self) -> Vec<LaneName> {
        match self {
            Job::Fill(lane) | Job::Pause(lane, _) | Job::Resume { lane, .. } => vec![lane.clone()],
            Job::Begin(message) | Job::Settle(message, _) => vec![message.lane.clone()],
            Job::SettleAll(messages) => {
                let mut lanes: Vec<_> = messages.iter().map(|message| message.lane.clone()).collect();
                lanes.sort();
                lanes.dedup();
                lanes
            }
            _ => Vec::new(),
        }
    }

    /// Writes the rows. The memory is as all earlier jobs have left it.
    pub(super) fn write(self, connection: &Connection, memory: MutexGuard<'_, Memory>) -> Written {
        match self {
            Job::Append(batch) => append(connection, memory, batch),
            Job::Open(lanes) => open(connection, memory, lanes),
            Job::Close(lanes) => {
                for name in &lanes {
                    if let Some(lane) = memory.lanes.get(name) {
                        rows::write_closed(connection, name, lane.done_up_to(memory.end))?;
                    }
                }
                let effect = move |memory: &mut Memory| lanes.iter().for_each(|name| memory.close(name));
                Ok((Outcome::Nothing, Box::new(effect)))
            }
            Job::Fill(name) => fill(connection, memory, name),
            Job::Begin(message) => begin(connection, memory, message),
            Job::Settle(message, verdict) => settle(connection, memory, message, verdict),
            Job::SettleAll(messages) => settle_all(connection, memory, messages),
            Job::Resume { lane, event, skip } => resume(connection, memory, lane, event, skip),
            Job::Pause(name, paused) => pause(connection, memory, name, paused),
            Job::Replay(event, lanes) => {
                drop(memory);
                let placed = rows::insert_event(connection, event, Some(&lanes))?;
                let effect = move |memory: &mut Memory| {
                    if let Some(placed) = placed {
                        memory.appended(&placed);
                    }
                };
                Ok((Outcome::Nothing, Box::new(effect)))
            }
            Job::Find(site, event) => {
                drop(memory);
                Ok((Outcome::Event(rows::find(connection, &site, event)?), nothing()))
            }
            Job::Dead(most) => Ok((Outcome::Dead(rows::dead(connection, most)?), nothing())),
            Job::ForgetDead(event, lane) => {
                let lanes = rows::forget_dead(connection, event, lane.as_ref())?;
                Ok((Outcome::Lanes(lanes), nothing()))
            }
            Job::State => state(connection, memory),
            Job::BeginRun => {
                super::recovery::begin_run(connection)?;
                Ok((Outcome::Nothing, nothing()))
            }
            Job::ShutDown => Ok((Outcome::Nothing, nothing())),
        }
    }
}

fn append(connection: &Connection, memory: MutexGuard<'_, Memory>, batch: Batch) -> Written {
    // Readers go on meanwhile: nothing of this is theirs before the effect.
    drop(memory);
    let mut written: Vec<Placed> = Vec::with_capacity(batch.events.len());
    for event in batch.events {
        written.extend(rows::insert_event(connection, event, None)?);
    }
    rows::write_window(connection, &batch.site, &batch.window)?;
    let count = written.len();
    let effect = move |memory: &mut Memory| {
        memory.windows.insert(batch.site, batch.window);
        written.iter().for_each(|placed| memory.appended(placed));
    };
    Ok((Outcome::Appended(count), Box::new(effect)))
}

fn open(connection: &Connection, memory: MutexGuard<'_, Memory>, lanes: Vec<Lane>) -> Written {
    let mut made: Vec<(LaneName, LaneMemory)> = Vec::new();
    for lane in &lanes {
        match memory.lanes.get(&lane.name) {
            Some(known) => rows::write_lane(connection, &lane.name, known)?,
            None => {
                let mut new = LaneMemory::new(Arc::clone(&lane.site), lane.project, memory.end);
                let cursor = memory.windows.get(&lane.site).map_or(0, |window| window.cursor());
                new.last_id = cursor;
                if let Start::After { id, missing } = &lane.start {
                    new.done = 0;
                    new.last_id = *id;
                    new.floor = *id;
                    new.wanted = missing.iter().copied().collect();
                }
                rows::write_lane(connection, &lane.name, &new)?;
                made.push((lane.name.clone(), new));
            }
        }
    }
    let effect = move |memory: &mut Memory| {
        memory.lanes.extend(made);
        lanes.iter().for_each(|lane| memory.open(&lane.name));
    };
    Ok((Outcome::Nothing, Box::new(effect)))
}

fn fill(connection: &Connection, memory: MutexGuard<'_, Memory>, name: LaneName) -> Written {
    let Some(lane) = memory.lanes.get(&name) else { return Ok((Outcome::Nothing, nothing())) };
    let (subject, after, most) = ((Arc::clone(&lane.site), lane.project), lane.read_from(), memory.room());
    drop(memory);
    let (read, complete) = rows::read(connection, &subject.0, subject.1, after, most)?;
    let effect = move |memory: &mut Memory| memory.filled(&subject, after, &read, complete);
    Ok((Outcome::Nothing, Box::new(effect)))
}

fn not_in_flight(message: &Message) -> Refusal {
    Refusal::Queue(QueueError::NotInFlight { lane: message.lane.to_string(), event: message.event.id })
}

fn begin(connection: &Connection, mut memory: MutexGuard<'_, Memory>, message: Message) -> Written {
    let lane = memory.at(&message).ok_or_else(|| not_in_flight(&message))?;
    lane.begun = Some(message.seq);
    let written = rows::write_lane(connection, &message.lane, lane);
    lane.begun = None;
    written?;
    let effect = move |memory: &mut Memory| {
        if let Some(lane) = memory.at(&message) {
            lane.begun = Some(message.seq);
        }
    };
    Ok((Outcome::Nothing, Box::new(effect)))
}

fn settle(
    connection: &Connection,
    mut memory: MutexGuard<'_, Memory>,
    message: Message,
    verdict: Verdict,
) -> Written {
    let lane = memory.at(&message).ok_or_else(|| not_in_flight(&message))?;
    match verdict {
        Verdict::Done => rows::write_done(connection, &message.lane, message.seq, message.event.id)?,
        Verdict::Passed => {}
        Verdict::Dead(failure) => {
            let attempts = message.attempts + 1;
            rows::insert_dead(connection, &message.lane, &message.event, attempts, &failure)?;
            rows::write_done(connection, &message.lane, message.seq, message.event.id)?;
        }
        Verdict::Retry { after, failure, counts } => {
            let attempts = message.attempts + u32::from(counts);
            return wait(connection, lane, message, attempts, Some(Instant::now() + after), false, failure);
        }
        Verdict::Park(failure) => {
            let attempts = message.attempts + 1;
            return wait(connection, lane, message, attempts, None, true, failure);
        }
    }
    let effect = move |memory: &mut Memory| {
        if let Some(lane) = memory.at(&message) {
            lane.advance();
        }
    };
    Ok((Outcome::Nothing, Box::new(effect)))
}

/// Writes for each lane that its last message, and so those before it, is done.
fn settle_all(
    connection: &Connection,
    mut memory: MutexGuard<'_, Memory>,
    messages: Vec<Message>,
) -> Written {
    let mut last: BTreeMap<&LaneName, (i64, i64)> = BTreeMap::new();
    for message in &messages {
        // A lane that has moved on by hand is left as it is.
        if last.contains_key(&message.lane) || memory.at(message).is_some() {
            let (seq, id) = last.entry(&message.lane).or_default();
            (*seq, *id) = (message.seq, message.event.id.max(*id));
        }
    }
    drop(memory);
    for (lane, (seq, id)) in last {
        rows::write_done(connection, lane, seq, id)?;
    }
    let effect = move |memory: &mut Memory| {
        for message in &messages {
            if let Some(lane) = memory.at(message) {
                lane.advance();
            }
        }
    };
    Ok((Outcome::Nothing, Box::new(effect)))
}

/// Has the lane wait at its event.
fn wait(
    connection: &Connection,
    lane: &mut LaneMemory,
    message: Message,
    attempts: u32,
    retry_at: Option<Instant>,
    parked: bool,
    failure: Failure,
) -> Written {
    let change = move |lane: &mut LaneMemory| {
        lane.attempts = attempts;
        lane.retry_at = retry_at;
        lane.parked = parked;
        lane.begun = None;
        lane.failure = Some(failure.clone());
    };
    let before = (lane.attempts, lane.retry_at, lane.parked, lane.begun, lane.failure.clone());
    change(lane);
    let written = rows::write_lane(connection, &message.lane, lane);
    // Until it is committed.
    (lane.attempts, lane.retry_at, lane.parked, lane.begun, lane.failure) = before;
    written?;
    let effect = move |memory: &mut Memory| {
        if let Some(lane) = memory.at(&message) {
            change(lane);
            lane.wake();
        }
    };
    Ok((Outcome::Nothing, Box::new(effect)))
}

fn unknown_lane(name: &LaneName) -> Refusal {
    Refusal::Queue(QueueError::Unknown { what: "lane", name: name.to_string() })
}

fn resume(
    connection: &Connection,
    mut memory: MutexGuard<'_, Memory>,
    name: LaneName,
    event: Option<i64>,
    skip: bool,
) -> Written {
    let lane = memory.lanes.get_mut(&name).ok_or_else(|| unknown_lane(&name))?;
    let waits = lane.parked || lane.retry_at.is_some();
    let head = lane.head().cloned();
    // A lane that is parked and not read has nothing in memory: what it is at is unknown, and it simply goes
    // on.
    let right = event.is_none() || event == head.as_ref().map(|head| head.event.id);
    if !waits || !right || (skip && head.is_none()) {
        return Ok((Outcome::Resumed(false), nothing()));
    }
    if let Some(head) = head.filter(|_| skip) {
        let mut failure = lane.failure.clone().unwrap_or_default();
        failure.reason = format!("skipped by hand; {}", failure.reason);
        rows::insert_dead(connection, &name, &head.event, lane.attempts, &failure)?;
        rows::write_done(connection, &name, head.seq, head.event.id)?;
    } else {
        let before = (lane.parked, lane.retry_at);
        (lane.parked, lane.retry_at) = (false, None);
        let written = rows::write_lane(connection, &name, lane);
        (lane.parked, lane.retry_at) = before;
        written?;
    }
    let effect = move |memory: &mut Memory| {
        if let Some(lane) = memory.lanes.get_mut(&name) {
            if skip {
                lane.advance();
            }
            (lane.parked, lane.retry_at) = (false, None);
            lane.wake();
        }
    };
    Ok((Outcome::Resumed(true), Box::new(effect)))
}

fn pause(
    connection: &Connection,
    mut memory: MutexGuard<'_, Memory>,
    name: LaneName,
    paused: bool,
) -> Written {
    let lane = memory.lanes.get_mut(&name).ok_or_else(|| unknown_lane(&name))?;
    let before = std::mem::replace(&mut lane.paused, paused);
    let written = rows::write_lane(connection, &name, lane);
    lane.paused = before;
    written?;
    let effect = move |memory: &mut Memory| {
        if let Some(lane) = memory.lanes.get_mut(&name) {
            lane.paused = paused;
            lane.wake();
        }
    };
    Ok((Outcome::Nothing, Box::new(effect)))
}

fn state(connection: &Connection, memory: MutexGuard<'_, Memory>) -> Written {
    let now = Instant::now();
    let mut state = State::default();
    for (name, lane) in &memory.lanes {
        let waiting = if memory.is_behind(name) {
            rows::count(connection, &lane.site, lane.project, lane.done)?
        } else {
            0
        };
        state.lanes.extend(memory.describe(name, waiting, now));
    }
    state.lanes.sort_by(|one, other| one.name.cmp(&other.name));
    for (name, window) in &memory.windows {
        let site = SiteState { cursor: window.cursor(), missing: window.missing() };
        state.sites.insert(Arc::clone(name), site);
    }
    drop(memory);
    state.dead = connection.query_row("SELECT count(*) FROM dead", [], |row| row.get(0))?;
    state.events = connection.query_row("SELECT count(*) FROM event", [], |row| row.get(0))?;
    Ok((Outcome::State(state), nothing()))
}
