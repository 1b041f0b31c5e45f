//! Having the worker's plugins be what the files are: in the worker that runs, or, for a reload, in one
//! beside it.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Runner;
use crate::lanes::table::{Loader, setup};
use crate::plugins::{PluginFile, Table};
use crate::queue::{Lane, LaneName, Start};
use crate::report::board::PluginNote;
use crate::workers::{CallError, Worker};

/// A generation that was loaded beside the one that runs.
pub(super) struct Incoming {
    worker: Worker,
    loader: Loader,
    files: Vec<PluginFile>,
    generation: u64,
    table: Result<Table, CallError>,
}

/// Waits for the next generation; forever, where none is being loaded. None where its loading was ended.
pub(super) async fn loaded(incoming: Option<&mut JoinHandle<Incoming>>) -> Option<Incoming> {
    match incoming {
        Some(incoming) => incoming.await.ok(),
        None => std::future::pending().await,
    }
}

impl Runner {
    /// What a process that is new loads before it runs anything: what was loaded last, but for plugins that
    /// end their process.
    pub(super) fn loads(&self) -> Value {
        let files: Vec<_> = self.files.iter().filter(|file| self.table.active(&file.key).is_some()).collect();
        json!([setup(&self.shared.settings, &self.site, self.project), files])
    }

    /// Has the plugins be what was ordered.
    pub(super) async fn follow(&mut self) {
        let (files, generation) = self.wanted();
        match () {
            () if !self.begun && self.project.is_some() => self.know_without_loading().await,
            // What runs goes on until the new ones are there.
            () if self.begun && generation != self.generation => self.begin_reload(files, generation),
            () => self.load().await,
        }
    }

    /// Has a worker beside the one that runs load all of it.
    fn begin_reload(&mut self, files: Vec<PluginFile>, generation: u64) {
        if let Some(before) = self.incoming.take() {
            before.abort();
        }
        let (workers, worker) = (Arc::clone(&self.shared.workers), self.worker.successor());
        let setup = setup(&self.shared.settings, &self.site, self.project);
        self.incoming = Some(tokio::spawn(async move {
            workers.replace(&worker);
            let mut loader = Loader::default();
            let table = loader.load(&workers, &worker, &setup, &files, true).await;
            Incoming { worker, loader, files, generation, table }
        }));
    }

    /// The new worker runs what comes from now on; the one before has ended what it had.
    pub(super) async fn take_over(&mut self, incoming: Option<Incoming>) {
        self.incoming = None;
        let Some(Incoming { worker, loader, files, generation, table }) = incoming else { return };
        let table = match table {
            Ok(table) => table,
            Err(error) => {
                let (worker, reason) = (worker.name(), error.message);
                tracing::error!(
                    worker,
                    reason,
                    "plugins cannot be loaded anew; those that were loaded go on"
                );
                self.generation = generation;
                return;
            }
        };
        self.open_lanes(&files).await;
        let before = std::mem::replace(&mut self.worker, worker);
        self.shared.workers.replace(&before);
        self.notes = self.shared.queue.notes(&self.worker.name()).map(Arc::new);
        self.loader = loader;
        self.adopt(files, generation, table, true).await;
        if self.wanted().0 != self.files {
            // They have changed meanwhile.
            self.load().await;
        }
    }

    /// All plugins count as active until the worker says otherwise.
    pub(super) async fn know_without_loading(&mut self) {
        let (files, _) = self.wanted();
        self.open_lanes(&files).await;
        self.ready = files.iter().map(|file| self.lane(file)).collect();
        self.files = unloaded(&files);
    }

    /// Has the worker's plugins be what the files are now.
    pub(super) async fn load(&mut self) {
        let (files, generation) = self.wanted();
        let fresh = generation != self.generation;
        if fresh {
            self.shared.workers.replace(&self.worker);
        }
        self.open_lanes(&files).await;
        let loaded = {
            let setup = setup(&self.shared.settings, &self.site, self.project);
            let mut orders = self.orders.clone();
            // Plugins are loaded for as long as a site does not answer, and nobody waits for that at the end.
            tokio::select! {
                loaded = self.loader.load(&self.shared.workers, &self.worker, &setup, &files, fresh) => loaded,
                _ = orders.wait_for(|orders| orders.stop) => return,
            }
        };
        let table = match loaded {
            Ok(table) => table,
            Err(error) => {
                self.cannot_load(&files, error).await;
                return;
            }
        };
        self.adopt(files, generation, table, fresh).await;
    }

