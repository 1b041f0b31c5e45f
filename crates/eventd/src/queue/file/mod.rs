//! The queue in one file, for one machine: SQLite with a write-ahead log.
//!
//! What is written: each fetch of the source (events, cursor, missing ids) in one transaction, each outcome
//! in one, and what waits together in the same. All but plain successes have reached the disk when they are
//! confirmed. A success has reached the operating system, so that no crash of the daemon loses it, and the
//! disk 20 ms later: a power failure in between has that event run once more, and a slow disk does not hold
//! up every event of every lane.

mod jobs;
mod memory;
mod place;
mod recovery;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

pub use self::place::network_file_system;

use self::jobs::{Job, Outcome};
use self::memory::{Found, Memory};
use self::writer::{Order, Writer};
use super::{
    Batch, BrokenOff, DeadLetter, Lane, LaneName, Message, Notes, Queue, QueueError, State, Verdict,
};
use crate::event::Event;
use crate::source::window::Window;

/// The queue in a file.
#[derive(Debug)]
pub struct FileQueue {
    orders: Mutex<Sender<Order>>,
    memory: Arc<Mutex<Memory>>,
    /// Whose notes those in the folder are.
    state: Arc<str>,
    notes: PathBuf,
    broken_off: Option<BrokenOff>,
}

impl FileQueue {
    /// Opens the state in a file, or makes it, and takes its lock.
    ///
    /// # Errors
    /// Another daemon has it, it is damaged or of a newer version, or the folder cannot be written.
    pub fn open(path: &Path) -> Result<FileQueue, QueueError> {
        let lock = schema::Lock::take(path)?;
        let mut connection = schema::open(path)?;
        let state: Arc<str> = schema::name(&connection).map_err(|error| schema::told(path, &error))?.into();
        let notes = notes_folder(path);
        let told = |error| schema::told(path, &error);
        let recovered = recovery::take_notes(&mut connection, &notes, &state).map_err(told)?;
        let broken_off = recovery::broken_off(&connection, recovered).map_err(told)?;
        let loaded = rows::load(&connection).map_err(|error| schema::told(path, &error))?;
        let memory = Arc::new(Mutex::new(loaded));
        let (sender, orders) = mpsc::channel();
        let writer = Writer {
            path: path.to_owned(),
            connection,
            memory: Arc::clone(&memory),
            orders,
            durable: true,
            runs: false,
            lock,
            is: std::fs::metadata(path).ok().map(|found| schema::id(&found)),
            told: false,
        };
        std::thread::Builder::new()
            .name("sgtk-eventd-state".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| QueueError::Write {
                path: path.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(FileQueue { orders: Mutex::new(sender), memory, state, notes, broken_off })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }

    /// Waits for messages: at least one.
    async fn find_next(&self, lanes: &[LaneName], most: usize) -> Result<Vec<Message>, QueueError> {
        let reader = Arc::new(Notify::new());
        loop {
            let found = {
                let mut memory = self.memory();
                if memory.closed {
                    return Err(QueueError::Closed);
                }
                memory.next(lanes, &reader, Instant::now(), most)
            };
            match found {
                Found::Messages(messages) => return Ok(messages),
                Found::Behind(lane) => drop(self.order(Job::Fill(lane)).await?),
                Found::Nothing(None) => reader.notified().await,
                Found::Nothing(Some(due)) => {
                    // Whichever comes first.
                    let _ = tokio::time::timeout_at(due.into(), reader.notified()).await;
                }
            }
        }
    }

    async fn order(&self, job: Job) -> Result<Outcome, QueueError> {
        let (sender, answer) = oneshot::channel();
        let sent = self.orders.lock().send((job, sender));
        if sent.is_err() {
            return Err(QueueError::Closed);
        }
        answer.await.unwrap_or(Err(QueueError::Closed))
    }
}

/// The folder of the workers' notes, beside the state.
fn notes_folder(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".notes");
    PathBuf::from(name)
}

#[async_trait]
impl Queue for FileQueue {
    async fn window(&self, site: &str) -> Result<Option<Window>, QueueError> {
        Ok(self.memory().windows.get(site).cloned())
    }

    async fn append(&self, batch: Batch) -> Result<usize, QueueError> {
        match self.order(Job::Append(batch)).await? {
            Outcome::Appended(count) => Ok(count),
            _ => Err(QueueError::Closed),
        }
    }

    async fn open(&self, lanes: Vec<Lane>) -> Result<(), QueueError> {
        self.order(Job::Open(lanes)).await.map(drop)
    }

