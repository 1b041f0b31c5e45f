//! A long load on many projects, whose plugins misbehave in every way: nothing is lost, order is kept, and
//! the daemon needs no more memory, descriptors and processes for many events and projects than for few.
//!
//! `EVENTD_SOAK` is the number of events, `EVENTD_PROJECTS` that of the projects; with `EVENTD_SAMPLES` the
//! figures are written to that file.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Studio, event, python};

/// Project workers at a time.
const WORKERS: usize = 6;

/// How long nothing may happen at all.
const STANDSTILL: Duration = Duration::from_secs(120);

/// Plugins that need no core.
const PLAIN: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    done('all', event['id'])
";

const GOOD: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    import sgtk
    done('project-%d' % event['project']['id'], event['id'])
";

/// Each way of doing harm for one event in so many.
const BAD: &str = "
import subprocess
import sys
import time

eaten = []

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', harm, stopOnError=False)

def first(event):
    'Whether it is tried for the first time.'
    try:
        os.close(os.open('tried-%d' % event['id'], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def harm(sg, logger, event, args):
    way = event['id'] % EVERY
    if way == 1 and first(event):
        os._exit(3)
    elif way == 2:
        raise ValueError('wrong with %d' % event['id'])
    elif way == 3:
        sys.stdout.write('x' * 1000000 + '\\n')
        sys.stdout.flush()
    elif way == 4:
        subprocess.Popen(['sleep', '1'])
    elif way == 5 and first(event):
        time.sleep(3600)
    elif way == 6:
        eaten.append(b'x' * (40 << 20))
    elif way == 7:
        os.chdir('/')
        sys.path.insert(0, '/nowhere')
    elif way == 8 and os.fork() == 0:
        raise SystemExit(1)
    elif way == 9:
        logger.error('an error of %d', event['id'])
";

/// What the daemon needs.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    /// KiB of resident memory.
    memory: usize,
    descriptors: usize,
    /// All processes that it has started, and those that they have, but for the pauses of the bad plugin.
    processes: usize,
}

impl Needs {
    fn of(daemon: &Daemon) -> Needs {
        let pid = daemon.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.split_whitespace().next().unwrap().parse().unwrap();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Needs { memory, descriptors, processes: descendants(pid) }
    }

    fn max(self, other: Needs) -> Needs {
        Needs {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            processes: self.processes.max(other.processes),
        }
    }
}

fn descendants(of: u32) -> usize {
    let mut parents: HashMap<u32, u32> = HashMap::new();
    let mut own: HashSet<u32> = HashSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
        if name.ends_with("(sleep") {
            own.insert(pid);
        }
        if let Some(parent) = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok()) {
            parents.insert(pid, parent);
        }
    }
    let is_below = |mut pid: u32| {
        while let Some(parent) = parents.get(&pid).copied().filter(|parent| *parent != 0) {
            if parent == of {
                return true;
            }
            pid = parent;
        }
        false
    };
    parents.keys().filter(|pid| is_below(**pid) && !own.contains(pid)).count()
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Reads what was written to a file since the last time.
#[derive(Debug, Default)]
struct Record {
    read: usize,
    /// By plugin, the events that it has done, in that order.
    done: BTreeMap<String, Vec<i64>>,
    lines: usize,
}

impl Record {
    fn read(&mut self, path: &Path) -> io::Result<()> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(self.read as u64))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += whole;
        for line in text[..whole].lines() {
            let line = line?;
            let (who, id) = line.split_once(' ').unwrap();
            self.done.entry(who.to_owned()).or_default().push(id.parse().unwrap());
            self.lines += 1;
        }
        Ok(())
    }

    /// Asserts that a plugin has done these events, in their order. Returns how many came again.
    fn judge(&self, who: &str, ids: &[i64]) -> usize {
        let mut done = self.done.get(who).cloned().unwrap_or_default();
        let again = done.len();
        done.dedup();
        let all: BTreeSet<_> = done.iter().collect();
        let missing: BTreeSet<_> = ids.iter().filter(|id| !all.contains(id)).take(10).collect();
        assert!(done == ids, "{who}: {} of {} done, missing {missing:?}", done.len(), ids.len());
        again - done.len()
    }
}

