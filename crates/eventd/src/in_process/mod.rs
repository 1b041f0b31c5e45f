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
//! | `running` | one such process: its calls, and their answers |
//! | `link`, `output` | what is said to it, and what comes from it: answers, log records, prints, its end |
//! | `host` | the process itself |

pub(crate) mod host;
mod link;
mod output;
pub(crate) mod process;
mod running;
mod wire;

pub(crate) use wire::COMMAND;
