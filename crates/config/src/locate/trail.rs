//! How a core was found, for the log.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a step looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The project's own folder.
    Configuration,
    /// The file that makes a core a localized one.
    LocalizedCore,
    /// The file that names an attached configuration's core.
    CorePointer,
    /// What shows that the configuration had a core or a pointer, or what the core had before.
    CoreBefore,
    /// The core next to all configurations.
    StudioCore,
    /// The folder that Python imports from.
    PythonFolder,
    /// The core's version.
    Version,
    /// The Python that the configuration wants.
    Interpreter,
    /// Whether the folder is a pipeline configuration to Toolkit.
    StorageRoots,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::LocalizedCore => "localized core",
            Self::CorePointer => "core pointer",
            Self::CoreBefore => "core before",
            Self::StudioCore => "studio core",
            Self::PythonFolder => "python folder",
            Self::Version => "version",
            Self::Interpreter => "interpreter",
            Self::StorageRoots => "storage roots",
        })
    }
}

/// One rule tried: what was looked for, where, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What was looked for.
    pub rule: Rule,
    /// The file or folder that was looked at.
    pub path: PathBuf,
    /// What was found there, in a few words.
    pub found: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.path.display(), self.found)
    }
}

/// Each rule that was tried for a project, in order.
///
/// `{}` is one line, for a log; `{:#}` is a line for each step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    steps: Vec<Step>,
}

impl Trail {
    /// The steps, first tried first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn add(&mut self, rule: Rule, path: &Path, found: impl Into<String>) {
        self.steps.push(Step { rule, path: path.to_owned(), found: found.into() });
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if f.alternate() { "\n" } else { "; " };
        for (index, step) in self.steps.iter().enumerate() {
            if index > 0 {
                f.write_str(between)?;
            }
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_prints_on_one_line_or_on_one_for_each_step() {
        let mut trail = Trail::default();
        assert_eq!(trail.to_string(), "");
        trail.add(Rule::LocalizedCore, Path::new("/a/_core_upgrader.py"), "nothing");
        trail.add(Rule::StudioCore, Path::new("/studio/install/core"), "a folder");
        let first = "localized core: /a/_core_upgrader.py: nothing";
        let second = "studio core: /studio/install/core: a folder";
        assert_eq!(trail.to_string(), format!("{first}; {second}"));
        assert_eq!(format!("{trail:#}"), format!("{first}\n{second}"));
    }
}
