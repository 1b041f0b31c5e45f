//! Plugins of an engine's that were edited. An engine cannot be imported anew as a project's core is, but its
//! plugins can: their modules are taken out, and loaded when they are imported next.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use sgtk_config::FolderWatch;

use super::sound;
use crate::error::{Error, Result};
use crate::host::ownership::import_state::ImportState;
use crate::host::python::modules::{self, Origin};
use crate::host::python::{bytecode, contents, import_caches};
use crate::host::state::world::{modules_of, place};

/// The plugins of one engine, from before its bootstrap on.
pub(crate) struct Plugins {
    folders: Vec<String>,
    known: Mutex<Known>,
}

struct Known {
    /// Taken away while files are looked at, which may be slow.
    watch: Option<FolderWatch>,
    checked: Instant,
    /// Why what is in memory was kept although files have changed.
    kept: Option<String>,
}

impl Plugins {
    pub(crate) fn new(folders: &[String]) -> Self {
        let watch = Some(FolderWatch::of_plugins(folders));
        let known = Known { watch, checked: Instant::now(), kept: None };
        Self { folders: folders.to_vec(), known: Mutex::new(known) }
    }

    /// Whether plugins have changed since they were looked at last, which is so long ago, and can be read. A
    /// warning says what keeps them from it.
    pub(crate) fn are_edited(&self, py: Python<'_>, engine: &str, after: Duration, settle: Duration) -> bool {
        if self.folders.is_empty() {
            return false;
        }
        let mut known = self.known.lock();
        if known.checked.elapsed() < after {
            return false;
        }
        known.checked = Instant::now();
        let Some(mut watch) = known.watch.take() else { return false };
        drop(known);
        // Files may be slow to look at, so others are to go on meanwhile.
        let (changed, anew) = py.detach(|| {
            let changed = watch.changed();
            let anew = (!changed.is_empty()).then(|| watch.anew());
            (changed, anew)
        });
        let kept = changed.gone_for_now(settle).or_else(|| {
            let unsound = sound::check(py, changed.files()).err()?;
            Some(unsound.to_string())
        });
        let is_edited = anew.is_some() && kept.is_none();
        let watch = match anew {
            Some(anew) if is_edited => anew,
            _ => watch,
        };
        let mut known = self.known.lock();
        known.watch = Some(watch);
        let is_news = known.kept != kept;
        known.kept.clone_from(&kept);
        drop(known);
        if let (Some(why), true) = (kept, is_news) {
            tracing::warn!(engine, why, "plugins have changed; going on with what is in memory");
        }
        if is_edited {
            tracing::info!(engine, "plugins were edited, they are loaded anew when they are imported next");
            if let Err(error) = bytecode::forget(py, changed.files()) {
                let error = Error::from(error);
                tracing::warn!(engine, %error, "failed to look for compiled code of edited files");
            }
        }
        is_edited
    }

    /// Takes their modules out of the state, which is in place. What holds one of them goes on with it.
    pub(crate) fn take_out(&self, py: Python<'_>, state: &Arc<ImportState>) -> Result<()> {
        let is_here = |path: &str| self.folders.iter().any(|folder| Path::new(path).starts_with(folder));
        let loaded = contents::items(&modules_of(py, state));
        let ours = loaded.into_iter().filter(|(_, module)| match modules::origin(module) {
            Origin::Path(path) => is_here(&path),
            Origin::Interpreter | Origin::Made => false,
        });
        // Dropped when it is all over, as that runs code of theirs.
        let ours: Vec<_> = ours.collect();
        let Some(live) = modules::all_loaded(py) else { return Ok(()) };
        for (name, module) in &ours {
            if live.get_item(name)?.is_some_and(|loaded| loaded.is(module)) {
                live.del_item(name)?;
            }
        }
        import_caches::forget(py, is_here)?;
        // Out and in again, so that the state is what it is without them.
        place(py, None)?;
        place(py, Some(state))?;
        state.discount_entry();
        Ok(())
    }
}
