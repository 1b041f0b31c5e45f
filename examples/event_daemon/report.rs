//! What the daemon shows: a line for each event, and figures at the end.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::daemon::{Handled, Outcome, Time};
use crate::events::Event;
use crate::support::{figure, mebibytes, micros, percentile, resident_memory};

/// Prints and counts.
pub(crate) struct Report {
    bar: ProgressBar,
    project_width: usize,
    projects: BTreeSet<String>,
    workers: bool,
    swaps: Vec<Duration>,
    imports: usize,
    bootstraps: usize,
    events: usize,
    bad_lines: usize,
    without_project: usize,
    plugin_errors: usize,
    core_errors: usize,
    host_errors: usize,
    lost_workers: usize,
    wrong_cores: usize,
}

impl Report {
    /// `size` is how many bytes of events there are, where that is known, for the progress bar. The bar draws
    /// on standard error, and only where that is a terminal. With `workers` the time of an event is that of
    /// its call, most of which it may have waited for its worker.
    pub(crate) fn new(
        size: Option<u64>,
        projects: &[String],
        bars: &MultiProgress,
        workers: bool,
    ) -> io::Result<Self> {
        let bar = bars.add(ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr()));
        let template = match size {
            Some(_) => "{bar:40} {percent:>3} %  {msg}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let longest = projects.iter().map(|name| name.chars().count()).max();
        let report = Self {
            bar,
            project_width: longest.unwrap_or_default().clamp(7, 32),
            projects: BTreeSet::new(),
            workers,
            swaps: Vec::new(),
            imports: 0,
            bootstraps: 0,
            events: 0,
            bad_lines: 0,
            without_project: 0,
            plugin_errors: 0,
            core_errors: 0,
            host_errors: 0,
            lost_workers: 0,
            wrong_cores: 0,
        };
        let time = if workers { "CALL AND WAIT" } else { "SWAP" };
        report.row(["EVENT", "TYPE", "PROJECT", "CORE", "VERSION", time, "OUTCOME"])?;
        Ok(report)
    }

    /// Whether nothing went wrong that must not.
    pub(crate) fn is_right(&self) -> bool {
        self.host_errors == 0 && self.wrong_cores == 0
    }

    pub(crate) fn bad_line(&mut self, line: u64, reason: &str) {
        self.bad_lines += 1;
        self.bar.suspend(|| eprintln!("line {line} is no event: {reason}"));
    }

    /// `read` is how many bytes of events were read so far.
    pub(crate) fn event(&mut self, event: &Event, outcome: &Outcome, read: u64) -> io::Result<()> {
        self.events += 1;
        self.projects.extend(event.project.as_ref().map(|project| project.reference.to_string()));
        match outcome {
            Outcome::Handled(handled) => self.handled(event, handled)?,
            Outcome::NoProject => {
                self.without_project += 1;
                self.line(event, "", "", "", "no project")?;
            }
            Outcome::Core(what, error) => {
                self.core_errors += 1;
                self.failed(event, what, error)?;
            }
            Outcome::Lost(error) => {
                self.lost_workers += 1;
                self.failed(event, "worker", error)?;
            }
            Outcome::Host(error) => {
                self.host_errors += 1;
                self.failed(event, "host", error)?;
            }
        }
        self.bar.set_position(read);
        self.bar.set_message(format!("{} events", self.events));
        Ok(())
    }

