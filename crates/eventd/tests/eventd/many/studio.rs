//! A studio with a NATS server, a publisher and hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use async_nats::jetstream::{self, consumer::Info};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::judge::{Of, Verdict, judge};
use super::network::{NEAR, Network};
use super::server::{self, Server};
use crate::daemon::{Studio, event, family, python, signal_all};

/// Begins and ends each event in the record, with a pause in between that is made of short ones: a process
/// that was frozen has something left to do. While a file `hold` is there no call comes to that.
const PLUGIN: &str = "
import time

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    project = event['project']['id']
    done('start', os.environ['EVENTD_HOST'], project, event['id'])
    work(event)
    done('done', os.environ['EVENTD_HOST'], project, event['id'])

def work(event):
    while os.path.exists('hold'):
        time.sleep(0.01)
    for _ in range(int(os.environ['EVENTD_WORK'])):
        time.sleep(0.01)
";

const PROGRAM: &str = env!("CARGO_BIN_EXE_sgtk-eventd");

pub(crate) struct Many {
    pub(crate) studio: Studio,
    pub(crate) server: Server,
    /// The events by project.
    pub(crate) events: BTreeMap<i64, Vec<i64>>,
    /// How long an event takes, in hundredths of a second.
    pub(crate) work: u32,
    /// Where host c is, if not here.
    pub(crate) network: Option<Network>,
}

/// A publisher or a host. It is killed when this value goes, with all its workers.
pub(crate) struct Member {
    pub(crate) child: Child,
}

