//! What workers had done when the daemon ended, before that was written; and whether it ended in good order.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Result, params};
use serde::{Deserialize, Serialize};

use super::rows;
use crate::queue::notes::{self, Noted};
use crate::queue::{BrokenOff, LaneName};

/// What the daemon before has left.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// How many messages were done and not written down yet.
    pub(super) done: usize,
    /// What was running.
    pub(super) running: Vec<(LaneName, i64)>,
}

/// Takes over what the notes of a folder say, and removes them.
pub(super) fn take_notes(connection: &mut Connection, folder: &Path, state: &str) -> Result<Recovered> {
    let files: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => return Ok(Recovered::default()),
    };
    let transaction = connection.transaction()?;
    let mut recovered = Recovered::default();
    let mut running = Vec::new();
    for left in files.iter().filter_map(|file| notes::left(file, state)) {
        for message in left.done {
            recovered.done += usize::from(take(&transaction, &message)?);
        }
        running.extend(left.running);
    }
    for message in running {
        if is_before(&transaction, &message)? {
            recovered.running.push((message.lane, message.id));
        }
    }
    transaction.commit()?;
    recovered.running.sort();
    for file in &files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "a worker's notes of before cannot be removed");
            }
            _ => {}
        }
    }
    Ok(recovered)
}

/// Has a lane have a message behind it, where the message is still before it.
fn take(connection: &Connection, message: &Noted) -> Result<bool> {
    let known = is_before(connection, message)?;
    if known {
        rows::write_done(connection, &message.lane, message.seq, message.id)?;
    }
    Ok(known)
}

/// Whether a lane has a message before it.
fn is_before(connection: &Connection, message: &Noted) -> Result<bool> {
    let mut known = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM lane WHERE name = ?1 AND done < ?2)
            AND EXISTS (SELECT 1 FROM event WHERE seq = ?2 AND site = ?3 AND id = ?4)",
    )?;
    known.query_row(params![&*message.lane.0, message.seq, &*message.site, message.id], |row| row.get(0))
}

/// Under what name it is written down who runs.
const RUN: &str = "run";

/// A run, as it is written down while it lasts.
#[derive(Debug, Deserialize, Serialize)]
struct Run {
    process: u32,
    since: String,
    /// Which start of the machine it is.
    boot: Option<String>,
    /// What was found of it when it had been broken off, as the notes are taken once.
    #[serde(default)]
    done: usize,
    #[serde(default)]
    running: Vec<(LaneName, i64)>,
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// A daemon runs from now on.
pub(super) fn begin_run(connection: &Connection) -> Result<()> {
    let since = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let run = Run { process: std::process::id(), since, boot: boot(), done: 0, running: Vec::new() };
    write_run(connection, &run)
}

fn write_run(connection: &Connection, run: &Run) -> Result<()> {
    let run = serde_json::to_string(run).unwrap_or_default();
    connection.execute("INSERT OR REPLACE INTO about VALUES (?1, ?2)", params![RUN, run]).map(drop)
}

/// It has ended in good order.
pub(super) fn end_run(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM about WHERE name = ?1", [RUN]).map(drop)
}

/// The run before, where it did not end in good order.
pub(super) fn broken_off(connection: &Connection, recovered: Recovered) -> Result<Option<BrokenOff>> {
    let found: Option<String> = connection
        .query_row("SELECT value FROM about WHERE name = ?1", [RUN], |row| row.get(0))
        .optional()?;
    let Some(mut run) = found.and_then(|text| serde_json::from_str::<Run>(&text).ok()) else {
        return Ok(None);
    };
    if recovered.done > 0 || !recovered.running.is_empty() {
        run.done += recovered.done;
        run.running.extend(recovered.running);
        write_run(connection, &run)?;
    }
    Ok(Some(BrokenOff {
        process: run.process,
        since: run.since,
        restarted: run.boot.is_some() && run.boot != boot(),
        done: run.done,
        running: run.running,
    }))
}
