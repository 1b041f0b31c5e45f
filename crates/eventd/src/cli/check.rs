//! `check`: whether a daemon with this configuration would work.

mod places;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Error, prepare, say};
use crate::config::Settings;
use crate::lanes::{Probe, named};
use crate::plugins::{self, Listing, Plugin, PluginFile, Table};
use crate::projects::Served;
use crate::report::log::Log;
use crate::site::Site;
use crate::source::trouble::{is_silent, told};
use crate::workers::{Worker, Workers};

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
struct About {
    client: String,
    site: String,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Line {
    /// `ok`, `note`, `fault`, `callback`.
    kind: &'static str,
    text: String,
}

/// Counts what is wrong.
#[derive(Debug, Default, Serialize)]
struct Report {
    faults: u32,
    /// All of it, where it is told at the end.
    lines: Vec<Line>,
    #[serde(skip)]
    json: bool,
}

impl Report {
    fn good(&mut self, line: &str) {
        self.line("ok", line);
    }

    fn note(&mut self, line: &str) {
        self.line("note", line);
    }

    fn bad(&mut self, line: &str) {
        self.faults += 1;
        self.line("fault", line);
    }

    fn line(&mut self, kind: &'static str, text: &str) {
        match kind {
            _ if self.json => self.lines.push(Line { kind, text: text.to_owned() }),
            "callback" => say(format_args!("         {text}")),
            "fault" => say(format_args!("FAULT  {text}")),
            _ => say(format_args!("{kind:<6} {text}")),
        }
    }
}

impl Check {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        // What goes wrong is in the report.
        let _log = Log::start(60, false);
        let settings = prepare::settings(config).await?;
        let workers = prepare::workers(&settings)?;
        let mut report = Report { json: self.json, ..Report::default() };
        report.good(&format!("{} was read", settings.path.display()));
        settings.notes.iter().for_each(|note| report.note(note));
        places::about(&settings, &workers, &mut report).await;
        let mut all_answer = true;
        for site in &settings.sites {
            if about_site(&settings, &workers, site, &mut report).await {
                about_plain(&settings, &workers, site, &mut report).await;
            } else {
                // Each of them would wait as long as the site was waited for.
                report.note(&format!("{}: plugins were not tried, as the site does not answer", site.server));
                all_answer = false;
            }
        }
        if all_answer {
            about_projects(&settings, &workers, &mut report).await;
        }
        prepare::end(Arc::clone(&workers), Duration::ZERO).await;
        let faults = report.faults;
        match faults {
            _ if self.json => say(serde_json::to_string_pretty(&report)?),
            0 => say("\nAll is well."),
            1 => say("\n1 fault."),
            _ => say(format_args!("\n{faults} faults.")),
        }
        Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// False where the site takes questions and does not answer.
async fn about_site(settings: &Settings, workers: &Workers, site: &Site, report: &mut Report) -> bool {
    let worker = Worker::Plain(format!("site-{}", site.name));
    let setup = settings.setup(site);
    match workers.call::<About>(&worker, "site:about", |call| call.arg(&setup), Some(LIMIT)).await {
        Ok(about) => {
            report.good(&format!("{}: version {}, shotgun_api3 {}", site.server, about.site, about.client));
        }
        Err(error) => {
            report.bad(&format!("{}: {}", site.server, told(&error)));
            return !is_silent(&error);
        }
    }
    match workers.call::<i64>(&worker, "site:latest", |call| call.arg(&setup), Some(LIMIT)).await {
        Ok(id) => {
            report
                .good(&format!("script '{}' may read the event log; the latest event is {id}", site.script));
        }
        Err(error) => {
            report.bad(&format!("script '{}' cannot read the event log: {}", site.script, told(&error)));
            return !is_silent(&error);
        }
    }
    true
}

async fn about_plain(settings: &Settings, workers: &Workers, site: &Site, report: &mut Report) {
    let listing = plugins::list(&settings.plugin_paths, &Listing::default());
    about_folders(&listing, report);
    let worker = Worker::Plain(format!("plugins-{}", site.name));
    let loaded = Probe::new(settings, site, None).load(workers, &worker, &listing.files).await;
    match loaded {
        Ok(table) => about_plugins(&table, &listing.files, None, report),
        Err(error) => report.bad(&format!("the plugins' worker cannot be had: {}", error.message)),
    }
}

async fn about_projects(settings: &Settings, workers: &Workers, report: &mut Report) {
    if settings.project_paths.is_empty() {
        return;
    }
    let listing = plugins::list(&settings.project_paths, &Listing::default());
    about_folders(&listing, report);
    let Some(projects) = workers.projects() else { return };
    let Some(site) = settings.sites.first() else { return };
    if let Err(error) = workers.prepare_projects().await {
        return report.bad(&error.message);
    }
    let found = match projects.all() {
        Ok(found) => found,
        Err(_) if settings.distributed.is_some() => BTreeMap::new(),
        Err(error) => return report.bad(&format!("[sgtk] configs: {error}")),
    };
    if found.is_empty() && settings.distributed.is_none() {
        let base = projects.configs().base().display();
        report.bad(&format!("[sgtk] configs: no configuration in {base} names its project's id"));
    }
    for (id, folder) in found {
        let worker = Worker::Project { site: Arc::clone(&site.name), id, lane: None };
        match Probe::new(settings, site, Some(id)).load(workers, &worker, &listing.files).await {
            Ok(table) => {
                report.good(&format!("project {id}: the core of '{folder}' works"));
                about_plugins(&table, &listing.files, Some(id), report);
            }
            Err(error) => report.bad(&format!("project {id}, '{folder}': {}", error.message)),
        }
    }
    if let Some(distributed) = &settings.distributed {
        about_distributed(settings, workers, &distributed.plugin_id, &listing.files, report).await;
    }
}

fn about_folders(listing: &Listing, report: &mut Report) {
    for (folder, reason) in &listing.unreadable {
        report.bad(&format!("plugin folder {}: {reason}", folder.display()));
    }
}

/// In the order in which they have each event.
fn about_plugins(table: &Table, files: &[PluginFile], project: Option<i64>, report: &mut Report) {
    for file in files {
        let found = table.iter().filter(|plugin| plugin.key == file.key);
        found.for_each(|plugin| about_plugin(plugin, project, report));
    }
}

fn about_plugin(plugin: &Plugin, project: Option<i64>, report: &mut Report) {
    let of = project.map_or_else(String::new, |id| format!(" (project {id})"));
    if let Some(problem) = &plugin.problem {
        report.bad(&format!("plugin {}{of}: {}: {}", plugin.key, problem.step, problem.message));
        return;
    }
    report.good(&format!("plugin {}{of}", plugin.key));
    for callback in &plugin.callbacks {
        let filter =
            if callback.opaque { "its own kind of filter".to_owned() } else { callback.filter.to_string() };
        let stop = if callback.stop_on_error { "stops" } else { "goes on" };
        report.line("callback", &format!("{}: {filter}; {stop} on error", callback.name));
    }
}

/// Bootstraps each project for which a site names a configuration.
async fn about_distributed(
    settings: &Settings,
    workers: &Workers,
    plugin_id: &str,
    files: &[PluginFile],
    report: &mut Report,
) {
    let Some(projects) = workers.projects() else { return };
    for site in &settings.sites {
        let named = match named(settings, workers, site, plugin_id).await {
            Ok(named) => named,
            Err(error) => {
                report.bad(&format!("{}: its pipeline configurations: {}", site.server, error.message));
                continue;
            }
        };
        projects.site_names(&site.name, named.clone());
        for id in named.into_iter().flatten() {
            if projects.serves(&site.name, id, false) != Served::Yes {
                continue;
            }
            let worker = Worker::Project { site: Arc::clone(&site.name), id, lane: None };
            match Probe::new(settings, site, Some(id)).load(workers, &worker, files).await {
                Ok(table) => {
                    report.good(&format!(
                        "project {id}: bootstrapped, as {} names its configuration",
                        site.server
                    ));
                    about_plugins(&table, files, Some(id), report);
                }
                Err(error) => report.bad(&format!("project {id}: {}", error.message)),
            }
        }
    }
}
