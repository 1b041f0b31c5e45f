//! The file: opening it, its version, its lock.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use rustix::fs::{FlockOperation, flock};

use crate::queue::QueueError;

/// The version of what is in the file.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE site (
    name TEXT PRIMARY KEY,
    window TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL,
    id INTEGER NOT NULL,
    project INTEGER,
    late INTEGER NOT NULL,
    -- JSON list of the lanes that it is for; null for all.
    lanes TEXT,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX event_once ON event (site, id) WHERE lanes IS NULL;
CREATE INDEX event_project ON event (site, project, seq);
CREATE TABLE lane (
    name TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    project INTEGER,
    -- All events up to this place are done or passed.
    done INTEGER NOT NULL,
    -- The id of the last one.
    last_id INTEGER NOT NULL,
    -- Events up to this id are passed, but for those of the list.
    floor INTEGER NOT NULL,
    wanted TEXT NOT NULL,
    -- Of the event that it is at: the try that was begun, how many there were, when the next one is due (Unix time in ms).
    begun INTEGER,
    attempts INTEGER NOT NULL,
    retry_at INTEGER,
    parked INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    failure TEXT,
    -- Unix time in seconds since which nobody reads it.
    closed INTEGER
) WITHOUT ROWID;
CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lane TEXT NOT NULL,
    site TEXT NOT NULL,
    event INTEGER NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at TEXT NOT NULL,
    failure TEXT NOT NULL
);
CREATE INDEX dead_event ON dead (event);
";

/// The lock on a state. It ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the state at `path`: a file beside it, as SQLite's own locks come and go.
    pub(super) fn take(path: &Path) -> Result<Lock, QueueError> {
        let name = lock_path(path);
        let refused = |error: std::io::Error| QueueError::Write {
            path: name.display().to_string(),
            reason: error.to_string(),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(refused)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(refused)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder.to_owned() };
            return Err(QueueError::InUse { path: path.display().to_string(), holder });
        }
        // For the message above alone: a disk that is full does not matter.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { file })
    }

    /// The lock of a state that is written anew: the same, where its file is there still.
    pub(super) fn keep(&mut self, path: &Path) -> Result<(), QueueError> {
        let own = self.file.metadata().ok().map(|found| id(&found));
        let there = std::fs::metadata(lock_path(path)).ok().map(|found| id(&found));
        if own.is_none() || own != there {
            *self = Lock::take(path)?;
        }
        Ok(())
    }
}

/// Which file it is.
pub(super) fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Writes what a connection has as a state at `path`, where there is none any more, and opens that.
pub(super) fn write_anew(connection: &Connection, path: &Path) -> Result<Connection, QueueError> {
    let sqlite = |error: rusqlite::Error| told(path, &error);
    let refused = |error| refused(path, &error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(refused)?;
    }
    let new = remove_new(path)?;
    connection.execute("VACUUM INTO ?1", [new.to_string_lossy()]).map_err(sqlite)?;
    // What SQLite kept beside the old one is no part of the new one.
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(path, suffix)).map_err(refused)?;
    }
    put_in_place(&new, path)?;
    connect(path).map_err(sqlite)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The name under which a state is made, with nothing there of an earlier try.
fn remove_new(path: &Path) -> Result<PathBuf, QueueError> {
    let new = with_suffix(path, ".new");
    for suffix in ["", "-wal", "-shm"] {
        remove(&with_suffix(&new, suffix)).map_err(|error| refused(path, &error))?;
    }
    Ok(new)
}

fn put_in_place(new: &Path, path: &Path) -> Result<(), QueueError> {
    let refused = |error| refused(path, &error);
    std::fs::rename(new, path).map_err(refused)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused)?;
    }
    Ok(())
}

fn lock_path(path: &Path) -> PathBuf {
    with_suffix(path, ".lock")
}

/// What went wrong, as the person who reads the log wants it.
pub(super) fn told(path: &Path, error: &rusqlite::Error) -> QueueError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let name = path.display().to_string();
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => QueueError::Damaged { path: name, reason },
        Some(_) => QueueError::Write { path: name, reason },
        // What is in a column is not what was written there.
        None => QueueError::Damaged { path: name, reason },
    }
}

/// The name of the state, by which it is told from another one at the same place: made when it is first asked
/// for.
pub(super) fn name(connection: &Connection) -> rusqlite::Result<String> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
         INSERT OR IGNORE INTO about VALUES ('state', hex(randomblob(16)))",
    )?;
    connection.query_row("SELECT value FROM about WHERE name = 'state'", [], |row| row.get(0))
}

/// Opens the state, or makes it. To be called with its lock.
pub(super) fn open(path: &Path) -> Result<Connection, QueueError> {
    let sqlite = |error: rusqlite::Error| told(path, &error);
    let refused = |error| refused(path, &error);
    if !path.try_exists().map_err(refused)? {
        make(path)?;
    }
    let connection = connect(path).map_err(sqlite)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
    if found > VERSION {
        return Err(QueueError::Newer { path: path.display().to_string(), found, known: VERSION });
    }
    if found == 0 {
        let other: Option<String> = connection
            .query_row("SELECT name FROM sqlite_master LIMIT 1", [], |row| row.get(0))
            .optional()
            .map_err(sqlite)?;
        let reason = match other {
            Some(table) => format!("it is another program's database (it has '{table}' and no version)"),
            // It was made whole: whatever has emptied it, events would be passed over without a word.
            None => "it is empty".to_owned(),
        };
        return Err(QueueError::Damaged { path: path.display().to_string(), reason });
    }
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
    if check != "ok" {
        return Err(QueueError::Damaged { path: path.display().to_string(), reason: check });
    }
    Ok(connection)
}

fn refused(path: &Path, error: &std::io::Error) -> QueueError {
    QueueError::Write { path: path.display().to_string(), reason: error.to_string() }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // One writer, many small transactions: the log is appended to, and read back on the next start whatever
    // happened.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}

/// Makes a state under another name, and has it in its place once it is whole: so one that is empty was
/// emptied, and is not one whose making was broken off.
fn make(path: &Path) -> Result<(), QueueError> {
    let sqlite = |error: rusqlite::Error| told(path, &error);
    let new = remove_new(path)?;
    let mut connection = connect(&new).map_err(sqlite)?;
    let transaction = connection.transaction().map_err(sqlite)?;
    transaction.execute_batch(TABLES).map_err(sqlite)?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)?;
    // What is in its log goes into the file.
    connection.close().map_err(|(_, error)| sqlite(error))?;
    put_in_place(&new, path)
}
