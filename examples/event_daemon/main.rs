//! An event daemon for many projects, each with its own Toolkit core.
//!
//! Reads event-log entries, one JSON object a line (`id`, `type` or `event_type`, `project`, `entity`), finds
//! each project's configuration by its number (or by the name of its folder, where the event has a text
//! instead), and calls event plugins as shotgunEvents has them: `registerCallbacks(reg)`, callbacks
//! `(sg, logger, event, args)`. Plugins say `import sgtk` at the top and get their project's core, as each
//! project has its own copy of each plugin. `sg` stands for the connection to the site; there is none here,
//! and using it is an error that says so.
//!
//! With `--bootstrap` each project has an engine instead, bootstrapped from a site that the fixtures bring
//! along when the project's first event comes, and alive from then on beside all others.
//!
//! `cargo run --example event_daemon` handles the fixtures' events. `--configs`, `--plugins` and `--events`
//! take real ones; see `--help`.
//!
//! `--workers N` runs the same plugins in a process of their own for each project, at most N at a time: a
//! plugin that kills its process costs the daemon one event.
//!
//! Events go to standard output, one line each; errors with their traceback, and lines that are no events, to
//! standard error. A plugin that raises is out of service for its project, as in shotgunEvents, unless it was
//! registered with `stopOnError=False`.
//!
//! The exit status is 0 when all events were handled, whatever the plugins raised and whatever project has no
//! usable core; 1 when an event saw a wrong core or the host failed (neither may happen), or when
//! configurations, plugins or events cannot be read; 2 when the arguments are wrong.

mod daemon;
mod events;
mod options;
mod plugins;
mod projects;
mod registrar;
mod report;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod workers;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::MultiProgress;
use pyo3::prelude::*;
use sgtk_host::Host;

use crate::daemon::Daemon;
use crate::events::{Events, Line};
use crate::options::{Options, USAGE};
use crate::projects::Projects;
use crate::report::Report;
use crate::site::Site;
use crate::workers::Workers;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("event_daemon: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    support::exit_status("event_daemon", run(options))
}

/// Whether all cores were right and the host never failed.
fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    if options.log {
        support::show_tracing();
    }
    let bars = MultiProgress::new();
    let site = if options.bootstrap { Some(Site::start(bars.clone())?) } else { None };
    if let Some(site) = &site {
        // SAFETY: nothing else runs in this process yet.
        unsafe { std::env::set_var("SHOTGUN_HOME", site.home()) };
    }
    let mut temporary: Vec<_> = site.iter().map(Site::root).collect();
    let fixtures;
    let configs = match options.configs {
        Some(configs) => configs,
        None => {
            // In a temporary folder, which goes with this value.
            fixtures = sgtk_host_fixtures::bundled()?;
            temporary.push(fixtures.root());
            fixtures.base()
        }
    };
    let folders =
        if options.plugins.is_empty() { vec![sgtk_host_fixtures::plugins()] } else { options.plugins };
    let events = options.events.unwrap_or_else(sgtk_host_fixtures::events);

    let folders: Vec<PathBuf> = folders.iter().map(std::path::absolute).collect::<Result<_, _>>()?;
    let mut files = Vec::new();
    for folder in &folders {
        files.extend(plugins::files(folder).map_err(|error| unreadable("plugins", folder, &error))?);
    }
    let source = Events::open(&events).map_err(|error| unreadable("events", &events, &error))?;
    let stream = Stream { source, path: events, bars };
    if let Some(workers) = options.workers {
        let pool = Workers::new(&configs, &folders, files, workers)?;
        temporary.push(pool.folder());
        support::remove_when_interrupted(temporary)?;
        return in_workers(pool, stream, workers);
    }
    support::remove_when_interrupted(temporary)?;
    // So that an upgrade between two events of a short file is seen. A daemon has no need to look that often.
    let builder = Host::builder().configs(configs).forward_logs(options.log).revalidate_after(Duration::ZERO);
    let host = folders.iter().fold(builder, |builder, folder| builder.plugin_path(folder)).build()?;
    if options.log {
        Python::attach(registrar::show_logs)?;
    }
    in_process(Projects::new(host, site), files, stream)
}

/// Events, where they come from, and the bars that show how far they are.
struct Stream {
    source: Events,
    path: PathBuf,
    bars: MultiProgress,
}

impl Stream {
    fn next(&mut self) -> Result<Option<Line>, String> {
        self.source.next().map_err(|error| unreadable("events", &self.path, &error))
    }
}

fn in_process(projects: Projects, files: Vec<PathBuf>, mut stream: Stream) -> Result<bool, Box<dyn Error>> {
    let interpreter = projects.host().interpreter();
    let names = projects.host().configs().projects()?;

    let mut daemon = Daemon::new(projects, files);
    let mut report = Report::new(stream.source.size, &names, &stream.bars, false)?;
    while let Some(event) = stream.next()? {
        match event {
            Ok(event) => {
                let outcome = daemon.handle(&event);
                report.event(&event, &outcome, stream.source.read)?;
            }
            Err((line, reason)) => report.bad_line(line, &reason),
        }
    }
    let foreign = Python::attach(|py| daemon.projects().host().audit(py))?;
    let foreign: Vec<_> = foreign.iter().map(ToString::to_string).collect();
    report.finish(daemon.stopped(), &foreign)?;
    daemon.end()?;
    interpreter.shutdown(Duration::from_secs(10))?;
    Ok(report.is_right())
}

fn in_workers(mut workers: Workers, mut stream: Stream, count: usize) -> Result<bool, Box<dyn Error>> {
    let projects = workers.configs().projects()?;
    let mut report = Report::new(stream.source.size, &projects, &stream.bars, true)?;
    // From a file as many events are on their way as keep all workers busy. Whoever writes to standard input
    // may wait for the outcome of an event before the next.
    let most = if stream.source.size.is_some() { 4 * count } else { 1 };
    while let Some(event) = stream.next()? {
        match event {
            Ok(event) => workers.begin(event, stream.source.read),
            Err((line, reason)) => report.bad_line(line, &reason),
        }
        while workers.on_their_way() >= most
            && let Some((event, read, outcome)) = workers.end()
        {
            report.event(&event, &outcome, read)?;
        }
    }
    while let Some((event, read, outcome)) = workers.end() {
        report.event(&event, &outcome, read)?;
    }
    report.finish(workers.stopped(), &[])?;
    workers.shutdown(Duration::from_secs(10))?;
    Ok(report.is_right())
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {what} {}: {error}", path.display())
}