    async fn close(&self, lanes: &[LaneName]) -> Result<(), QueueError> {
        self.order(Job::Close(lanes.to_vec())).await.map(drop)
    }

    async fn next(&self, lanes: &[LaneName]) -> Result<Message, QueueError> {
        self.find_next(lanes, 1).await?.pop().ok_or(QueueError::Closed)
    }

    async fn take(&self, lanes: &[LaneName], most: usize) -> Result<Vec<Message>, QueueError> {
        self.find_next(lanes, most).await
    }

    fn notes(&self, worker: &str) -> Option<Notes> {
        let file: String = worker.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut hasher = DefaultHasher::new();
        worker.hash(&mut hasher);
        let name = format!("{file}-{:08x}", hasher.finish() as u32);
        match Notes::create(&self.notes, &name, &self.state) {
            Ok(notes) => Some(notes),
            Err(error) => {
                let folder = self.notes.display();
                tracing::warn!(%folder, %error, "workers cannot keep notes; their events are run one by one");
                None
            }
        }
    }

    async fn settle_all(&self, messages: &[Message], verdict: Verdict) -> Result<(), QueueError> {
        if messages.is_empty() {
            return Ok(());
        }
        if verdict == Verdict::Passed {
            let mut memory = self.memory();
            for message in messages {
                if let Some(lane) = memory.at(message) {
                    lane.advance();
                    lane.unwritten = true;
                }
            }
            return Ok(());
        }
        self.order(Job::SettleAll(messages.to_vec())).await.map(drop)
    }

    async fn begin(&self, message: &Message) -> Result<(), QueueError> {
        self.order(Job::Begin(message.clone())).await.map(drop)
    }

    async fn progress(&self, _message: &Message) -> Result<(), QueueError> {
        Ok(())
    }

    async fn settle(&self, message: &Message, verdict: Verdict) -> Result<(), QueueError> {
        if verdict == Verdict::Passed {
            // Only noted: it is written with the next thing that has to be.
            let mut memory = self.memory();
            if let Some(lane) = memory.at(message) {
                lane.advance();
                lane.unwritten = true;
                return Ok(());
            }
        }
        self.order(Job::Settle(message.clone(), verdict)).await.map(drop)
    }

    async fn resume(&self, lane: &LaneName, event: Option<i64>, skip: bool) -> Result<bool, QueueError> {
        match self.order(Job::Resume { lane: lane.clone(), event, skip }).await? {
            Outcome::Resumed(whether) => Ok(whether),
            _ => Err(QueueError::Closed),
        }
    }

    async fn pause(&self, lane: &LaneName, paused: bool) -> Result<(), QueueError> {
        self.order(Job::Pause(lane.clone(), paused)).await.map(drop)
    }

    async fn replay(&self, event: Event, lanes: &[LaneName]) -> Result<(), QueueError> {
        self.order(Job::Replay(event, lanes.to_vec())).await.map(drop)
    }

    async fn find(&self, site: &str, event: i64) -> Result<Option<Event>, QueueError> {
        match self.order(Job::Find(Arc::from(site), event)).await? {
            Outcome::Event(event) => Ok(event),
            _ => Err(QueueError::Closed),
        }
    }

    async fn dead(&self, most: usize) -> Result<Vec<DeadLetter>, QueueError> {
        match self.order(Job::Dead(most)).await? {
            Outcome::Dead(letters) => Ok(letters),
            _ => Err(QueueError::Closed),
        }
    }

    async fn forget_dead(&self, event: i64, lane: Option<&LaneName>) -> Result<Vec<LaneName>, QueueError> {
        match self.order(Job::ForgetDead(event, lane.cloned())).await? {
            Outcome::Lanes(lanes) => Ok(lanes),
            _ => Err(QueueError::Closed),
        }
    }

    async fn state(&self) -> Result<State, QueueError> {
        match self.order(Job::State).await? {
            Outcome::State(state) => Ok(state),
            _ => Err(QueueError::Closed),
        }
    }

    fn broken_off(&self) -> Option<BrokenOff> {
        self.broken_off.clone()
    }

    async fn begin_run(&self) -> Result<(), QueueError> {
        self.order(Job::BeginRun).await.map(drop)
    }

    async fn shut_down(&self) -> Result<(), QueueError> {
        match self.order(Job::ShutDown).await {
            Err(QueueError::Closed) => Ok(()),
            other => other.map(drop),
        }
    }
}
