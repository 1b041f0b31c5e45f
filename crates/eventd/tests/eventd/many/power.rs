//! The power goes after the last acknowledgement: what has reached the disk by then is a copy of the device.
//! Needs a file system of its own, and so the rights to mount one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use async_nats::jetstream;
use serde_json::json;
use sgtk_host_fixtures::missing;

use super::server::{Server, program};
use super::studio::Many;
use crate::daemon::python;

const EVENTS: usize = 200;

/// A file system in a file, mounted. It is unmounted when this value goes.
struct Disk(PathBuf);

impl Disk {
    fn mount(image: &Path, at: &Path) -> Option<Disk> {
        fs::create_dir(at).unwrap();
        let mounted =
            Command::new("mount").args(["-o", "loop"]).arg(image).arg(at).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Disk(at.to_owned()));
        }
        missing("a file system cannot be mounted here");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// How many events there are. None where there is no stream any more.
fn messages(url: &str) -> Option<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        Some(context.get_stream("SGTK_EV").await.ok()?.cached_info().state.messages)
    })
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_failure() {
    if let Some(left) = left_after_a_power_failure("sync_interval: always") {
        assert_eq!(left, Some(EVENTS as u64));
    }
}

/// So the copy shows what a power failure takes, and that `publish` refuses such a server for a reason.
#[test]
fn without_sync_always_a_power_failure_takes_what_was_acknowledged() {
    if let Some(left) = left_after_a_power_failure("") {
        assert!(left.unwrap_or(0) < EVENTS as u64, "{left:?}");
    }
}

/// Publishes events to a server with these lines for JetStream, and tells how many of them a copy of its disk
/// has from the moment after the last one was acknowledged. None where that cannot be tried.
fn left_after_a_power_failure(jetstream: &str) -> Option<Option<u64>> {
    let program = program()?;
    let python = python()?;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::File::create(path("image")).unwrap().set_len(128 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path("image")).status();
    if !made.is_ok_and(|status| status.success()) {
        missing("there is no mkfs.ext4");
        return None;
    }
    let disk = Disk::mount(&path("image"), &path("disk"))?;
    let server = Server::at(&program, &disk.0, jetstream, "");
    let mut many = Many::on(server, python, 1);
    many.studio.set("nats", "sync: trusted");
    let lines: Vec<_> = (1..=EVENTS)
        .map(|id| {
            json!({ "id": id, "event_type": "A", "project": { "type": "Project", "id": 1 } }).to_string()
        })
        .collect();
    fs::write(path("events"), lines.join("\n")).unwrap();
    let events = path("events").display().to_string();
    many.said("p", &["publish", "--host", "p", "--events", &events]);
    fs::copy(path("image"), path("copy")).unwrap();
    assert_eq!(messages(&many.server.url()), Some(EVENTS as u64));
    let copy = Disk::mount(&path("copy"), &path("after"))?;
    let after = Server::at(&program, &copy.0, jetstream, "");
    let left = messages(&after.url());
    drop((many, after));
    drop((disk, copy));
    Some(left)
}