    fn handled(&mut self, event: &Event, handled: &Handled) -> io::Result<()> {
        self.plugin_errors += handled.done.failures.len();
        self.wrong_cores += usize::from(handled.wrong_core.is_some());
        let time = match handled.time {
            Time::Bootstrap(time) => {
                self.bootstraps += 1;
                format!("start {:.1} ms", time.as_secs_f64() * 1000.0)
            }
            Time::Import(time) => {
                self.imports += 1;
                format!("import {:.1} ms", time.as_secs_f64() * 1000.0)
            }
            Time::Swap(time) => {
                self.swaps.push(time);
                micros(Some(time.as_micros()))
            }
        };
        let done = &handled.done;
        let mut parts = Vec::new();
        parts.extend(handled.wrong_core.iter().map(|fault| format!("WRONG CORE: {fault}")));
        parts.extend(done.failures.iter().map(|failure| {
            let message = failure.error.message.lines().next().unwrap_or_default();
            format!("error in {}: {}: {message}", failure.plugin, failure.error.type_name)
        }));
        parts.extend(done.stopped.iter().map(|plugin| format!("{plugin} is stopped")));
        if !done.callbacks.is_empty() {
            parts.push(format!("ok: {}", done.callbacks.join(", ")));
        } else if parts.is_empty() {
            parts.push("ok, no plugin wants it".to_owned());
        }
        self.line(event, &handled.kind, &handled.version, &time, &parts.join("; "))?;
        for failure in &done.failures {
            let (plugin, text) = (&failure.plugin, &failure.error.text);
            self.bar.suspend(|| eprintln!("event {}, plugin {plugin}:\n{text}", event.id));
        }
        Ok(())
    }

    /// The whole error goes to standard error, its first line into the table.
    fn failed(&self, event: &Event, what: &str, error: &str) -> io::Result<()> {
        let first = error.lines().next().unwrap_or_default();
        self.line(event, "", "", "", &format!("{what} error: {first}"))?;
        if first != error {
            self.bar.suspend(|| eprintln!("event {}:\n{error}", event.id));
        }
        Ok(())
    }

    fn line(&self, event: &Event, core: &str, version: &str, time: &str, outcome: &str) -> io::Result<()> {
        let project = event.project.as_ref().map_or("", |project| &*project.shown);
        self.row([&event.id.to_string(), &event.kind, project, core, version, time, outcome])
    }

    fn row(&self, [id, kind, project, core, version, time, outcome]: [&str; 7]) -> io::Result<()> {
        let width = self.project_width;
        self.bar.suspend(|| {
            writeln!(
                io::stdout(),
                "{id:>8}  {kind:<24}  {project:<width$}  {core:<9}  {version:<9}  {time:>15}  {outcome}"
            )
        })
    }

    /// Takes the progress bar away and prints the figures. `foreign` are the modules that an audit found to
    /// be another project's.
    pub(crate) fn finish<'a>(
        &mut self,
        stopped: impl Iterator<Item = (&'a str, &'a str)>,
        foreign: &[String],
    ) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.wrong_cores += usize::from(!foreign.is_empty());
        let out = &mut io::stdout().lock();
        writeln!(out)?;
        figure(out, "events", self.events)?;
        figure(out, "projects", self.projects.len())?;
        figure(out, "imports", self.imports)?;
        figure(out, "bootstraps", self.bootstraps)?;
        let median = if self.workers { "median call" } else { "median swap" };
        figure(out, "swaps", self.swaps.len())?;
        figure(out, median, micros(percentile(&self.swaps, 50)))?;
        if cfg!(debug_assertions) {
            figure(out, "build", "debug; --release for real times")?;
        }
        if !self.workers {
            figure(out, "in each swap", "a look at all files of the project, which daemons take every 5 s")?;
        }
        figure(out, "memory", mebibytes(resident_memory()))?;
        figure(out, "plugin errors", self.plugin_errors)?;
        for (project, plugin) in stopped {
            figure(out, "  stopped", format!("{plugin} for {project}"))?;
        }
        figure(out, "core errors", self.core_errors)?;
        figure(out, "host errors", self.host_errors)?;
        if self.lost_workers > 0 {
            figure(out, "lost workers", self.lost_workers)?;
        }
        figure(out, "no project", self.without_project)?;
        figure(out, "bad lines", self.bad_lines)?;
        figure(out, "wrong cores", self.wrong_cores)?;
        for module in foreign {
            figure(out, "  foreign", module)?;
        }
        Ok(())
    }
}
