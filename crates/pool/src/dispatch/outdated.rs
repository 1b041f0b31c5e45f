//! Whether a worker is still what is on disk, and whether what is on disk can take its place.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::dispatcher::Dispatcher;
use super::session::Session;
use super::slot::Slot;
use crate::options::after;
use crate::process::{CHECK_TIMEOUT, Target};
use crate::wire;

/// How many changed files a log event names.
const NAMED: usize = 5;

/// What a worker says of files that do not compile: each with the reason.
#[derive(Deserialize)]
struct Checked {
    checked: Vec<(PathBuf, String)>,
}

impl Dispatcher {
    /// Whether the worker is to be replaced: its files have changed, and those on disk are whole and usable.
    /// Otherwise it goes on with what it has in memory, and a warning says why. Takes no longer than half of
    /// the time until `deadline`, the call's own: the call is to be made then.
    pub(super) fn is_outdated(&self, slot: &Slot, session: &mut Session, deadline: Option<Instant>) -> bool {
        let (project, pid) = (&slot.project, session.link.worker.pid());
        let changed = session.look();
        if changed.is_empty() {
            if session.keep(None) {
                tracing::info!(project = &**project, pid, "the files on disk are again those of the worker");
            }
            return false;
        }
        let files: Vec<_> = changed.files().take(NAMED).collect();
        tracing::debug!(project = &**project, pid, ?files, "files have changed on disk");
        let now = Instant::now();
        let until = deadline.map(|deadline| now + deadline.saturating_duration_since(now) / 2);
        let Some(compiled) = compiles(session, changed.rest.files()) else {
            return true;
        };
        let usable =
            compiled.and_then(|()| self.launcher.check_successor(project, &slot.target, &changed, until));
        let Err(why) = usable else { return !self.loads_anew(slot, session) };
        if session.keep(Some(why.clone())) {
            tracing::warn!(project = &**project, pid, "going on with what the worker has in memory: {why}");
        }
        false
    }
}

impl Dispatcher {
    /// Whether the worker goes on with edited plugins: one with an engine, as its successor would have to be
    /// bootstrapped, which may fail.
    fn loads_anew(&self, slot: &Slot, session: &mut Session) -> bool {
        let has_engine = matches!(slot.target, Target::Bootstrap(_));
        let loads = has_engine && session.load_plugins_anew(after(CHECK_TIMEOUT));
        if loads {
            let (project, pid) = (&*slot.project, session.link.worker.pid());
            tracing::info!(project, pid, "plugins were edited; the worker loads them anew");
        }
        loads
    }
}

/// Has the worker see whether the Python files among these compile in it. `None` where it does not answer.
fn compiles<'a>(session: &mut Session, files: impl Iterator<Item = &'a Path>) -> Option<Result<(), String>> {
    let sources: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|end| end == "py"))
        .filter_map(Path::to_str)
        .collect();
    if sources.is_empty() {
        return Some(Ok(()));
    }
    let Ok(request) = wire::encode(&json!({"check": sources})) else { return Some(Ok(())) };
    let answer = session.link.exchange(&request, &mut 0, Some(after(CHECK_TIMEOUT))).ok()?;
    let Checked { checked } = serde_json::from_slice(answer.body()).ok()?;
    Some(match checked.first() {
        Some((file, reason)) => Err(format!("{}: {reason}", file.display())),
        None => Ok(()),
    })
}
