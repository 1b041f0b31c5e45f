//! What configurations had when they were last found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::CoreKind;

/// The files by which a whole core can be told from one that is being replaced. Every release has both.
pub(super) const MARKS: [&str; 2] = ["_core_upgrader.py", "info.yml"];

/// What projects had of a core, and cores of [`MARKS`], when they were last found. It only ever turns an
/// answer into an error, never into another answer.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Projects with a core of their own or a pointer, and where that core was.
    own: HashMap<String, (CoreKind, PathBuf)>,
    /// Cores by their `install/core` folder.
    marks: HashMap<PathBuf, Vec<&'static str>>,
}

impl Memory {
    /// How the project came by its core, where that was not the studio's.
    pub(super) fn kind(&self, project: &str) -> Option<CoreKind> {
        self.known.lock().own.get(project).map(|(kind, _)| *kind)
    }

    /// The marks that the core had.
    pub(super) fn marks(&self, install_core: &Path) -> Vec<&'static str> {
        self.known.lock().marks.get(install_core).cloned().unwrap_or_default()
    }

    pub(super) fn remember(&self, project: &str, kind: CoreKind, core: &Path, marks: Vec<&'static str>) {
        let mut known = self.known.lock();
        if matches!(kind, CoreKind::Localized | CoreKind::Attached) {
            let same = known.own.get(project).is_some_and(|(seen, at)| *seen == kind && at == core);
            if !same {
                known.own.insert(project.to_owned(), (kind, core.to_owned()));
            }
        }
        if !marks.is_empty() && known.marks.get(core) != Some(&marks) {
            known.marks.insert(core.to_owned(), marks);
        }
    }

    /// Takes the project for one that was never looked at, and the core that it may have had or shared.
    pub(super) fn forget(&self, project: &str, core: &Path) {
        let mut known = self.known.lock();
        known.marks.remove(core);
        if let Some((_, core)) = known.own.remove(project) {
            known.marks.remove(&core);
        }
    }
}
