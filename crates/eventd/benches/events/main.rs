//! Events a second through one plugin that does nothing: of the daemon, beside what a studio would do
//! instead, a loop that polls and writes down after each event how far it is, and beside the floor, a loop
//! that only reads and calls. All three ask the same site, by the same client, for pages of 500 events.
//!
//! The client is the real `shotgun_api3` where `SGTK_HOST_CLIENT_PYTHON` names a Python that has it, else the
//! demo's. `EVENTS_BENCH` is the number of events.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use sgtk_host_fixtures::Site;

/// A site, and what all candidates need.
struct Studio {
    site: Site,
    folder: tempfile::TempDir,
    /// Who is told of the last event.
    listener: TcpListener,
}

/// Something that does events. It ends with this value.
struct Candidate(Child);

impl Drop for Candidate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Studio {
    fn new() -> Studio {
        let site = Site::start().unwrap();
        site.script_user("plugin", "a-plugins-key").unwrap();
        site.events(&[json!({ "event_type": "Before" })]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["plugins", "client/shotgun_api3"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("plugins/plugin.py"), include_str!("plugin.py")).unwrap();
        fs::write(folder.path().join("loop.py"), include_str!("loop.py")).unwrap();
        let client = include_str!("../../src/python/demo_client.py");
        fs::write(folder.path().join("client/shotgun_api3/__init__.py"), client).unwrap();
        Studio { site, folder, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the demo's client, where there is no real one.
    fn client(&self) -> String {
        match std::env::var_os("SGTK_HOST_CLIENT_PYTHON") {
            Some(_) => String::new(),
            None => self.path("client").display().to_string(),
        }
    }

    fn start(&self, command: &mut Command) -> Child {
        let port = self.listener.local_addr().unwrap().port();
        command.env("EVENTS_BENCH_PORT", port.to_string()).stdin(Stdio::null()).spawn().unwrap()
    }

    /// The loop; with a file for its cursor, or without.
    fn run_loop(&self, cursor: Option<&Path>) -> Candidate {
        let mut command = Command::new(python());
        command.arg(self.path("loop.py")).arg(self.path("plugins/plugin.py")).arg(self.site.url());
        command.arg(cursor.unwrap_or(Path::new("-"))).env("PYTHONPATH", self.client()).stdout(Stdio::piped());
        let mut child = self.start(&mut command);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Candidate(child)
    }

    fn run_daemon(&self) -> Candidate {
        let folder = self.folder.path().display();
        let (url, python, client) = (self.site.url(), python(), self.client());
        let text = format!(
            "[daemon]\npidFile: {folder}/pid\neventIdFile: {folder}/ids\nlogMode: 1\nlogPath: \
             {folder}\nlogFile: log\n\
             logging: 20\nfetch_interval: 0.01\nmax_event_batch_size: 500\n\
             [shotgun]\nserver: {url}\nname: plugin\nkey: a-plugins-key\n[plugins]\npaths: {folder}/plugins\n\
             [emails]\nenabled: False\n[eventd]\npython: {python}\npython_paths: {client}\n"
        );
        let file = self.path("shotgunEventDaemon.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sgtk-eventd"));
        let daemon = Candidate(self.start(command.args(["run", "--quiet", "--config"]).arg(file)));
        // Its first poll for events follows that for the latest.
        let before = self.site.counts().unwrap().get("read:EventLogEntry").copied().unwrap_or(0);
        assert!(self.site.wait_for("read:EventLogEntry", before + 2, Duration::from_secs(60)).unwrap());
        daemon
    }

    /// How long it takes from when events can be seen until the last one is done.
    fn measure(&self, entries: &[Value]) -> Duration {
        let ids = self.site.events(entries).unwrap();
        let start = Instant::now();
        self.site.commit(&ids).unwrap();
        self.listener.accept().unwrap();
        start.elapsed()
    }
}

fn python() -> String {
    std::env::var("SGTK_HOST_CLIENT_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Events that are seen together.
fn entries(count: usize) -> Vec<Value> {
    let kind = |number: usize| if number + 1 == count { "Last" } else { "Shotgun_Shot_Change" };
    let entry = |number| {
        json!({
            "event_type": kind(number), "attribute_name": "sg_status_list", "session_uuid": "0123", "hold": true,
            "meta": {
                "type": "attribute_change", "attribute_name": "sg_status_list", "entity_type": "Shot", "entity_id": 1,
                "old_value": "wtg", "new_value": "ip",
            },
            "entity": { "type": "Shot", "id": 1, "name": "s010" },
            "user": { "type": "HumanUser", "id": 1, "name": "Ada" },
            "project": { "type": "Project", "id": 70, "name": "bunny" },
        })
    };
    (0..count).map(entry).collect()
}

fn events(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let count = std::env::var("EVENTS_BENCH").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(if is_test { 200 } else { 10_000 });
    let entries = entries(count);
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(count as u64)).sample_size(10);
    let mut measure = |name: &str, start: fn(&Studio) -> Candidate| {
        // A site of its own for each: it gets slower with what it has.
        let studio = Studio::new();
        let _candidate = start(&studio);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| studio.measure(&entries)).sum());
        });
    };
    measure("floor: read and call", |studio| studio.run_loop(None));
    measure("a studio's own loop", |studio| studio.run_loop(Some(&studio.path("cursor"))));
    measure("sgtk-eventd run", Studio::run_daemon);
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
