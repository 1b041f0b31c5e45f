//! Processes: how they are started, watched, talked to and ended.

mod child;
mod files_read;
mod launch;
mod link;
mod output;
mod spawn;
mod spawner;
mod spin;
mod supervisor;
mod templates;
mod terminate;
mod trials;
mod watch;
mod worker;

pub(crate) use files_read::FilesRead;
pub(crate) use launch::{CHECK_TIMEOUT, Launcher, Target};
pub(crate) use link::{Fault, Link};
pub(crate) use supervisor::{Supervisor, Timer};
pub(crate) use terminate::Step;
pub(crate) use worker::Worker;
