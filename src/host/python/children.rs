//! Processes that a thread has started.
//!
//! Linux tells them by thread (`/proc/<pid>/task/<tid>/children`, where the kernel has
//! `CONFIG_PROC_CHILDREN`). Elsewhere none are known.

use std::collections::HashSet;

use parking_lot::Mutex;

/// How processes are ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// They may put things in order.
    Ask,
    /// They may not.
    Kill,
}

/// Processes that code was seen to start, each with a number of whose code it is.
static STARTED: Mutex<Vec<(u64, i32)>> = Mutex::new(Vec::new());

/// How many of them are kept before those that have ended are forgotten.
const MANY: usize = 64;

/// Notes a process that code has started, on whatever thread.
pub(crate) fn note(whose: u64, process: i32) {
    let mut started = STARTED.lock();
    if started.len() >= MANY {
        let alive = of_this_process();
        started.retain(|(_, process)| alive.contains(process));
    }
    started.push((whose, process));
}

/// The children of this process's that were [noted](note) for these numbers and have not ended.
pub(crate) fn noted(is_wanted: impl Fn(u64) -> bool) -> Vec<i32> {
    let alive = of_this_process();
    let started = STARTED.lock();
    let wanted = started.iter().filter(|(whose, process)| is_wanted(*whose) && alive.contains(process));
    wanted.map(|(_, process)| *process).collect()
}

/// The children of all threads.
fn of_this_process() -> HashSet<i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.flat_map(|thread| listed(&format!("{}/children", thread.path().display()))).collect()
}

/// The processes that a thread had started at one moment.
pub(crate) struct Children {
    thread: Option<i32>,
    before: HashSet<i32>,
}

impl Children {
    /// Those of this thread.
    pub(crate) fn now() -> Self {
        let thread = this_thread();
        let before = thread.map(started_by).unwrap_or_default().into_iter().collect();
        Self { thread, before }
    }

    /// Ends those that the thread has started since, and `others`, with all that these have started.
    pub(crate) fn end(&self, others: Vec<i32>, how: Ending) {
        let now = self.thread.map(started_by).unwrap_or_default();
        let children: HashSet<i32> =
            now.into_iter().filter(|child| !self.before.contains(child)).chain(others).collect();
        for child in children {
            for process in with_descendants(child) {
                tracing::warn!(pid = process, "ending a process that a time limit has found running");
                signal(process, how);
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn this_thread() -> Option<i32> {
    // SAFETY: it only returns a number.
    Some(unsafe { libc::gettid() })
}

#[cfg(not(target_os = "linux"))]
fn this_thread() -> Option<i32> {
    None
}

/// The children of a thread of this process.
fn started_by(thread: i32) -> Vec<i32> {
    listed(&format!("/proc/self/task/{thread}/children"))
}

fn listed(file: &str) -> Vec<i32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The process and all below it, each before what it has started.
fn with_descendants(process: i32) -> Vec<i32> {
    let mut found = vec![process];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        next += 1;
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = listed(&format!("{}/children", thread.path().display()));
            found.extend(children.into_iter().filter(|child| !found.contains(child)).collect::<Vec<_>>());
        }
    }
    found
}

#[cfg(unix)]
fn signal(process: i32, how: Ending) {
    let signal = if how == Ending::Ask { libc::SIGTERM } else { libc::SIGKILL };
    // SAFETY: it takes two numbers. The process is a child that nobody has waited for, or below one.
    unsafe { libc::kill(process, signal) };
}

#[cfg(not(unix))]
fn signal(_: i32, _: Ending) {}
