//! Why a project's core could not be found.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Platform;

/// Why a project's core could not be found. No Python has run when this is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The project's name is not a plain folder name on every platform. No file was touched. Pass the name of
    /// the folder below the base folder, not a path.
    #[error("project name {project:?} is refused: {reason}")]
    ProjectName {
        /// The name as it was given.
        project: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The base folder is empty, or relative while there is no current folder. Give an absolute one.
    #[error("base folder {base:?} is not an absolute path")]
    RelativeBase {
        /// The folder as it was given.
        base: PathBuf,
    },

    /// The base folder could not be listed: it is missing, no folder, or not for this user. Check the mount
    /// and `SHOTGUN_BASE`.
    #[error("failed to list base folder {}: {reason}", base.display())]
    BaseUnreadable {
        /// The base folder.
        base: PathBuf,
        /// Why: it is missing, it is no folder, permission is denied, or what the system says.
        reason: String,
    },

    /// A value that is not an event's project. Pass the event's `project`.
    #[error("{value} is not an event's project: {reason}")]
    ProjectReference {
        /// The value as JSON.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// No configuration below the base folder says that it is that project's. Check `SHOTGUN_BASE`, or set
    /// the project up; one that is distributed is found through the site, by a bootstrap.
    #[error("no configuration below {} is one of {project}{}", base.display(), besides(unreadable))]
    NoConfiguration {
        /// The project asked for.
        project: String,
        /// The base folder.
        base: PathBuf,
        /// The folders that cannot be read, any of which may be its.
        unreadable: String,
    },

    /// Several configurations say that they are that project's, and none of them, or more than one, is its
    /// `Primary`. Name the configuration, or correct `config/core/pipeline_configuration.yml` in the one that
    /// was copied.
    #[error("{project} has several configurations below {}: {claims}", base.display())]
    AmbiguousProject {
        /// The project asked for.
        project: String,
        /// The base folder.
        base: PathBuf,
        /// The folders, each with its configuration's name.
        claims: String,
    },

    /// A configuration does not say, or no longer, whose it is.
    #[error("failed to read {} of the configuration in folder {folder:?}: {reason}", file.display())]
    ConfigurationUnreadable {
        /// The name of its folder.
        folder: String,
        /// Its `pipeline_configuration.yml`.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// One configuration is the project's and is not its `Primary`, which may be among those that cannot be
    /// read. Name the configuration, or fix the others.
    #[error(
        "{project} has the configuration in folder {found:?}, and perhaps a primary one that cannot be \
         read: {unreadable}"
    )]
    ProjectUndecided {
        /// The project asked for.
        project: String,
        /// The folder that was found.
        found: String,
        /// The folders that cannot be read.
        unreadable: String,
    },

    /// A file that decides where the core is could not be looked at or read: no permission, a link to
    /// nowhere, a failing disk. It is not taken for missing, since that could mean another core. Repair the
    /// file or remove it.
    #[error("failed to read {} of project {project:?}: {cause}", file.display())]
    Unreadable {
        /// The project asked for.
        project: String,
        /// The file or folder.
        file: PathBuf,
        /// Why. It is part of the message, so `source()` does not give it again.
        cause: io::Error,
    },

    /// There is no configuration of that name below the base folder. Check the name, or set the project up.
    /// With [`StudioFallback::Always`](crate::StudioFallback::Always) such a project gets the studio core.
    #[error("project {project:?} has no configuration: expected a folder at {}{closest}", folder.display())]
    UnknownProject {
        /// The project asked for.
        project: String,
        /// Where its folder would be.
        folder: PathBuf,
        /// Existing names that are close to it, the closest first.
        closest: Names,
    },

    /// The project's folder has no files in `config/core`, so it is no configuration: an empty mount point,
    /// or one that is being set up.
    #[error("project {project:?} has no configuration: {} has no files in config/core", folder.display())]
    NotAConfiguration {
        /// The project asked for.
        project: String,
        /// Its folder.
        folder: PathBuf,
    },

    /// The configuration names no core for this platform: it has pointers for other platforms only, or
    /// nothing while the studio fallback is off. Write the pointer (`tank attach_to_core` does).
    #[error(
        "project {project:?} has no core of its own and no core pointer at {}{}", file.display(), only(others)
    )]
    PointerMissing {
        /// The project asked for.
        project: String,
        /// Where the pointer would be.
        file: PathBuf,
        /// The pointers for other platforms that are there, if any.
        others: String,
    },

    /// The configuration had a core of its own or a core pointer, and both are missing now. That is so while
    /// Toolkit upgrades, localizes or shares a core, which takes minutes on a network drive: try again. Where
    /// it stays so, install the core or write the pointer; to have the studio core instead, empty
    /// `install/core`, remove `install/core.backup`, and call [`Configs::forget`](crate::Configs::forget) or
    /// start the daemon again.
    #[error(
        "the core of project {project:?} cannot be determined: {} has {found}, and neither _core_upgrader.py nor a \
         core pointer at {}; an upgrade may be running",
        core.display(), pointer.display()
    )]
    CoreUndecided {
        /// The project asked for.
        project: String,
        /// The configuration's `install/core` folder.
        core: PathBuf,
        /// What is left there of a core.
        found: String,
        /// Where the pointer would be.
        pointer: PathBuf,
    },

    /// Something else stands where the core pointer should: a folder, a pipe, a device. Put a text file
    /// there.
    #[error("core pointer {} of project {project:?} should be a file and is {found}", file.display())]
    PointerNotAFile {
        /// The project asked for.
        project: String,
        /// The pointer.
        file: PathBuf,
        /// What it is.
        found: &'static str,
    },

    /// The core pointer is larger than a path can be. Put one line with a path there.
    #[error(
        "core pointer {} of project {project:?} should hold a path and is {size} bytes long, more than \
         {limit}",
        file.display()
    )]
    PointerTooLarge {
        /// The project asked for.
        project: String,
        /// The pointer.
        file: PathBuf,
        /// Its size in bytes, at least.
        size: u64,
        /// The largest size that is read, in bytes.
        limit: u64,
    },

    /// The core pointer was read and cannot be followed. `problem` says why and what to do.
    #[error("core pointer {} of project {project:?} says {value:?}: {problem}", file.display())]
    Pointer {
        /// The project asked for.
        project: String,
        /// The pointer.
        file: PathBuf,
        /// Its first line without white space; all of it, as far as it is text, where it is not UTF-8.
        value: String,
        /// Why that cannot be followed. Boxed, since every result of this crate has room for its error.
        problem: Box<PointerProblem>,
    },

    /// The configuration has no core and no pointer, and there is no studio core either. Install one there,
    /// or write the project's pointer.
    #[error(
        "project {project:?} has no core of its own and no core pointer at {}, and there is no studio core \
         at {}",
        pointer.display(), core.display()
    )]
    StudioCoreMissing {
        /// The project asked for.
        project: String,
        /// Where its pointer would be.
        pointer: PathBuf,
        /// Where the studio core would be.
        core: PathBuf,
    },

    /// The folder that should hold the core holds the small API proxies of an attached configuration, which
    /// themselves point elsewhere. Name the folder of the core itself.
    #[error(
        "the core of project {project:?} should be in {} and is not: {} there points elsewhere",
        core.display(), pointer.display()
    )]
    CoreElsewhere {
        /// The project asked for.
        project: String,
        /// The `install/core` folder without a core.
        core: PathBuf,
        /// The pointer that was found in it.
        pointer: PathBuf,
    },

    /// The core lacks what `import sgtk` takes, or what it had before: it is half installed, being upgraded,
    /// or no core. Try again once the upgrade is over, else install it again.
    #[error(
        "the core of project {project:?} is incomplete: {} lacks {missing}; an upgrade may be running",
        core.display()
    )]
    CoreIncomplete {
        /// The project asked for.
        project: String,
        /// The core's `install/core` folder, or `python` in it.
        core: PathBuf,
        /// What it lacks, separated by commas.
        missing: String,
    },
}