#[test]
fn a_long_load_on_many_projects_needs_no_more_than_a_short_one_on_few() {
    let Some(python) = python() else { return };
    let (total, projects) = (number("EVENTD_SOAK", 600), number("EVENTD_PROJECTS", 16) as i64);
    let mut studio = Studio::new(python);
    studio
        .set("daemon", "logging: 20")
        .set("daemon", "timing_log: off")
        .set("eventd", "callback_timeout: 2")
        .set("eventd", "retry_after: 0.1")
        .set("eventd", "memory_limit: 100")
        .set("sgtk", &format!("max_workers: {WORKERS}"));
    studio.plugin("all.py", PLAIN);
    studio.project_plugin("a_good.py", GOOD);
    // Odd, so that each way comes up in all projects.
    let every = (total / 60).clamp(50, 1000) | 1;
    studio.project_plugin("b_bad.py", &BAD.replace("EVERY", &every.to_string()));
    for id in 1..=projects {
        // Each with a core of its own, as studios have them.
        studio.configuration(1000 + id, &format!("project_{id}"), "v0.24.0");
    }
    let daemon = studio.start_polling();
    let begun = Instant::now();
    let mut samples = vec![(begun.elapsed(), 0, Needs::of(&daemon))];
    let entries: Vec<_> =
        (0..total as i64).map(|number| event("A", Some(1001 + number % projects))).collect();
    let mut ids = Vec::new();
    for some in entries.chunks(5000) {
        ids.extend(studio.site.events(some).unwrap());
    }
    let mut record = Record::default();
    let mut moved = Instant::now();
    let mut most = Needs::default();
    // Each event is done by the plugin that has all, and by that of its project.
    while record.lines < 2 * total || !is_all_done(&studio) {
        let before = record.lines;
        // Nothing is written at first.
        let _ = record.read(&studio.path("record"));
        if record.lines > before {
            moved = Instant::now();
        }
        assert!(moved.elapsed() < STANDSTILL, "it stands at {}: {}", record.lines, studio.said(&["status"]));
        let needs = Needs::of(&daemon);
        most = most.max(needs);
        if samples.last().is_none_or(|(at, ..)| begun.elapsed() > *at + Duration::from_secs(5)) {
            samples.push((begun.elapsed(), record.lines, needs));
            note(&samples);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    record.read(&studio.path("record")).unwrap();
    samples.push((begun.elapsed(), record.lines, Needs::of(&daemon)));
    note(&samples);
    let mut again = record.judge("all", &ids);
    for project in 1001..=1000 + projects {
        let its: Vec<i64> = ids
            .iter()
            .copied()
            .zip(&entries)
            .filter(|(_, event)| event["project"]["id"] == project)
            .map(|(id, _)| id)
            .collect();
        again += record.judge(&format!("project-{project}"), &its);
    }
    eprintln!(
        "{total} events of {projects} projects in {:?}, {again} came again; at most {most:?}",
        begun.elapsed()
    );
    // The client's worker, the plain plugins' and the project workers; beside them templates, and those that
    // are about to end or were forked by a plugin for a moment.
    let workers = 2 + WORKERS;
    assert!(most.processes <= 3 * workers, "{most:?}");
    // Each of them has six at most.
    assert!(most.descriptors <= 40 + 6 * 3 * workers, "{most:?}");
    assert!(most.memory <= 64 << 10, "{most:?}");
    assert!(daemon.stop().success());
}

/// Whether no lane has anything to do any more.
fn is_all_done(studio: &Studio) -> bool {
    studio.said(&["status"]).contains("\n0 events kept")
}

/// Writes the figures down, for whoever watches a long run.
fn note(samples: &[(Duration, usize, Needs)]) {
    let Some(path) = std::env::var_os("EVENTD_SAMPLES") else { return };
    let mut text = String::new();
    for (at, done, Needs { memory, descriptors, processes }) in samples {
        let at = at.as_secs();
        writeln!(
            text,
            "{at:5} s {done:8} done {memory:8} KiB {descriptors:5} descriptors {processes:4} processes"
        )
        .unwrap();
    }
    fs::write(path, text).unwrap();
}
