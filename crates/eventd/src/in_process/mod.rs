//! `[sgtk] isolation = in-process`: the plugins of all projects in one process, by `sgtk-host`.
//!
//! That process is one of this program's own, beside the daemon: a plugin that crashes it, or that hangs
//! where nothing can end it but a signal, costs what the projects have in memory, and not the daemon, its
//! poll or the plugins of other folders. No Python is started in the daemon itself.
//!
//! | part | is |
//! | --- | --- |
//! | `wire` | what the two say to each other |
//! | `process` | the daemon's side: starts the process, makes calls in it, replaces it |
//! | `link` | what comes from the process: answers, log records, output, its end |
//! | `host` | the process itself |

pub(crate) mod host;
mod link;
pub(crate) mod process;
mod wire;

/// The command by which the daemon starts the process. Nobody else gives it.
pub(crate) const COMMAND: &str = "host-projects";