fn besides(unreadable: &str) -> String {
    if unreadable.is_empty() { String::new() } else { format!(", and these cannot be read: {unreadable}") }
}

fn only(others: &str) -> String {
    if others.is_empty() { String::new() } else { format!(", only {others}") }
}

impl ConfigError {
    /// A base folder that cannot be listed.
    pub(crate) fn of_base(base: &Path, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "it is missing".to_owned(),
            io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        Self::BaseUnreadable { base: base.to_owned(), reason }
    }
}

/// Names of projects, for an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// The names.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl From<Vec<String>> for Names {
    fn from(names: Vec<String>) -> Self {
        Self(names)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.0.split_first() else { return Ok(()) };
        write!(f, "; did you mean {first:?}")?;
        others.iter().try_for_each(|name| write!(f, " or {name:?}"))?;
        f.write_str("?")
    }
}

/// Why what a core pointer says cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointerProblem {
    /// It is not UTF-8. Windows editors and PowerShell's `>` may write UTF-16; save it as UTF-8.
    #[error("expected UTF-8 text")]
    NotUtf8,

    /// The first line is empty, or is once its variables are expanded. Write the core's folder there.
    #[error("expected a path on the first line, found none")]
    Empty,

    /// It is the word that Toolkit's setup writes where a platform has no path. Write the core's folder
    /// there.
    #[error("expected a path, found Toolkit's word for there being none on this platform")]
    Undefined,

    /// It begins or ends with a quotation mark. Toolkit takes those for part of the path; remove them.
    #[error("expected a path without quotation marks")]
    Quoted,

    /// There are more lines with text. Toolkit reads the first in one place and all of them in another; leave
    /// one.
    #[error("expected one line, found {lines} with text")]
    SeveralLines {
        /// How many lines have text.
        lines: usize,
    },

    /// It uses a variable that is not set for this process. Set it where the daemon is started.
    #[error("variable {variable:?} is not set")]
    UnsetVariable {
        /// The variable's name.
        variable: String,
    },

    /// It uses a variable, or the home folder, whose value is not Unicode. Give it a value that is.
    #[error("the value of {variable:?} is not Unicode")]
    VariableNotUnicode {
        /// The variable's name, or `~`.
        variable: String,
    },

    /// It begins with `~` and the process has no home folder. Set `HOME` (on Windows `USERPROFILE`), or write
    /// the path out.
    #[error("there is no home folder for ~ to stand for")]
    NoHome,

    /// It begins with `~user`. Only `~` alone is understood; write the path out.
    #[error("the home folder of another user (~{user}) is not supported")]
    OtherHome {
        /// The other user.
        user: String,
    },

    /// It is a relative path, which would depend on the daemon's current folder. Write an absolute one; on
    /// Windows with its drive or share.
    #[error("expected an absolute path on {platform}, found {expanded:?}")]
    Relative {
        /// The path with its variables expanded.
        expanded: String,
        /// By whose rules it is relative.
        platform: Platform,
    },

    /// There is no folder of that name, or it cannot be looked at. Check the path and the mount.
    #[error("expected a folder at {}, found {found}", folder.display())]
    NotAFolder {
        /// The path with its variables expanded.
        folder: PathBuf,
        /// What is there.
        found: String,
    },

    /// The folder has no `install/core`. Name the folder that holds `install`, not the core itself.
    #[error("expected a core at {}, found {found}", core.display())]
    NoCore {
        /// The missing folder.
        core: PathBuf,
        /// What is there.
        found: String,
    },
}
