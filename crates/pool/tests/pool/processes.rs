//! What processes look like from outside.

use std::collections::BTreeSet;
use std::fs;

/// The processes whose parents lead to this one, zombies included.
pub(crate) fn descendants() -> BTreeSet<u32> {
    let mut family = BTreeSet::from([std::process::id()]);
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(pid)?))
        })
        .collect();
    loop {
        let before = family.len();
        let children = all.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid);
        family.extend(children.collect::<Vec<_>>());
        if family.len() == before {
            family.remove(&std::process::id());
            return family;
        }
    }
}

fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    fields(pid)?.get(1)?.parse().ok()
}

/// Whether a process runs: there, and no zombie that its next parent has yet to take.
pub(crate) fn runs(pid: u32) -> bool {
    fields(pid).is_some_and(|fields| fields[0] != "Z")
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// What each open descriptor of this process is.
pub(crate) fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut open: Vec<_> = entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .filter(|target| !target.starts_with("/proc/"))
        .map(|target| target.split(':').next().unwrap_or_default().to_owned())
        .collect();
    open.sort();
    open
}

/// Sends SIGKILL to a process that is a worker of some pool.
pub(crate) fn kill_worker(pid: u32) {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&command).contains("<sgtk-host>")
        && let Some(pid) = rustix::process::Pid::from_raw(pid as i32)
    {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Of this process, in bytes.
pub(crate) fn resident_memory() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}
