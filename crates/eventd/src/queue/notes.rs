//! What a worker notes about messages that it was given together.
//!
//! A file of a few pages: numbers of one byte each, which the worker writes through a mapping of the file
//! (`plugins.py`), and the messages, which the daemon writes. It is in the system's hands whatever becomes of
//! worker and daemon.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{LaneName, Message};

/// Where the numbers are, one byte each: how many messages are done, how many were begun, which callback of
/// the one that is running, whether no further one is to be begun.
const NUMBERS: usize = 4;
const BEGUN: u64 = 1;
const STOP: u64 = 3;

/// Length and checksum of the messages, and then those.
const LENGTH: usize = 8;
const CHECKSUM: usize = 16;
const MESSAGES: usize = 24;

/// The notes of one worker. The file is open only for moments: there may be thousands of lanes.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    state: Arc<str>,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many messages are done, from the first on.
    pub done: usize,
    /// How many were begun: one more, where one is running.
    pub begun: usize,
    /// Which callback of that one is running.
    pub callback: usize,
}

/// A message in the file: enough to know it again.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Noted {
    pub(super) lane: LaneName,
    pub(super) seq: i64,
    pub(super) site: Arc<str>,
    pub(super) id: i64,
}

#[derive(Deserialize, Serialize)]
struct Given {
    state: Arc<str>,
    messages: Vec<Noted>,
}

impl Notes {
    /// How many messages they can be about.
    pub const MOST: usize = 200;

    /// Notes of a new file, for messages of the state of this name.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &Path, name: &str, state: &Arc<str>) -> io::Result<Notes> {
        fs::create_dir_all(folder)?;
        let path = folder.join(name);
        // Another file than one that a worker of before may have mapped.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Notes { path, state: Arc::clone(state) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// These messages are about to be run, in this order; at most [`MOST`](Self::MOST).
    ///
    /// # Errors
    /// They cannot be written: there is no room on the disk.
    pub fn begin(&self, messages: &[&Message]) -> io::Result<()> {
        self.note(messages, 0)
    }

    /// This message is about to be run by itself: the worker notes nothing of it.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_alone(&self, message: &Message) -> io::Result<()> {
        self.note(&[message], 1)
    }

    /// Nothing is running any more, after so many that are done.
    pub fn rest(&self, done: usize) {
        // Where it cannot be written, the next start tells of one more than there was.
        let _ = self.write(&[u8::try_from(done).unwrap_or(u8::MAX)], BEGUN);
    }

    fn note(&self, messages: &[&Message], begun: u8) -> io::Result<()> {
        let noted = messages.iter().map(|message| Noted {
            lane: message.lane.clone(),
            seq: message.seq,
            site: Arc::clone(&message.event.site),
            id: message.event.id,
        });
        let given = Given { state: Arc::clone(&self.state), messages: noted.collect() };
        let given = serde_json::to_vec(&given)?;
        let (length, checksum) = (given.len() as u64, checksum(&given));
        let head = [[0, begun, 0, 0, 0, 0, 0, 0], length.to_le_bytes(), checksum.to_le_bytes()];
        let whole = [head.as_flattened(), &given].concat();
        self.write(&whole, 0)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(&self.path)?.write_all_at(bytes, at)
    }

    /// How far the worker is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut numbers = [0; NUMBERS];
        // A file that cannot be read says that nothing is done: it is run again.
        if File::open(&self.path).and_then(|file| file.read_exact_at(&mut numbers, 0)).is_err() {
            return Progress::default();
        }
        Progress::of(numbers)
    }

    /// Has the worker, should it be alive, begin nothing more. Returns how far it is.
    #[must_use]
    pub fn end(&self) -> Progress {
        // Where this cannot be written the worker has ended, or is about to be.
        let _ = self.write(&[1], STOP);
        self.progress()
    }
}

impl Progress {
    fn of([done, begun, callback, _]: [u8; NUMBERS]) -> Progress {
        Progress { done: done.into(), begun: begun.into(), callback: callback.into() }
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What a daemon that has ended has left in the notes of a worker.
#[derive(Debug)]
pub(super) struct Left {
    /// The messages that were done, in order.
    pub(super) done: Vec<Noted>,
    /// The one that was running.
    pub(super) running: Option<Noted>,
}

/// What the notes of a state say. None where the file says nothing certain.
pub(super) fn left(path: &Path, state: &str) -> Option<Left> {
    let whole = fs::read(path).ok()?;
    let number = |from: usize| Some(u64::from_le_bytes(whole.get(from..from + 8)?.try_into().ok()?));
    let progress = Progress::of(whole.get(..NUMBERS)?.try_into().ok()?);
    let length = usize::try_from(number(LENGTH)?).ok()?;
    let given = whole.get(MESSAGES..MESSAGES.checked_add(length)?)?;
    if checksum(given) != number(CHECKSUM)? {
        return None;
    }
    let given: Given = serde_json::from_slice(given).ok()?;
    if *given.state != *state {
        return None;
    }
    let mut messages = given.messages.into_iter();
    let done = messages.by_ref().take(progress.done).collect();
    let running = messages.next().filter(|_| progress.begun > progress.done);
    Some(Left { done, running })
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::Event;

    fn message(seq: i64) -> Message {
        let body = RawValue::from_string(format!("{{\"id\": {}}}", seq * 10)).unwrap();
        let event = Arc::new(Event::new(&Arc::from("shotgun"), body).unwrap());
        Message { lane: LaneName(Arc::from("shotgun:/a.py")), seq, event, attempts: 0, begun: false }
    }

    #[test]
    fn what_was_done_is_known_afterwards_to_the_state_that_it_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let state: Arc<str> = Arc::from("one");
        let notes = Notes::create(folder.path(), "plugins", &state).unwrap();
        let messages: Vec<Message> = (1..=5).map(message).collect();
        notes.begin(&messages.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(notes.progress(), Progress::default());
        notes.write(&[2, 3, 1], 0).unwrap();
        assert_eq!(notes.end(), Progress { done: 2, begun: 3, callback: 1 });
        let seqs = |state| {
            let left = left(notes.path(), state)?;
            Some((left.done.iter().map(|one| one.seq).collect::<Vec<_>>(), left.running.map(|one| one.seq)))
        };
        assert_eq!(seqs("one"), Some((vec![1, 2], Some(3))));
        assert_eq!(seqs("another"), None);
        notes.rest(2);
        assert_eq!(seqs("one"), Some((vec![1, 2], None)));
        notes.begin_alone(&message(7)).unwrap();
        assert_eq!(seqs("one"), Some((vec![], Some(7))));
        notes.rest(0);
        assert_eq!(seqs("one"), Some((vec![], None)));
        // Written by half.
        notes.write(b"x", MESSAGES as u64 + 9).unwrap();
        assert_eq!(seqs("one"), None);
    }
}
