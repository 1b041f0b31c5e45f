//! The options that a start was asked for.

use std::fmt::Debug;
use std::path::PathBuf;

use super::error::InterpreterError;

/// What was asked for. `None` means "no matter": the default where we start, whatever there is where one
/// runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) executable: Option<PathBuf>,
    pub(super) write_bytecode: Option<bool>,
    pub(super) search_path: Option<Vec<PathBuf>>,
}

impl Settings {
    /// What a start with these makes of the options that were not set.
    pub(super) fn with_defaults(&self, executable: PathBuf) -> Self {
        Self {
            executable: Some(executable),
            write_bytecode: Some(self.write_bytecode.unwrap_or(true)),
            search_path: Some(self.search_path.clone().unwrap_or_default()),
        }
    }

    /// The first option that is set in `wanted` and has another value here.
    pub(super) fn conflict(&self, wanted: &Self) -> Option<InterpreterError> {
        differs("executable", &self.executable, &wanted.executable)
            .or_else(|| differs("write_bytecode", &self.write_bytecode, &wanted.write_bytecode))
            .or_else(|| differs("search_path", &self.search_path, &wanted.search_path))
    }
}

fn differs<T: PartialEq + Debug>(
    setting: &'static str,
    running: &Option<T>,
    wanted: &Option<T>,
) -> Option<InterpreterError> {
    let (running, wanted) = (running.as_ref()?, wanted.as_ref()?);
    (running != wanted).then(|| InterpreterError::OtherSettings {
        setting,
        running: format!("{running:?}"),
        wanted: format!("{wanted:?}"),
    })
}