    /// The worker has loaded these.
    async fn adopt(&mut self, files: Vec<PluginFile>, generation: u64, table: Table, fresh: bool) {
        self.load_error = None;
        for file in &files {
            let changed = !self.files.contains(file) || fresh;
            self.note(&table, file, changed);
            // A plugin that has stopped goes on when its file changes, and when the daemon starts.
            if changed && table.active(&file.key).is_some() {
                let resumed = self.shared.queue.resume(&self.lane(file), None, false).await;
                if matches!(resumed, Ok(true)) {
                    tracing::info!(
                        plugin = file.path,
                        project = self.project,
                        "the plugin goes on at the event where it had stopped"
                    );
                }
            }
        }
        let active = files.iter().filter(|file| table.active(&file.key).is_some());
        self.ready = active.map(|file| self.lane(file)).collect();
        (self.files, self.generation, self.table) = (files, generation, table);
        self.begun = true;
    }

    /// Opens the lanes of new files, and closes those of files that are gone.
    async fn open_lanes(&mut self, files: &[PluginFile]) {
        let new = files.iter().filter(|file| !self.files.iter().any(|known| known.key == file.key));
        let lanes: Vec<Lane> = new
            .map(|file| Lane {
                name: self.lane(file),
                site: Arc::clone(&self.site.name),
                project: self.project,
                start: Start::Now,
            })
            .collect();
        let gone: Vec<PluginFile> = self
            .files
            .iter()
            .filter(|known| !files.iter().any(|file| file.key == known.key))
            .cloned()
            .collect();
        for file in &gone {
            tracing::info!(plugin = file.path, project = self.project, "the plugin was removed");
            self.shared.board.forget_plugin(&file.key);
        }
        let gone: Vec<LaneName> = gone.iter().map(|file| self.lane(file)).collect();
        let opened = self.shared.queue.open(lanes).await;
        let closed = self.shared.queue.close(&gone).await;
        if let Err(error) = opened.and(closed) {
            tracing::error!(%error, "lanes cannot be opened or closed");
        }
    }

    /// The worker itself cannot be had. What waits is told why.
    async fn cannot_load(&mut self, files: &[PluginFile], error: CallError) {
        if self.load_error.as_ref() != Some(&error.message) {
            tracing::error!(
                worker = self.worker.name(),
                project = self.project,
                reason = error.message,
                "the plugins' worker cannot be had; their events wait"
            );
        }
        self.load_error = Some(error.message);
        self.ready = Vec::new();
        // Lanes are open for all of them; what was loaded is not known any more.
        self.files = unloaded(files);
    }

    fn note(&self, table: &Table, file: &PluginFile, changed: bool) {
        let Some(plugin) = table.iter().find(|plugin| plugin.key == file.key) else { return };
        let callbacks = plugin.callbacks.iter().map(|callback| callback.name.clone()).collect();
        if changed && plugin.problem.is_none() {
            tracing::info!(
                plugin = file.path,
                project = self.project,
                callbacks = plugin.callbacks.len(),
                "the plugin is loaded"
            );
        }
        if let Some(problem) = plugin.problem.as_ref().filter(|_| changed) {
            // The traceback is in the plugin's own log.
            let reason = format!("{}: {}", problem.step, problem.message);
            tracing::warn!(plugin = file.path, project = self.project, reason, "the plugin is inactive");
        }
        let (problem, emails) = (plugin.problem.clone(), plugin.emails.clone());
        self.shared
            .board
            .note_plugin(&file.key, PluginNote { name: plugin.name.clone(), problem, emails, callbacks });
    }
}

/// The files as none that was loaded: each of them counts as changed.
fn unloaded(files: &[PluginFile]) -> Vec<PluginFile> {
    files.iter().map(|file| PluginFile { stamp: String::new(), ..file.clone() }).collect()
}
