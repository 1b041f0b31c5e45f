//! Where plugins of projects are: for each project an import state, or several while it is loaded anew.
//!
//! An *instance* is a project's import state, with the workers whose plugins are loaded in it. A worker that
//! starts anew gets other modules than those it had before, helpers included, so that its next instance is
//! another one; workers of the same project share the newest instance that they have not been in.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sgtk_host::pyo3::prelude::*;
use sgtk_host::{Engine, Error, Host};

use crate::in_process::wire::Setup;
use crate::projects::Bootstrapped;

/// The instances of all projects.
#[derive(Debug)]
pub(super) struct Instances {
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
    instances: Vec<Arc<Instance>>,
    /// Where workers are, by name.
    current: HashMap<String, Arc<Instance>>,
    /// Whose plugins are in an instance, and were.
    users: HashMap<u64, Users>,
    next: u64,
}

#[derive(Debug)]
struct Users {
    now: HashSet<String>,
    /// Without what tells a worker from its successor.
    ever: HashSet<String>,
    busy: usize,
    used: Instant,
}

/// A project's import state.
#[derive(Debug)]
pub(super) struct Instance {
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

/// The use of an instance by a worker, for one call.
#[derive(Debug)]
pub(super) struct InUse {
    instances: Arc<Instances>,
    pub(super) instance: Arc<Instance>,
}

impl Instances {
    pub(super) fn new(setup: &Setup) -> sgtk_host::Result<Instances> {
        let instances = Instances {
            configs: setup.configs.clone(),
            home: setup.home.clone(),
            most: setup.most,
            idle: setup.idle.and_then(|idle| Duration::try_from_secs_f64(idle).ok()),
            hosts: Mutex::default(),
            inner: Mutex::default(),
        };
        instances.host(0)?;
        Ok(instances)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<Host>> {
        self.hosts.lock()
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

    /// Has a worker be in an instance of its project while the call runs.
    pub(super) fn enter(
        self: &Arc<Self>,
        worker: &str,
        project: &str,
        bootstrap: Option<Bootstrapped>,
    ) -> sgtk_host::Result<InUse> {
        let same = |instance: &&Arc<Instance>| {
            instance.project == project && instance.bootstrap.is_some() == bootstrap.is_some()
        };
        {
            let mut inner = self.lock();
            if let Some(instance) = inner.current.get(worker).filter(same).cloned() {
                return Ok(inner.in_use(self, instance));
            }
        }
        self.leave(worker);
        loop {
            let place = self.lock().free_place(project);
            let host = self.host(place)?;
            let mut inner = self.lock();
            if let Some(instance) = inner.newest(worker, |instance| same(&instance)) {
                let instance = inner.assign(worker, instance);
                return Ok(inner.in_use(self, instance));
            }
            // Another worker may have come first, and gone on to an instance of its own.
            if inner.free_place(project) == place {
                let instance = inner.add(Instance {
                    id: 0,
                    project: project.to_owned(),
                    host,
                    place,
                    bootstrap,
                    engine: Mutex::new(Alive::No),
                    changed: Condvar::new(),
                });
                let instance = inner.assign(worker, instance);
                return Ok(inner.in_use(self, instance));
            }
        }
    }

    /// A worker's plugins are not used any more. An instance that nobody is in is dropped, once its last call
    /// has ended.
    pub(super) fn leave(self: &Arc<Self>, worker: &str) {
        let empty = {
            let mut inner = self.lock();
            let Some(instance) = inner.current.remove(worker) else { return };
            let users = inner.users.get_mut(&instance.id);
            let is_empty = users.is_some_and(|users| {
                users.now.remove(worker);
                users.are_gone()
            });
            is_empty.then_some(instance)
        };
        if let Some(instance) = empty {
            self.drop_later(instance);
        }
    }

    /// Drops an instance on a thread of its own: that waits for its turn.
    fn drop_later(self: &Arc<Self>, instance: Arc<Instance>) {
        let instances = Arc::clone(self);
        let ends = move || {
            instance.end();
            let mut inner = instances.lock();
            inner.instances.retain(|other| other.id != instance.id);
            inner.users.remove(&instance.id);
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
            let is_idle = |users: &&Users| users.busy == 0 && users.used.elapsed() >= idle;
            inner.users.values().filter(is_idle).flat_map(|users| users.now.iter().cloned()).collect()
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

impl Users {
    /// Nobody is there any more, and nobody comes.
    fn are_gone(&self) -> bool {
        self.now.is_empty() && self.busy == 0
    }
}

impl Inner {
    fn add(&mut self, instance: Instance) -> Arc<Instance> {
        self.next += 1;
        let users = Users { now: HashSet::new(), ever: HashSet::new(), busy: 0, used: Instant::now() };
        self.users.insert(self.next, users);
        let instance = Arc::new(Instance { id: self.next, ..instance });
        self.instances.push(Arc::clone(&instance));
        instance
    }

    fn in_use(&mut self, instances: &Arc<Instances>, instance: Arc<Instance>) -> InUse {
        if let Some(users) = self.users.get_mut(&instance.id) {
            users.busy += 1;
        }
        InUse { instances: Arc::clone(instances), instance }
    }

    /// The newest instance of a project, where the worker has not been in it before.
    fn newest(&self, worker: &str, is_its: impl Fn(&Arc<Instance>) -> bool) -> Option<Arc<Instance>> {
        let instance = self.instances.iter().rev().find(|instance| is_its(instance))?;
        let users = self.users.get(&instance.id)?;
        // One that is empty is being dropped.
        let is_new = !users.now.is_empty() && !users.ever.contains(kind(worker));
        is_new.then(|| Arc::clone(instance))
    }

    fn assign(&mut self, worker: &str, instance: Arc<Instance>) -> Arc<Instance> {
        if let Some(users) = self.users.get_mut(&instance.id) {
            users.now.insert(worker.to_owned());
            users.ever.insert(kind(worker).to_owned());
        }
        self.current.insert(worker.to_owned(), Arc::clone(&instance));
        instance
    }

    /// The first of the hosts at which the project has no instance.
    fn free_place(&self, project: &str) -> usize {
        let taken = |place| {
            self.instances.iter().any(|instance| instance.project == project && instance.place == place)
        };
        (0..).find(|place| !taken(*place)).unwrap_or_default()
    }
}

/// A worker and its successor are of one kind.
fn kind(worker: &str) -> &str {
    worker.trim_end_matches('+').trim_end()
}

impl Drop for InUse {
    fn drop(&mut self) {
        let is_empty = self.instances.lock().users.get_mut(&self.instance.id).is_some_and(|users| {
            users.busy -= 1;
            users.used = Instant::now();
            users.are_gone()
        });
        if is_empty {
            self.instances.drop_later(Arc::clone(&self.instance));
        }
    }
}

impl Instance {
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
                Alive::Soon => self.changed.wait(&mut alive),
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
        self.engine.lock()
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
