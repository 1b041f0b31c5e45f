//! The queue of one machine beside that of many hosts, with one host and with three: events a second of a
//! burst, and the time from the publisher to the plugin's end at a steady rate. No Python: a lane's work is a
//! pause. What the hosts write down is judged: none lost, none ahead of its predecessor.
//!
//! `HOSTS_PROJECTS`, `HOSTS_EVENTS` (of the burst), `HOSTS_RATE`, `HOSTS_SECONDS` (of the steady rate) and
//! `HOSTS_WORK` (ms) set the sizes; with `HOSTS_APART` (ms) the hosts do not begin at once but one after the
//! other; `HOSTS_TRACE` tells when a project was begun on another host than the first one; with
//! `HOSTS_POISONED` the first project's events fail each second
//! forever; `HOSTS_ONLY="three hosts"` runs one row, `HOSTS_URL` and `HOSTS_REPLICAS` take other servers.
//! Needs `nats-server` on the PATH, or named by `SGTK_HOST_NATS_SERVER`.

#[path = "../tests/eventd/many/judge.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod judge;
#[path = "../tests/eventd/many/server.rs"]
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
mod server;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sgtk_eventd::config::NatsOptions;
use sgtk_eventd::event::Event;
use sgtk_eventd::lanes::lane_name;
use sgtk_eventd::nats::{NatsQueue, NatsSettings, Role};
use sgtk_eventd::queue::file::FileQueue;
use sgtk_eventd::queue::{Batch, Failure, Lane, Queue, Start, Verdict};
use sgtk_eventd::source::window::Window;

/// When each event was handed to the queue, in nanoseconds of Unix time.
static PUBLISHED: Mutex<BTreeMap<i64, u128>> = Mutex::new(BTreeMap::new());

/// Sizes.
#[derive(Clone, Copy)]
struct Sizes {
    projects: i64,
    burst: usize,
    rate: usize,
    work: Duration,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

impl Sizes {
    fn read() -> Sizes {
        Sizes {
            projects: number("HOSTS_PROJECTS", 50) as i64,
            burst: number("HOSTS_EVENTS", 2000),
            rate: number("HOSTS_RATE", 100),
            work: Duration::from_millis(number("HOSTS_WORK", 2) as u64),
        }
    }
}

fn site() -> Arc<str> {
    Arc::from("shotgun")
}

fn lanes(projects: i64) -> Vec<Lane> {
    let lane = |project| Lane {
        name: lane_name("shotgun", "/plugins/bench.py", Some(project)),
        site: site(),
        project: Some(project),
        start: Start::Now,
    };
    (1..=projects).map(lane).collect()
}

fn nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

fn event(id: i64, projects: i64) -> Event {
    PUBLISHED.lock().unwrap().insert(id, nanos());
    let project = project_of(id, projects);
    let body = format!(
        "{{\"id\": {id}, \"event_type\": \"Bench\", \"project\": {{\"type\": \"Project\", \"id\": \
         {project}}}, \"meta\": \"{:0200}\"}}",
        id
    );
    Event::new(&site(), RawValue::from_string(body).unwrap()).unwrap()
}

/// A quarter of the events is on a tenth of the projects.
fn project_of(id: i64, projects: i64) -> i64 {
    let few = (projects / 10).max(1);
    1 + if id % 4 == 0 { (id / 4) % few } else { id % projects }
}

/// Reads all lanes, a task for each, and writes down what it does.
fn read(queue: &Arc<dyn Queue>, host: &str, sizes: Sizes, record: &Path) {
    let file = OpenOptions::new().append(true).create(true).open(record).unwrap();
    let file = Arc::new(Mutex::new(file));
    for lane in lanes(sizes.projects) {
        let (queue, host, file) = (Arc::clone(queue), host.to_owned(), Arc::clone(&file));
        tokio::spawn(async move {
            let own = [lane.name];
            while let Ok(message) = queue.next(&own).await {
                let (project, id) = (message.event.project.unwrap(), message.event.id);
                if is_poisoned(project) {
                    let failure = Failure { reason: "poisoned".to_owned(), traceback: None };
                    let verdict = Verdict::Retry { after: Duration::from_secs(1), failure, counts: false };
                    let _ = queue.settle(&message, verdict).await;
                    continue;
                }
                let line = format!("start {host} {project} {id}\nbegan {host} {project} {id} {}\n", nanos());
                file.lock().unwrap().write_all(line.as_bytes()).unwrap();
                tokio::select! {
                    () = tokio::time::sleep(sizes.work) => {}
                    () = queue.revoked(&message) => {
                        let line = format!("ended {host} {project} {id}\n");
                        file.lock().unwrap().write_all(line.as_bytes()).unwrap();
                        continue;
                    }
                }
                let line = format!("done {host} {project} {id}\nat {id} {}\n", nanos());
                file.lock().unwrap().write_all(line.as_bytes()).unwrap();
                // One that is not in flight any more is somebody else's.
                let _ = queue.settle(&message, Verdict::Done).await;
            }
        });
    }
}

fn is_poisoned(project: i64) -> bool {
    project == 1 && number("HOSTS_POISONED", 0) > 0
}

fn settings(url: &str, host: &str) -> NatsSettings {
    NatsSettings {
        url: url.to_owned(),
        host: host.to_owned(),
        options: NatsOptions {
            hosts: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            sync_is_trusted: true,
            replicas: number("HOSTS_REPLICAS", 1),
            ..NatsOptions::default()
        },
    }
}

/// A host, as a process of its own: begins with the first line of its standard input and ends with its end.
async fn host(name: &str, url: &str, record: &Path) {
    let (queue, _arrivals) =
        NatsQueue::connect(settings(url, name), vec![site()], Role::Host { together: true }).await.unwrap();
    let queue: Arc<dyn Queue> = Arc::new(queue);
    let sizes = Sizes::read();
    // As the daemon does: it opens lanes for the projects that there are.
    while queue.projects().await.unwrap().len() < sizes.projects as usize {}
    println!("ready");
    let told = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    told.await.unwrap().unwrap();
    queue.open(lanes(sizes.projects)).await.unwrap();
    read(&queue, name, sizes, record);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    ended.await.unwrap();
    queue.rest().await;
    queue.shut_down().await.unwrap();
}

struct Host(Child);

impl Host {
    /// Starts hosts that are ready, and has them begin.
    fn all(names: &[&str], url: &str, record: &Path) -> Vec<Host> {
        let mut hosts: Vec<Host> = names.iter().map(|name| Host::start(name, url, record)).collect();
        for (index, host) in hosts.iter_mut().enumerate() {
            if index > 0 {
                std::thread::sleep(Duration::from_millis(number("HOSTS_APART", 0) as u64));
            }
            host.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }
        hosts
    }

