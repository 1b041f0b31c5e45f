//! The one thread that has the file. What waits together is written in one transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::jobs::{Effect, Job, Outcome};
use super::memory::Memory;
use super::schema::{Lock, id, told, write_anew};
use super::{recovery, rows};
use crate::queue::{LaneName, QueueError};

/// How long what was done may be written without having reached the disk itself. A power failure takes that
/// back, and it is done again; a crash of the daemon takes nothing back.
const UNSYNCED: Duration = Duration::from_millis(20);

/// How many jobs one transaction has.
const GROUP: usize = 256;

/// How often what all lanes have behind them is deleted.
const PRUNE: Duration = Duration::from_secs(2);

/// How long the place of a lane is kept that nobody reads.
const KEEP_CLOSED: i64 = 7 * 86_400;

/// A job with the one who waits for it.
pub(super) type Order = (Job, oneshot::Sender<Result<Outcome, QueueError>>);

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) memory: Arc<Mutex<Memory>>,
    pub(super) orders: Receiver<Order>,
    /// Whether commits wait for the disk at present.
    pub(super) durable: bool,
    /// Whether it is written down that a daemon runs.
    pub(super) runs: bool,
    /// Held as long as the thread lives.
    pub(super) lock: Lock,
    /// Which file the state is, and whether it was told that it is another one.
    pub(super) is: Option<(u64, u64)>,
    pub(super) told: bool,
}