/// Three hosts by name, and a publisher.
pub(crate) type Members = (BTreeMap<&'static str, Member>, Member);

impl Many {
    /// A studio with so many projects, where there is all that it takes.
    pub(crate) fn new(projects: i64) -> Option<Many> {
        let program = server::program();
        let (python, program) = (python()?, program?);
        Some(Many::on(Server::start(&program), python, projects))
    }

    pub(crate) fn on(server: Server, python: PathBuf, projects: i64) -> Many {
        let mut studio = Studio::new(python);
        studio
            .set("nats", &format!("url: {}", server.url()))
            .set("nats", &format!("monitor: {}", server.monitor()))
            // A machine that is busy with other tests is no host that was frozen.
            .set("nats", "ack_wait: 12")
            .set("daemon", "logging: 20");
        for project in 1..=projects {
            studio.configuration(project, &format!("project_{project}"), "v0.24.0");
        }
        studio.project_plugin("note.py", PLUGIN);
        let events = (1..=projects).map(|project| (project, Vec::new())).collect();
        Many { studio, server, events, work: 3, network: None }
    }

    /// Has host c be in a network of its own, from which the server and the site are in reach by a link.
    /// False, with a word, where there can be none.
    pub(crate) fn put_c_behind_a_link(&mut self) -> bool {
        let [port, monitor] = self.server.ports();
        let ports = [port, monitor, self.studio.site.port()];
        self.network = Network::new(self.studio.python(), &self.studio.path("relay"), &ports);
        self.network.is_some()
    }

    fn config_file(&self, name: &str) -> PathBuf {
        let text = fs::read_to_string(self.studio.config_file()).unwrap();
        let path = self.studio.path(&format!("{name}.conf"));
        let socket = self.studio.path(&format!("{name}.sock"));
        let address = self.network_of(name).map_or("127.0.0.1", |_| NEAR);
        let text = text
            .replace("127.0.0.1", address)
            .replace("[eventd]\n", &format!("[eventd]\nsocket: {}\n", socket.display()))
            .replace("logFile: daemon\n", &format!("logFile: daemon-{name}\n"))
            .replace("/pid\n", &format!("/pid-{name}\n"));
        // In one step: a host may be reading it.
        let new = tempfile::NamedTempFile::new_in(self.studio.folder.path()).unwrap();
        fs::write(new.path(), text).unwrap();
        new.persist(&path).unwrap();
        path
    }

    /// The network that a host is in, if it has one of its own.
    fn network_of(&self, name: &str) -> Option<&Network> {
        self.network.as_ref().filter(|_| name == "c")
    }

    /// A command of a host's.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        self.words(Command::new(PROGRAM), name, arguments)
    }

    fn words(&self, mut command: Command, name: &str, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config_file(name))
            .env("DAEMON_KEY", "a-daemons-key")
            .env("EVENTD_RECORD", self.studio.path("record"))
            .env("EVENTD_HOST", name)
            .env("EVENTD_WORK", self.work.to_string())
            .current_dir(self.studio.folder.path());
        command
    }

    pub(crate) fn spawn(&self, name: &str, arguments: &[&str]) -> Member {
        let log = self.studio.path("stdout");
        let log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        let mut command = Command::new(PROGRAM);
        if let Some(network) = self.network_of(name) {
            command = network.far_side();
            command.arg(PROGRAM);
        }
        let child = self
            .words(command, name, arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Member { child }
    }

    /// Starts a host of three and does not wait for it.
    pub(crate) fn host(&self, name: &str) -> Member {
        self.spawn(name, &["serve", "--host", name, "--hosts", "a,b,c"])
    }

    /// Starts a publisher and does not wait for it.
    pub(crate) fn publisher(&self, name: &str) -> Member {
        self.spawn(name, &["publish", "--host", name])
    }

    /// Three hosts that are ready, and a publisher that polls.
    pub(crate) fn start(&self) -> Members {
        let publisher = self.publisher("p");
        self.until_logged("p", "polling begins");
        let hosts = ["a", "b", "c"].map(|name| (name, self.host(name))).into();
        for name in ["a", "b", "c"] {
            self.until_ready(name);
        }
        (hosts, publisher)
    }

    pub(crate) fn log(&self, name: &str) -> String {
        self.studio.log(&format!("daemon-{name}"))
    }

    pub(crate) fn until_logged(&self, name: &str, words: &str) {
        self.studio.until(&format!("{name} says '{words}'"), || self.log(name).contains(words));
    }

    pub(crate) fn until_ready(&self, name: &str) {
        let told = || self.said_if_running(name, &["status", "--json"]).is_some();
        self.studio.until(&format!("{name} is there"), told);
    }

    /// What a command says; it has to succeed.
    pub(crate) fn said(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    pub(crate) fn said_if_running(&self, name: &str, arguments: &[&str]) -> Option<String> {
        let output = self.command(name, arguments).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        let said = self.said_if_running(name, &["status", "--json"]).unwrap();
        serde_json::from_str(&said).unwrap()
    }

    /// Adds so many events to each project, in turn.
    pub(crate) fn add(&mut self, count: usize) {
        let projects: Vec<i64> =
            self.events.keys().copied().cycle().take(count * self.events.len()).collect();
        let entries: Vec<Value> = projects.iter().map(|project| event("A", Some(*project))).collect();
        let ids = self.studio.site.events(&entries).unwrap();
        for (project, id) in projects.into_iter().zip(ids) {
            self.events.get_mut(&project).unwrap().push(id);
        }
    }

    /// Has an event of each project be done, and waits until three hosts ask for the next one. Gives the
    /// length of the record: from there on each project has its own host.
    pub(crate) fn warm_up(&mut self) -> usize {
        self.add(1);
        self.until_all_done();
        self.until_all_ask(&self.server.url());
        self.studio.record().len()
    }

    /// Waits until three hosts ask for each project's next event.
    pub(crate) fn until_all_ask(&self, url: &str) {
        let all_ask = || consumers(url).iter().all(|(info, _)| info.num_waiting >= 3);
        self.studio.until("all hosts ask", all_ask);
    }

    /// Waits until a host that was started asks for each project's next event: the later, the more hosts come
    /// before it there. The server's count of requests does not tell, as it has several of one host. Needs a
    /// log of all there is to say (`logging: 10`).
    pub(crate) fn until_asks(&self, name: &str) {
        let asks = || {
            let log = self.log(name);
            let since = log.rsplit_once("sgtk-eventd starts").map_or("", |(_, since)| since);
            let asked: Vec<_> = since.lines().filter(|line| line.contains("events are asked for")).collect();
            self.events.keys().all(|project| {
                let consumer = format!("-{project} rank=");
                asked.iter().any(|line| line.contains(&consumer))
            })
        };
        self.studio.until(&format!("{name} asks for all projects"), asks);
    }

    /// The ids of the events in the stream, in its order.
    pub(crate) fn published(&self) -> Vec<i64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let context = jetstream::new(async_nats::connect(self.server.url()).await.unwrap());
            let stream = context.get_stream("SGTK_EV").await.unwrap();
            let mut ids = Vec::new();
            for seq in 1..=stream.cached_info().state.last_sequence {
                let message = stream.direct_get(seq).await.unwrap();
                let entry: Value = serde_json::from_slice(&message.payload).unwrap();
                ids.push(entry["id"].as_i64().unwrap());
            }
            ids
        })
    }

    /// Notes in the record that a host is killed, frozen or cut off (`gone`), or that it is there again
    /// (`back`).
    pub(crate) fn note(&self, what: &str, host: &str) {
        let record = fs::OpenOptions::new().append(true).create(true).open(self.studio.path("record"));
        record.unwrap().write_all(format!("{what} {host}\n").as_bytes()).unwrap();
    }

    /// What a host had in flight when it was noted as gone: the events that the server has given out and that
    /// are not acknowledged, but for those that others have begun.
    pub(crate) fn in_flight(&self, host: &str) -> BTreeSet<Of> {
        let record = self.studio.record();
        let gone = record.iter().rposition(|line| *line == format!("gone {host}")).unwrap();
        let begun_by_others = |(project, id): &Of| {
            let end = format!(" {project} {id}");
            let mut begun =
                record[..gone].iter().filter_map(|line| line.strip_prefix("start ")?.strip_suffix(&end));
            begun.next_back().is_some_and(|by| by != host)
        };
        let pending = consumers(&self.server.url()).into_iter().filter_map(|(_, pending)| pending);
        pending.filter(|event| !begun_by_others(event)).collect()
    }

    /// Kills a host with all below it. Gives what was in flight there: nothing is written between the two.
    pub(crate) fn kill(&self, name: &str, host: Member) -> BTreeSet<Of> {
        host.signal_all("STOP");
        self.note("gone", name);
        let in_flight = self.in_flight(name);
        host.kill();
        in_flight
    }

    /// The projects that a host was the last one to begin an event of.
    pub(crate) fn current_of(&self, host: &str) -> usize {
        let current = judge(&self.studio.record(), &self.events).current;
        current.values().filter(|name| *name == host).count()
    }

    pub(crate) fn done(&self) -> usize {
        self.studio.record().iter().filter(|line| line.starts_with("done ")).count()
    }

    /// Waits until so many lines say `done`.
    pub(crate) fn until_done(&self, count: usize) {
        self.studio.until(&format!("{count} events are done"), || self.done() >= count);
    }

    /// The events of the record from there on that were begun more than once.
    pub(crate) fn repeated_since(&self, length: usize) -> BTreeSet<Of> {
        judge(&self.studio.record().split_off(length), &self.events).repeated
    }

    /// The hosts and projects of the record from there on.
    pub(crate) fn pairs_since(&self, length: usize) -> usize {
        let record = self.studio.record().split_off(length);
        let started = record.iter().filter_map(|line| line.strip_prefix("start ")?.rsplit_once(' '));
        started.map(|(pair, _)| pair.to_owned()).collect::<BTreeSet<_>>().len()
    }

    /// Waits until all events are done at least once, in order and one at a time.
    pub(crate) fn until_all_done(&self) -> Verdict {
        let mut verdict = self.until_none_is_lost();
        if !verdict.overlap.is_empty() {
            // A host that had too little time of a busy machine ends its calls as if it had been cut off, and
            // the record does not say so. What it has done nevertheless is seen as before.
            let silent = |name: &&str| self.log(name).contains("the NATS server was silent for too long");
            let gone = ["a", "b", "c"].into_iter().filter(silent).map(|name| format!("gone {name}"));
            let record: Vec<String> = gone.chain(self.studio.record()).collect();
            verdict.overlap = judge(&record, &self.events).overlap;
        }
        let told = |wrong: &[Of]| self.told_of(wrong);
        assert_eq!(verdict.ahead, [], "begun before their predecessors were done: {}", told(&verdict.ahead));
        assert_eq!(verdict.overlap, [], "begun while others ran: {}", told(&verdict.overlap));
        assert_eq!(verdict.behind, [], "begun again after their successors: {}", told(&verdict.behind));
        verdict
    }

    /// What the record has of the projects of events, and what hosts have said that is no matter of course.
    pub(crate) fn told_of(&self, wrong: &[Of]) -> String {
        let is_of = |line: &String| {
            let project = line.split(' ').nth(2).and_then(|project| project.parse().ok());
            project.is_none_or(|project: i64| wrong.iter().any(|(one, _)| *one == project))
        };
        let mut told: Vec<String> = self.studio.record().into_iter().filter(is_of).collect();
        for name in ["a", "b", "c"] {
            let log = self.log(name);
            let warnings = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
            told.extend(warnings.map(|line| format!("{name}: {line}")));
        }
        told.join("\n")
    }

    /// Waits until all events are done at least once.
    pub(crate) fn until_none_is_lost(&self) -> Verdict {
        self.studio
            .until("all events are done", || judge(&self.studio.record(), &self.events).lost.is_empty());
        judge(&self.studio.record(), &self.events)
    }
}

