//! The rows of the tables.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::value::RawValue;

use super::memory::{LaneMemory, Memory, Placed};
use crate::event::Event;
use crate::queue::{DeadLetter, Failure, LaneName};
use crate::source::window::Window;

type Result<T> = rusqlite::Result<T>;

/// Milliseconds of Unix time.
pub(super) fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn bad(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|error| bad(index, error))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    // Text, numbers and lists of ours: there is nothing that JSON has not.
    serde_json::to_string(value).unwrap_or_default()
}

/// All that is kept in memory.
pub(super) fn load(connection: &Connection) -> Result<Memory> {
    let mut memory = Memory::default();
    let end: Option<i64> = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'event'", [], |row| row.get(0))
        .optional()?;
    memory.end = end.unwrap_or(0);
    let mut sites = connection.prepare("SELECT name, window FROM site")?;
    let windows = sites.query_map([], |row| Ok((row.get::<_, String>(0)?, json::<Window>(row, 1)?)))?;
    memory.windows = windows
        .map(|row| row.map(|(name, window)| (Arc::from(name), window)))
        .collect::<Result<HashMap<_, _>>>()?;
    let mut lanes = connection.prepare(
        "SELECT name, site, project, done, last_id, floor, wanted, begun, attempts, retry_at, parked, paused, failure
         FROM lane",
    )?;
    let (now, unix) = (Instant::now(), unix_ms());
    let rows = lanes.query_map([], |row| {
        let mut lane = LaneMemory::new(Arc::from(row.get::<_, String>(1)?), row.get(2)?, row.get(3)?);
        lane.last_id = row.get(4)?;
        lane.floor = row.get(5)?;
        lane.wanted = json::<BTreeSet<i64>>(row, 6)?;
        lane.begun = row.get(7)?;
        lane.attempts = row.get(8)?;
        let retry_at: Option<i64> = row.get(9)?;
        // A clock that was set back keeps nothing waiting for longer than the longest pause.
        let longest = crate::delivery::LONGEST.as_millis() as i64;
        lane.retry_at = retry_at.map(|at| now + Duration::from_millis((at - unix).clamp(0, longest) as u64));
        lane.parked = row.get(10)?;
        lane.paused = row.get(11)?;
        lane.failure = row
            .get::<_, Option<String>>(12)?
            .map(|text| serde_json::from_str::<Failure>(&text).map_err(|error| bad(12, error)))
            .transpose()?;
        Ok((LaneName(Arc::from(row.get::<_, String>(0)?)), lane))
    })?;
    memory.lanes = rows.collect::<Result<HashMap<_, _>>>()?;
    Ok(memory)
}

/// The statement that reads events, by the index of projects or by their place: without the sign SQLite would
/// sort all events of the site each time.
fn reading(project: Option<i64>) -> &'static str {
    match project {
        Some(_) => {
            "SELECT seq, id, project, late, lanes, body FROM event
             WHERE site = ?1 AND seq > ?2 AND project = ?3 ORDER BY seq LIMIT ?4"
        }
        None => {
            "SELECT seq, id, project, late, lanes, body FROM event
             WHERE +site = ?1 AND seq > ?2 AND ?3 IS NULL ORDER BY seq LIMIT ?4"
        }
    }
}

/// The next events of a lane's subject after a place, at most `most`, and whether these are all.
pub(super) fn read(
    connection: &Connection,
    site: &Arc<str>,
    project: Option<i64>,
    after: i64,
    most: usize,
) -> Result<(Vec<Placed>, bool)> {
    let mut statement = connection.prepare_cached(reading(project))?;
    let rows = statement.query_map(params![&**site, after, project, most], |row| placed(site, row))?;
    let read = rows.collect::<Result<Vec<_>>>()?;
    let complete = read.len() < most;
    Ok((read, complete))
}

fn placed(site: &Arc<str>, row: &Row<'_>) -> Result<Placed> {
    let body = RawValue::from_string(row.get(5)?).map_err(|error| bad(5, error))?;
    let event =
        Event { site: Arc::clone(site), id: row.get(1)?, project: row.get(2)?, late: row.get(3)?, body };
    let lanes = row
        .get::<_, Option<String>>(4)?
        .map(|text| serde_json::from_str::<Vec<LaneName>>(&text).map_err(|error| bad(4, error)))
        .transpose()?;
    Ok(Placed { seq: row.get(0)?, event: Arc::new(event), lanes: lanes.map(Arc::from) })
}

/// How many events of a lane's subject there are after a place.
pub(super) fn count(connection: &Connection, site: &str, project: Option<i64>, after: i64) -> Result<u64> {
    let statement = match project {
        Some(_) => "SELECT count(*) FROM event WHERE site = ?1 AND seq > ?2 AND project = ?3",
        None => "SELECT count(*) FROM event WHERE site = ?1 AND seq > ?2 AND ?3 IS NULL",
    };
    connection.prepare_cached(statement)?.query_row(params![site, after, project], |row| row.get(0))
}

/// Writes an event. None where it is there already.
pub(super) fn insert_event(
    connection: &Connection,
    event: Event,
    lanes: Option<&[LaneName]>,
) -> Result<Option<Placed>> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO event (site, id, project, late, lanes, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let list = lanes.map(|lanes| to_json(&lanes));
    let written = statement.execute(params![
        &*event.site,
        event.id,
        event.project,
        event.late,
        list,
        event.body.get()
    ])?;
    if written == 0 {
        return Ok(None);
    }
    let seq = connection.last_insert_rowid();
    Ok(Some(Placed { seq, event: Arc::new(event), lanes: lanes.map(Arc::from) }))
}