    fn start(name: &str, url: &str, record: &Path) -> Host {
        // Host c may be on another network.
        let wrap = std::env::var("HOSTS_WRAP").ok().filter(|_| name == "c").unwrap_or_default();
        let program = std::env::current_exe().unwrap();
        let mut words = wrap.split_whitespace().map(Into::into).chain([program.into_os_string()]);
        let mut child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .args(["host", name, url])
            .arg(record)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Host(child)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// What was measured.
struct Measured {
    published: f64,
    drained: f64,
    p50: f64,
    p99: f64,
}

/// Follows a record.
#[derive(Default)]
struct Follower {
    read: u64,
    rest: String,
    done: BTreeSet<String>,
}

impl Follower {
    /// Waits until so many events are done at least once.
    async fn until_done(&mut self, record: &Path, count: usize) {
        loop {
            if let Ok(mut file) = std::fs::File::open(record) {
                file.seek(SeekFrom::Start(self.read)).unwrap();
                self.read += file.read_to_string(&mut self.rest).unwrap() as u64;
            }
            let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
            let lines: String = self.rest.drain(..whole).collect();
            let done = lines.lines().filter(|line| line.starts_with("done "));
            self.done.extend(done.filter_map(|line| line.rsplit(' ').next()).map(str::to_owned));
            if self.done.len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn append(queue: &Arc<dyn Queue>, ids: std::ops::RangeInclusive<i64>, projects: i64) {
    let last = *ids.end();
    let events = ids.map(|id| event(id, projects)).collect();
    queue.append(Batch { site: site(), events, window: Window::new(last) }).await.unwrap();
}

/// A burst that is there before anybody reads, then a steady rate for ten seconds.
async fn measure(
    queue: &Arc<dyn Queue>,
    sizes: Sizes,
    record: &Path,
    hosts: usize,
    readers: impl FnOnce() -> Vec<Host>,
) -> Measured {
    let burst = sizes.burst as i64;
    let begun = Instant::now();
    let mut next = 1;
    while next <= burst {
        let last = (next + 499).min(burst);
        append(queue, next..=last, sizes.projects).await;
        next = last + 1;
    }
    let published = burst as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let _readers = readers();
    let healthy = |last: i64| (1..=last).filter(|id| !is_poisoned(project_of(*id, sizes.projects))).count();
    let mut follower = Follower::default();
    follower.until_done(record, healthy(burst)).await;
    let drained = burst as f64 / begun.elapsed().as_secs_f64();
    let total = sizes.rate as i64 * number("HOSTS_SECONDS", 10) as i64;
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / sizes.rate as f64));
    for id in burst + 1..=burst + total {
        tick.tick().await;
        append(queue, id..=id, sizes.projects).await;
    }
    follower.until_done(record, healthy(burst + total)).await;
    let text = std::fs::read_to_string(record).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut events: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for id in (1..=burst + total).filter(|id| !is_poisoned(project_of(*id, sizes.projects))) {
        events.entry(project_of(id, sizes.projects)).or_default().push(id);
    }
    let verdict = judge::judge(&lines, &events);
    assert!(verdict.lost.is_empty() && verdict.ahead.is_empty(), "{verdict:?}");
    println!(
        "    judged: lost 0, ahead 0, overlap {}, behind {}, again {}, twice {}, (host, project) pairs {} of \
         {} projects, {hosts} hosts",
        verdict.overlap.len(),
        verdict.behind.len(),
        verdict.again,
        verdict.twice,
        verdict.pairs.len(),
        events.len()
    );
    if std::env::var_os("HOSTS_TRACE").is_some() {
        trace(&lines);
    }
    let (p50, p99) = latencies(&lines, burst);
    Measured { published, drained, p50, p99 }
}

/// Tells when projects came to a further host: their number in each second since the first event was begun.
fn trace(lines: &[String]) {
    let (mut hosts, mut first) = (BTreeMap::<&str, BTreeSet<&str>>::new(), None);
    let (mut moves, mut begun) = (BTreeMap::<u128, usize>::new(), BTreeMap::<&str, u128>::new());
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let ["began", host, project, _, at] = words[..] else { continue };
        let at: u128 = at.parse().unwrap();
        let first = *first.get_or_insert(at);
        begun.entry(host).or_insert((at - first) / 1_000_000);
        let known = hosts.entry(project).or_default();
        if known.insert(host) && known.len() > 1 {
            *moves.entry(at.saturating_sub(first) / 1_000_000_000).or_default() += 1;
        }
    }
    println!("    ms until a host's first event {begun:?}; projects on a further host by second {moves:?}");
}

/// The median and the 99th percentile, in ms, of what was published at the steady rate.
fn latencies(lines: &[String], burst: i64) -> (f64, f64) {
    let published = PUBLISHED.lock().unwrap();
    let mut times: Vec<f64> = lines
        .iter()
        .filter_map(|line| {
            let (id, at) = line.strip_prefix("at ")?.split_once(' ')?;
            let (id, at) = (id.parse::<i64>().ok()?, at.parse::<u128>().ok()?);
            (id > burst).then(|| at.saturating_sub(published[&id]) as f64 / 1e6)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    (at(0.5), at(0.99))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [kind, name, url, record] = &arguments[..]
        && kind == "host"
    {
        return runtime.block_on(host(name, url, Path::new(record)));
    }
    let Some(program) = server::program() else { return };
    let sizes = Sizes::read();
    println!(
        "{} projects, a burst of {}, then {} a second, {} ms of work each",
        sizes.projects,
        sizes.burst,
        sizes.rate,
        sizes.work.as_millis()
    );
    let mut all: HashMap<&str, Measured> = HashMap::new();
    let only = std::env::var("HOSTS_ONLY").ok();
    let rows = [("embedded", 0), ("one host", 1), ("three hosts", 3)];
    for (row, hosts) in rows.into_iter().filter(|(row, _)| only.as_ref().is_none_or(|only| only == row)) {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record");
        println!("{row}");
        let measured = runtime.block_on(async {
            if hosts == 0 {
                let queue: Arc<dyn Queue> = Arc::new(FileQueue::open(&folder.path().join("state")).unwrap());
                queue.open(lanes(sizes.projects)).await.unwrap();
                let readers = || {
                    read(&queue, "a", sizes, &record);
                    Vec::new()
                };
                let measured = measure(&queue, sizes, &record, hosts, readers).await;
                queue.shut_down().await.unwrap();
                return measured;
            }
            let server = server::Server::start(&program);
            let url = std::env::var("HOSTS_URL").unwrap_or_else(|_| server.url());
            let (queue, _arrivals) =
                NatsQueue::connect(settings(&url, "p"), vec![site()], Role::Publisher).await.unwrap();
            let projects: Vec<i64> = (1..=sizes.projects).collect();
            queue.expect(&site(), &projects).await.unwrap();
            let queue: Arc<dyn Queue> = Arc::new(queue);
            let readers = || Host::all(&["a", "b", "c"][..hosts], &url, &record);
            let measured = measure(&queue, sizes, &record, hosts, readers).await;
            queue.shut_down().await.unwrap();
            measured
        });
        all.insert(row, measured);
    }
    println!("{:12} {:>12} {:>12} {:>9} {:>9}", "", "published/s", "done/s", "p50 ms", "p99 ms");
    for (row, _) in rows {
        if let Some(Measured { published, drained, p50, p99 }) = all.get(row) {
            println!("{row:12} {published:12.0} {drained:12.0} {p50:9.1} {p99:9.1}");
        }
    }
}
