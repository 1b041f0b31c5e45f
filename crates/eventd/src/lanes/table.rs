//! Having a worker load plugins, one that ends it included.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Settings;
use crate::plugins::{Plugin, PluginFile, Problem, Table};
use crate::site::Site;
use crate::workers::{CallError, Worker, Workers};

/// How long loading all plugins of a worker may take, its start included.
const LIMIT: Duration = Duration::from_secs(300);

/// Loads plugins in a worker.
#[derive(Debug, Default)]
pub(super) struct Loader {
    /// Plugins that have ended the worker when they were loaded, with the stamp that they had.
    deadly: HashMap<String, (String, Problem)>,
}

/// What a worker has to know to load plugins.
pub(super) fn setup(settings: &Settings, site: &Site, project: Option<i64>) -> Value {
    let mut setup = if project.is_some() { settings.project_setup(site) } else { settings.setup(site) };
    if let Some(options) = setup.as_object_mut() {
        options.insert("log_level".to_owned(), json!(settings.log_level));
        options.insert("session_uuid".to_owned(), json!(settings.session_uuid));
        options.insert("core".to_owned(), json!(project.is_some()));
    }
    setup
}

/// Loads plugins once, to see whether they can be.
#[derive(Debug)]
pub struct Probe {
    setup: Value,
}

impl Probe {
    /// For the plugins of a site, or of a project of it.
    #[must_use]
    pub fn new(settings: &Settings, site: &Site, project: Option<i64>) -> Probe {
        let mut setup = setup(settings, site, project);
        // The client's constructor asks for what everybody may know.
        if let Some(options) = setup.as_object_mut() {
            options.insert("try_keys".to_owned(), json!(true));
        }
        Probe { setup }
    }

    /// Loads the plugins of these files in a worker.
    ///
    /// # Errors
    /// There is no worker to be had. What is wrong with a plugin is in the table.
    pub async fn load(
        self,
        workers: &Workers,
        worker: &Worker,
        files: &[PluginFile],
    ) -> Result<Table, CallError> {
        Loader::default().load(workers, worker, &self.setup, files, false).await
    }
}

#[derive(Debug, Deserialize)]
struct Synced {
    plugins: Vec<Plugin>,
}

impl Loader {
    /// Has the worker load these files, and nothing else.
    pub(super) async fn load(
        &mut self,
        workers: &Workers,
        worker: &Worker,
        setup: &Value,
        files: &[PluginFile],
        fresh: bool,
    ) -> Result<Table, CallError> {
        let is_deadly = |deadly: &HashMap<String, (String, Problem)>, file: &PluginFile| {
            deadly.get(&file.key).is_some_and(|(stamp, _)| *stamp == file.stamp)
        };
        let mut wanted: Vec<&PluginFile> =
            files.iter().filter(|file| !is_deadly(&self.deadly, file)).collect();
        let plugins = match sync(workers, worker, setup, &wanted, fresh).await {
            Ok(plugins) => plugins,
            Err(error) if error.lost && !wanted.is_empty() => {
                // One of them ends the worker, or hangs: which one is found by loading one more each time.
                let mut index = 0;
                let mut plugins = Vec::new();
                while index < wanted.len() {
                    let some = wanted.get(..=index).unwrap_or_default();
                    match sync(workers, worker, setup, some, false).await {
                        Ok(loaded) => {
                            plugins = loaded;
                            index += 1;
                        }
                        Err(error) if error.lost => {
                            let file = wanted.remove(index);
                            let message = format!("loading it has ended the worker: {}", error.message);
                            tracing::error!(
                                plugin = file.path,
                                reason = error.message,
                                "loading the plugin has ended the worker; it is left out until its file \
                                 changes"
                            );
                            let problem =
                                Problem { step: "load".to_owned(), message, traceback: error.traceback };
                            self.deadly.insert(file.key.clone(), (file.stamp.clone(), problem));
                        }
                        Err(error) => return Err(error),
                    }
                }
                plugins
            }
            Err(error) => return Err(error),
        };
        let mut table = Table::new(plugins);
        for file in files {
            if let Some((_, problem)) = self.deadly.get(&file.key).filter(|(stamp, _)| *stamp == file.stamp) {
                table.add_inactive(file, problem.clone());
            }
        }
        Ok(table)
    }
}

async fn sync(
    workers: &Workers,
    worker: &Worker,
    setup: &Value,
    files: &[&PluginFile],
    fresh: bool,
) -> Result<Vec<Plugin>, CallError> {
    let synced = workers
        .call::<Synced>(
            worker,
            "plugins:sync",
            |call| call.arg(setup).arg(json!(files)).arg(fresh),
            Some(LIMIT),
        )
        .await?;
    Ok(synced.plugins)
}