impl Writer {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }

    /// Works until it is told to end, or nobody can give orders any more.
    pub(super) fn run(mut self) {
        let mut unsynced: Option<Instant> = None;
        let mut pruned = Instant::now();
        let mut waiting: Option<Order> = None;
        loop {
            let first = match waiting.take() {
                Some(order) => Ok(order),
                None => {
                    let until = unsynced.map_or(pruned + PRUNE, |since| since + UNSYNCED);
                    self.orders.recv_timeout(until.saturating_duration_since(Instant::now()))
                }
            };
            match first {
                Ok((Job::ShutDown, answer)) => {
                    let ended = self.prune().and_then(|()| self.end_run()).and_then(|()| self.sync());
                    self.memory().closed = true;
                    self.wake_all();
                    // Whoever hears the answer may open the file at once.
                    let Writer { connection, lock, .. } = self;
                    drop(connection);
                    drop(lock);
                    let _ = answer.send(ended.map(|()| Outcome::Nothing));
                    return;
                }
                Ok(first) => {
                    let (group, next) = self.gather(first);
                    waiting = next;
                    let durable = group.iter().any(|(job, _)| job.is_durable());
                    self.runs |= group.iter().any(|(job, _)| matches!(job, Job::BeginRun));
                    if self.work(group, durable) {
                        unsynced = if durable { None } else { unsynced.or_else(|| Some(Instant::now())) };
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.prune().and_then(|()| self.sync());
                    return;
                }
            }
            if unsynced.is_some_and(|since| since.elapsed() >= UNSYNCED) {
                unsynced = None;
                if let Err(error) = self.sync() {
                    tracing::error!(%error, "the state may not have reached the disk");
                }
            }
            if pruned.elapsed() >= PRUNE {
                pruned = Instant::now();
                self.keep_file();
                if let Err(error) = self.prune() {
                    tracing::error!(%error, "the state cannot be tidied");
                }
            }
        }
    }

    /// What waits as well and can go into the same transaction: of each lane one job, as what a job does
    /// depends on what the one before has made of the lane.
    fn gather(&self, first: Order) -> (Vec<Order>, Option<Order>) {
        let mut lanes: Vec<LaneName> = first.0.lanes();
        let alone = first.0.is_alone();
        let mut group = vec![first];
        while !alone && group.len() < GROUP {
            let Ok(order) = self.orders.try_recv() else { break };
            let touched = order.0.lanes();
            if order.0.is_alone() || touched.iter().any(|lane| lanes.contains(lane)) {
                return (group, Some(order));
            }
            lanes.extend(touched);
            group.push(order);
        }
        (group, None)
    }

    /// Does the jobs in one transaction; where that fails none is done. Whether it was written.
    fn work(&mut self, group: Vec<Order>, durable: bool) -> bool {
        let (jobs, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let written = self.transaction(jobs, durable);
        match written {
            Ok(results) => {
                for (result, answer) in results.into_iter().zip(answers) {
                    let _ = answer.send(result);
                }
                true
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
                false
            }
        }
    }

    fn transaction(
        &mut self,
        jobs: Vec<Job>,
        durable: bool,
    ) -> Result<Vec<Result<Outcome, QueueError>>, QueueError> {
        let path = self.path.clone();
        let sqlite = |error: rusqlite::Error| told(&path, &error);
        if durable != self.durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level).map_err(sqlite)?;
            self.durable = durable;
        }
        let transaction = self.connection.transaction().map_err(sqlite)?;
        let mut results = Vec::with_capacity(jobs.len());
        let mut effects: Vec<Effect> = Vec::new();
        for job in jobs {
            let memory = self.memory.lock();
            match job.write(&transaction, memory) {
                Ok((outcome, effect)) => {
                    effects.push(effect);
                    results.push(Ok(outcome));
                }
                Err(super::jobs::Refusal::Sqlite(error)) => return Err(told(&path, &error)),
                Err(super::jobs::Refusal::Queue(error)) => results.push(Err(error)),
            }
        }
        transaction.commit().map_err(sqlite)?;
        let mut memory = self.memory.lock();
        for effect in effects {
            effect(&mut memory);
        }
        Ok(results)
    }

    /// Has all that was written reach the disk.
    fn sync(&self) -> Result<(), QueueError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push("-wal");
        match std::fs::File::open(PathBuf::from(name)).and_then(|file| file.sync_data()) {
            Ok(()) => Ok(()),
            // It was written back and removed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                Err(QueueError::Write { path: self.path.display().to_string(), reason: error.to_string() })
            }
        }
    }

    /// Writes the state anew where somebody has removed it: it is whole in what is open.
    fn keep_file(&mut self) {
        let path = self.path.display().to_string();
        let found = std::fs::metadata(&self.path);
        let gone = found.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if !gone {
            let same = found.is_err() || found.ok().map(|found| id(&found)) == self.is;
            if !same && !std::mem::replace(&mut self.told, true) {
                tracing::error!(
                    state = path,
                    "the state was replaced by another file while the daemon runs, which keeps nothing there \
                     any more: restart it to go on with that file"
                );
            }
            return;
        }
        match write_anew(&self.connection, &self.path) {
            Ok(connection) => {
                tracing::error!(
                    state = path,
                    "the state was removed while the daemon runs; it was written there again, with all in it"
                );
                // As it was opened.
                (self.connection, self.durable, self.told) = (connection, true, false);
                self.is = std::fs::metadata(&self.path).ok().map(|found| id(&found));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::error!(%error, "the state was removed while the daemon runs, and cannot be kept");
                }
                return;
            }
        }
        if let Err(error) = self.lock.keep(&self.path) {
            tracing::error!(%error, "another daemon may take the state as well");
        }
    }

    /// Writes down that the daemon has ended in good order.
    fn end_run(&self) -> Result<(), QueueError> {
        if self.runs {
            recovery::end_run(&self.connection).map_err(|error| told(&self.path, &error))?;
        }
        Ok(())
    }

    /// Writes down what lanes have passed, and deletes what nobody wants any more.
    fn prune(&mut self) -> Result<(), QueueError> {
        let path = self.path.clone();
        let sqlite = |error: rusqlite::Error| told(&path, &error);
        let (done, moved, end) = {
            let mut memory = self.memory();
            let end = memory.end;
            let mut moved = Vec::new();
            for (name, lane) in &mut memory.lanes {
                if lane.unwritten {
                    moved.push((name.clone(), lane.done_up_to(end).max(lane.done), lane.last_id));
                }
            }
            (memory.done_up_to(), moved, end)
        };
        let transaction = self.connection.transaction().map_err(sqlite)?;
        for (name, done, last_id) in &moved {
            let mut statement = transaction
                .prepare_cached("UPDATE lane SET done = ?2, last_id = max(last_id, ?3) WHERE name = ?1")
                .map_err(sqlite)?;
            statement.execute(rusqlite::params![&*name.0, done, last_id]).map_err(sqlite)?;
        }
        let mut statement =
            transaction.prepare_cached("DELETE FROM event WHERE seq <= ?1").map_err(sqlite)?;
        statement.execute([done.min(end)]).map_err(sqlite)?;
        drop(statement);
        let forgotten =
            rows::forget_closed(&transaction, rows::unix_ms() / 1000 - KEEP_CLOSED).map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
        let mut memory = self.memory();
        for (name, ..) in &moved {
            if let Some(lane) = memory.lanes.get_mut(name) {
                lane.unwritten = false;
            }
        }
        for name in forgotten {
            tracing::info!(lane = name, "a lane that was not read for a week is forgotten");
            memory.lanes.remove(&LaneName(Arc::from(name)));
        }
        Ok(())
    }

    fn wake_all(&self) {
        for lane in self.memory().lanes.values() {
            lane.wake();
        }
    }
}