/// The consumers; those of projects with the event that they have given out and that is not acknowledged.
fn consumers(url: &str) -> Vec<(Info, Option<Of>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(url.split(',').collect::<Vec<_>>()).await.unwrap());
        let stream = context.get_stream("SGTK_EV").await.unwrap();
        let infos: Vec<Info> = stream.consumers().filter_map(|info| async { info.ok() }).collect().await;
        let mut consumers = Vec::new();
        for info in infos {
            let pending = if info.num_ack_pending == 0 || !info.name.starts_with("p-") {
                None
            } else {
                let message = stream.direct_get(info.delivered.stream_sequence).await.unwrap();
                let entry: Value = serde_json::from_slice(&message.payload).unwrap();
                Some((entry["project"]["id"].as_i64().unwrap(), entry["id"].as_i64().unwrap()))
            };
            consumers.push((info, pending));
        }
        consumers
    })
}

impl Member {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process and all below it: as if to the machine.
    pub(crate) fn signal_all(&self, signal: &str) {
        signal_all(&family(self.pid()), signal);
    }

    pub(crate) fn kill(mut self) {
        self.signal_all("KILL");
        self.child.wait().unwrap();
    }

    pub(crate) fn stop(mut self) -> ExitStatus {
        let sent = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It has ended, in most tests.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal_all("KILL");
            let _ = self.child.wait();
        }
    }
}
