//! Where plugins of projects are: for each project an import state, or several while it is loaded anew.
//!
//! A *room* is a project's import state, with the workers whose plugins are loaded in it. A worker that
//! starts anew gets other modules than those it had before, helpers included, so that its next room is
//! another one; workers of the same project share the newest room that they have not been in.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sgtk_host::pyo3::prelude::*;
use sgtk_host::{Engine, Error, Host};

use crate::in_process::wire::Setup;
use crate::projects::Bootstrapped;

/// The rooms of all projects.
#[derive(Debug)]
pub(super) struct Rooms {
    configs: PathBuf,
    home: PathBuf,
    most: Option<usize>,
    idle: Option<Duration>,
    /// A host has one import state for each project: a second one is there for those that are loaded anew.
    hosts: Mutex<Vec<Host>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The newest last.
    rooms: Vec<Arc<Room>>,
    /// Where workers are, by name.
    homes: HashMap<String, Arc<Room>>,
    /// Who is in a room, and was in it.
    guests: HashMap<u64, Guests>,
    next: u64,
}

#[derive(Debug)]
struct Guests {
    now: HashSet<String>,
    /// Without what tells a worker from its successor.
    ever: HashSet<String>,
    busy: usize,
    used: Instant,
}

/// A project's import state.
#[derive(Debug)]
pub(super) struct Room {
    id: u64,
    project: String,
    host: Host,
    /// Which of the hosts.
    place: usize,
    bootstrap: Option<Bootstrapped>,
    engine: Mutex<Alive>,
    changed: Condvar,
}

#[derive(Debug)]
enum Alive {
    No,
    /// One thread bootstraps it.
    Soon,
    Yes(Arc<Engine>),
}

/// A worker's stay in a room, for one call.
#[derive(Debug)]
pub(super) struct Stay {
    rooms: Arc<Rooms>,
    pub(super) room: Arc<Room>,
}

impl Rooms {
    pub(super) fn new(setup: &Setup) -> sgtk_host::Result<Rooms> {
        let rooms = Rooms {
            configs: setup.configs.clone(),
            home: setup.home.clone(),
            most: setup.most,
            idle: setup.idle.and_then(|idle| Duration::try_from_secs_f64(idle).ok()),
            hosts: Mutex::default(),
            inner: Mutex::default(),
        };
        rooms.host(0)?;
        Ok(rooms)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self, place: usize) -> sgtk_host::Result<Host> {
        loop {
            if let Some(host) = self.hosts().get(place) {
                return Ok(host.clone());
            }
            // Without the lock: making one runs Python.
            let made = Host::builder()
                .configs(&self.configs)
                .plugin_path(&self.home)
                .max_resident(self.most)
                .forward_logs(true)
                .build()?;
            self.hosts().push(made);
        }
    }

    /// Has a worker be in a room of its project while the call runs.
    pub(super) fn enter(
        self: &Arc<Self>,
        worker: &str,
        project: &str,
        bootstrap: Option<Bootstrapped>,
    ) -> sgtk_host::Result<Stay> {
        let same =
            |room: &&Arc<Room>| room.project == project && room.bootstrap.is_some() == bootstrap.is_some();
        {
            let mut inner = self.lock();
            if let Some(room) = inner.homes.get(worker).filter(same).cloned() {
                return Ok(inner.stay(self, room));
            }
        }
        self.leave(worker);
        loop {
            let place = self.lock().free_place(project);
            let host = self.host(place)?;
            let mut inner = self.lock();
            if let Some(room) = inner.newest(worker, |room| same(&room)) {
                let room = inner.move_in(worker, room);
                return Ok(inner.stay(self, room));
            }
            // Another worker may have come first, and gone on to a room of its own.
            if inner.free_place(project) == place {
                let room = inner.add(Room {
                    id: 0,
                    project: project.to_owned(),
                    host,
                    place,
                    bootstrap,
                    engine: Mutex::new(Alive::No),
                    changed: Condvar::new(),
                });
                let room = inner.move_in(worker, room);
                return Ok(inner.stay(self, room));
            }
        }
    }

    /// A worker's plugins are not used any more. A room that nobody is in is dropped, once its last call has
    /// ended.
    pub(super) fn leave(self: &Arc<Self>, worker: &str) {
        let empty = {
            let mut inner = self.lock();
            let Some(room) = inner.homes.remove(worker) else { return };
            let guests = inner.guests.get_mut(&room.id);
            let is_empty = guests.is_some_and(|guests| {
                guests.now.remove(worker);
                guests.are_gone()
            });
            is_empty.then_some(room)
        };
        if let Some(room) = empty {
            self.drop_later(room);
        }
    }

    /// Drops a room on a thread of its own: that waits for its turn.
    fn drop_later(self: &Arc<Self>, room: Arc<Room>) {
        let rooms = Arc::clone(self);
        let ends = move || {
            room.end();
            let mut inner = rooms.lock();
            inner.rooms.retain(|other| other.id != room.id);
            inner.guests.remove(&room.id);
        };
        if let Err(error) = std::thread::Builder::new().name("end of a project".to_owned()).spawn(ends) {
            tracing::error!(%error, "a project's modules stay in memory");
        }
    }

