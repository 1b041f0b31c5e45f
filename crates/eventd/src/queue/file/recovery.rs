//! What workers had done when the daemon ended, before that was written.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, Result, params};

use super::rows;
use crate::queue::notes::{self, Noted};

/// Takes over what the notes of a folder say, and removes them.
pub(super) fn take_notes(connection: &mut Connection, folder: &Path, state: &str) -> Result<()> {
    let files: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => return Ok(()),
    };
    let transaction = connection.transaction()?;
    let mut count = 0;
    for file in &files {
        for message in notes::done(file, state).unwrap_or_default() {
            count += usize::from(take(&transaction, &message)?);
        }
    }
    transaction.commit()?;
    if count > 0 {
        tracing::info!(events = count, "what was done when the daemon ended is not done again");
    }
    for file in &files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "a worker's notes of before cannot be removed");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Has a lane have a message behind it, where the message is still before it.
fn take(connection: &Connection, message: &Noted) -> Result<bool> {
    let mut known = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM lane WHERE name = ?1 AND done < ?2)
            AND EXISTS (SELECT 1 FROM event WHERE seq = ?2 AND site = ?3 AND id = ?4)",
    )?;
    let known: bool = known
        .query_row(params![&*message.lane.0, message.seq, &*message.site, message.id], |row| row.get(0))?;
    if known {
        rows::write_done(connection, &message.lane, message.seq, message.id)?;
    }
    Ok(known)
}