pub(super) fn write_window(connection: &Connection, site: &str, window: &Window) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO site (name, window) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET window = ?2",
    )?;
    statement.execute(params![site, to_json(window)]).map(drop)
}

/// Writes a lane as it is in memory, as a new one or over the old.
pub(super) fn write_lane(connection: &Connection, name: &LaneName, lane: &LaneMemory) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO lane (name, site, project, done, last_id, floor, wanted, begun, attempts, retry_at, parked, paused,
                           failure, closed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, NULL)
         ON CONFLICT (name) DO UPDATE SET done = ?4, last_id = ?5, floor = ?6, wanted = ?7, begun = ?8, attempts = ?9,
             retry_at = ?10, parked = ?11, paused = ?12, failure = ?13, closed = NULL",
    )?;
    let now = Instant::now();
    let retry_at = lane.retry_at.map(|at| unix_ms() + at.saturating_duration_since(now).as_millis() as i64);
    statement
        .execute(params![
            &*name.0,
            &*lane.site,
            lane.project,
            lane.done,
            lane.last_id,
            lane.floor,
            to_json(&lane.wanted),
            lane.begun,
            lane.attempts,
            retry_at,
            lane.parked,
            lane.paused,
            lane.failure.as_ref().map(to_json),
        ])
        .map(drop)
}

/// Writes that a lane has done an event: the common case, and so a statement of its own.
pub(super) fn write_done(connection: &Connection, name: &LaneName, done: i64, last_id: i64) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE lane SET done = ?2, last_id = max(last_id, ?3), begun = NULL, attempts = 0, retry_at = NULL, parked = 0,
                failure = NULL
         WHERE name = ?1",
    )?;
    statement.execute(params![&*name.0, done, last_id]).map(drop)
}

pub(super) fn write_closed(connection: &Connection, name: &LaneName, done: i64) -> Result<()> {
    let mut statement =
        connection.prepare_cached("UPDATE lane SET done = ?2, closed = ?3 WHERE name = ?1")?;
    statement.execute(params![&*name.0, done, unix_ms() / 1000]).map(drop)
}

/// Forgets lanes that nobody has read since a time, in seconds of Unix time. Returns their names.
pub(super) fn forget_closed(connection: &Connection, before: i64) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached("DELETE FROM lane WHERE closed < ?1 RETURNING name")?;
    statement.query_map([before], |row| row.get(0))?.collect()
}

pub(super) fn insert_dead(
    connection: &Connection,
    lane: &LaneName,
    event: &Event,
    attempts: u32,
    failure: &Failure,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO dead (lane, site, event, body, attempts, at, failure) VALUES (?1, ?2, ?3, ?4, ?5, ?6, \
         ?7)",
    )?;
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    statement
        .execute(params![&*lane.0, &*event.site, event.id, event.body.get(), attempts, at, to_json(failure)])
        .map(drop)
}

pub(super) fn dead(connection: &Connection, most: usize) -> Result<Vec<DeadLetter>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, lane, event, attempts, at, failure FROM dead ORDER BY number DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([most], |row| {
        Ok(DeadLetter {
            number: row.get(0)?,
            lane: LaneName(Arc::from(row.get::<_, String>(1)?)),
            event: row.get(2)?,
            attempts: row.get(3)?,
            at: row.get(4)?,
            failure: json(row, 5)?,
        })
    })?;
    rows.collect()
}

pub(super) fn forget_dead(
    connection: &Connection,
    event: i64,
    lane: Option<&LaneName>,
) -> Result<Vec<LaneName>> {
    let mut statement = connection
        .prepare_cached("DELETE FROM dead WHERE event = ?1 AND (?2 IS NULL OR lane = ?2) RETURNING lane")?;
    let rows = statement.query_map(params![event, lane.map(|lane| &*lane.0)], |row| {
        Ok(LaneName(Arc::from(row.get::<_, String>(0)?)))
    })?;
    rows.collect()
}

/// An event that is kept, or that of a dead letter.
pub(super) fn find(connection: &Connection, site: &Arc<str>, event: i64) -> Result<Option<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM event WHERE site = ?1 AND id = ?2
         UNION ALL SELECT body FROM dead WHERE site = ?1 AND event = ?2 LIMIT 1",
    )?;
    let body: Option<String> = statement.query_row(params![&**site, event], |row| row.get(0)).optional()?;
    body.map(|body| {
        let body = RawValue::from_string(body).map_err(|error| bad(0, error))?;
        Event::new(site, body).map_err(|error| bad(0, error))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_lane_sorts_nothing_and_looks_at_its_own_events_alone() {
        let folder = tempfile::tempdir().unwrap();
        let connection = super::super::schema::open(&folder.path().join("state.db")).unwrap();
        let plan = |project: Option<i64>| {
            let sql = format!("EXPLAIN QUERY PLAN {}", reading(project));
            let mut statement = connection.prepare(&sql).unwrap();
            let steps =
                statement.query_map(params!["shotgun", 0, project, 10], |row| row.get::<_, String>(3));
            steps.unwrap().collect::<Result<Vec<_>>>().unwrap()
        };
        let [all] = &plan(None)[..] else { panic!("{:?}", plan(None)) };
        assert!(all.contains("INTEGER PRIMARY KEY (rowid>?)"), "{all}");
        let [one] = &plan(Some(7))[..] else { panic!("{:?}", plan(Some(7))) };
        assert!(one.contains("event_project (site=? AND project=? AND"), "{one}");
    }
}