    /// Drops what has not been used for long.
    pub(super) fn drop_idle(self: &Arc<Self>) {
        let Some(idle) = self.idle else { return };
        let workers: Vec<String> = {
            let inner = self.lock();
            let is_idle = |guests: &&Guests| guests.busy == 0 && guests.used.elapsed() >= idle;
            inner.guests.values().filter(is_idle).flat_map(|guests| guests.now.iter().cloned()).collect()
        };
        for worker in workers {
            self.leave(&worker);
        }
    }

    /// How often to look for what is idle.
    pub(super) fn look_every(&self) -> Option<Duration> {
        self.idle.map(|idle| (idle / 4).clamp(Duration::from_millis(100), Duration::from_secs(60)))
    }

    /// Ends engines and drops all projects.
    pub(super) fn end(&self) {
        let hosts = self.hosts().clone();
        for host in hosts {
            if let Err(error) = host.shutdown() {
                tracing::warn!(%error, "a project did not end as it should");
            }
        }
    }
}

impl Guests {
    /// Nobody is there any more, and nobody comes.
    fn are_gone(&self) -> bool {
        self.now.is_empty() && self.busy == 0
    }
}

impl Inner {
    fn add(&mut self, room: Room) -> Arc<Room> {
        self.next += 1;
        let guests = Guests { now: HashSet::new(), ever: HashSet::new(), busy: 0, used: Instant::now() };
        self.guests.insert(self.next, guests);
        let room = Arc::new(Room { id: self.next, ..room });
        self.rooms.push(Arc::clone(&room));
        room
    }

    fn stay(&mut self, rooms: &Arc<Rooms>, room: Arc<Room>) -> Stay {
        if let Some(guests) = self.guests.get_mut(&room.id) {
            guests.busy += 1;
        }
        Stay { rooms: Arc::clone(rooms), room }
    }

    /// The newest room of a project, where the worker has not been in it before.
    fn newest(&self, worker: &str, is_its: impl Fn(&Arc<Room>) -> bool) -> Option<Arc<Room>> {
        let room = self.rooms.iter().rev().find(|room| is_its(room))?;
        let guests = self.guests.get(&room.id)?;
        // One that is empty is being dropped.
        let is_new = !guests.now.is_empty() && !guests.ever.contains(kind(worker));
        is_new.then(|| Arc::clone(room))
    }

    fn move_in(&mut self, worker: &str, room: Arc<Room>) -> Arc<Room> {
        if let Some(guests) = self.guests.get_mut(&room.id) {
            guests.now.insert(worker.to_owned());
            guests.ever.insert(kind(worker).to_owned());
        }
        self.homes.insert(worker.to_owned(), Arc::clone(&room));
        room
    }

    /// The first of the hosts at which the project has no room.
    fn free_place(&self, project: &str) -> usize {
        let taken = |place| self.rooms.iter().any(|room| room.project == project && room.place == place);
        (0..).find(|place| !taken(*place)).unwrap_or_default()
    }
}

/// A worker and its successor are of one kind.
fn kind(worker: &str) -> &str {
    worker.trim_end_matches('+').trim_end()
}

impl Drop for Stay {
    fn drop(&mut self) {
        let is_empty = self.rooms.lock().guests.get_mut(&self.room.id).is_some_and(|guests| {
            guests.busy -= 1;
            guests.used = Instant::now();
            guests.are_gone()
        });
        if is_empty {
            self.rooms.drop_later(Arc::clone(&self.room));
        }
    }
}

impl Room {
    /// Runs `body` with the project in place.
    ///
    /// # Errors
    /// The project cannot be put in place; `body` was not run.
    pub(super) fn with<T>(&self, body: impl FnOnce(Python<'_>) -> T) -> sgtk_host::Result<T> {
        if let Some(bootstrap) = &self.bootstrap {
            let engine = self.engine(bootstrap)?;
            return Python::attach(|py| {
                let _lease = engine.lease(py)?;
                Ok(body(py))
            });
        }
        Python::attach(|py| {
            let _lease = self.host.lease(py, self.project.as_str())?;
            Ok(body(py))
        })
    }

    /// The project's engine; bootstraps it where there is none.
    fn engine(&self, bootstrap: &Bootstrapped) -> sgtk_host::Result<Arc<Engine>> {
        let mut alive = self.alive();
        loop {
            match &*alive {
                Alive::Yes(engine) => return Ok(Arc::clone(engine)),
                Alive::Soon => alive = self.changed.wait(alive).unwrap_or_else(PoisonError::into_inner),
                Alive::No => break,
            }
        }
        *alive = Alive::Soon;
        drop(alive);
        let engine = bootstrap.build().map_err(Error::from).and_then(|options| self.host.bootstrap(&options));
        let engine = engine.map(Arc::new);
        *self.alive() = engine.as_ref().map_or(Alive::No, |engine| Alive::Yes(Arc::clone(engine)));
        self.changed.notify_all();
        engine
    }

    fn alive(&self) -> MutexGuard<'_, Alive> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the import state. Waits for its turn.
    fn end(&self) {
        let engine = std::mem::replace(&mut *self.alive(), Alive::No);
        let ended = match engine {
            // Its end comes with its last user's.
            Alive::Yes(engine) => Arc::try_unwrap(engine).map_or(Ok(()), Engine::destroy),
            _ => Python::attach(|py| self.host.evict(py, self.project.as_str())).map(drop),
        };
        if let Err(error) = ended {
            tracing::warn!(project = self.project, %error, "a project did not end as it should");
        }
    }
}
