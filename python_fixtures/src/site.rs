//! A site on the loopback interface that answers what a bootstrap asks, and fails on demand.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::sources::source;

/// A site in a process of its own (`site/site.py`), which ends when this value is dropped, or when this
/// process does.
///
/// It knows nobody and nothing at first. All can be changed while it runs.
///
/// A *kind* of request is `info`, `read:PipelineConfiguration` (or another type of entity),
/// `get_session_token`, `track_metrics`; `read` means every read and `*` every request.
pub struct Site {
    port: u16,
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The script's key is refused, as the real site words it: `AuthenticationFault`.
    WrongKey,
    /// An exception of the site with this code and message.
    Refuse {
        /// The site's `error_code`; 102 is the one of authentication.
        code: i64,
        /// What the client's exception says.
        message: String,
    },
    /// This HTTP status, such as 502, which clients try again.
    Status(u16),
    /// The answer comes after this time.
    Delay(Duration),
    /// The answer comes when [`Site::release`] is called.
    Hang,
    /// The connection ends in the middle of the answer.
    HangUp,
    /// The answer is cut off and no JSON.
    Garbage,
    /// This is the answer, with the status 200.
    Answer(String),
    /// The answer is said to be compressed, and is not.
    Gzip,
    /// A page of HTML with the status 200: a proxy's.
    Page,
    /// The answer is no HTTP.
    NoHttp,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// What was asked for; see [`Site`].
    pub kind: String,
    /// The script that asked; none where the request named none.
    pub script: Option<String>,
    /// Whether it came by the way of a proxy.
    pub proxied: bool,
    /// The name of the fault that it met.
    pub fault: Option<String>,
}

/// A pipeline configuration as the site has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the site learns of it by `Site::pipeline_configuration`"]
pub struct PipelineConfiguration {
    fields: Map<String, Value>,
}

impl PipelineConfiguration {
    /// With an id, called `Primary`, of no project, for no plug-in, and leading nowhere.
    pub fn new(id: i64) -> PipelineConfiguration {
        let mut fields = Map::new();
        fields.insert("type".into(), json!("PipelineConfiguration"));
        fields.insert("id".into(), json!(id));
        fields.insert("code".into(), json!("Primary"));
        PipelineConfiguration { fields }
    }

    /// Its name; a name other than `Primary` makes it a sandbox.
    pub fn code(self, code: &str) -> Self {
        self.field("code", json!(code))
    }

    /// The project that it is for.
    pub fn project(self, id: i64) -> Self {
        self.field("project", json!({ "type": "Project", "id": id }))
    }

    /// The plug-ins that it is for, as patterns with commas in between: `basic.*`.
    pub fn plugin_ids(self, patterns: &str) -> Self {
        self.field("plugin_ids", json!(patterns))
    }

    /// Where its configuration comes from: `sgtk:descriptor:path?path=...`. Needs plug-ins.
    pub fn descriptor(self, uri: &str) -> Self {
        self.field("descriptor", json!(uri))
    }

    /// Where its centralized configuration is, on all platforms.
    pub fn path(self, path: &Path) -> Self {
        let path = json!(path.to_string_lossy());
        self.field("linux_path", path.clone()).field("mac_path", path.clone()).field("windows_path", path)
    }

    /// Any other field.
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.into(), value);
        self
    }
}

impl Site {
    /// Starts a site by `PYO3_PYTHON`, else `python3`.
    ///
    /// # Errors
    ///
    /// As all that follow: when the process can't be started, ends, or says that something can't be done.
    pub fn start() -> io::Result<Site> {
        let python = std::env::var_os("PYO3_PYTHON").unwrap_or_else(|| OsString::from("python3"));
        Site::start_by(&python)
    }

    /// Starts a site by a certain Python, 3.7 or later.
    pub fn start_by(python: &OsStr) -> io::Result<Site> {
        let mut command = Command::new(python);
        // Ctrl-C in a terminal is for the program that has started it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            // Isolated: the folder of `site.py` has a name of the standard library in it. No bytecode in this
            // crate.
            .args(["-I", "-S", "-B"])
            .arg(source("site/site.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| io::Error::other("the site has no standard output"))?;
        // From here on a failure drops the process, which ends it.
        let mut process = Process { child, orders, answers: BufReader::new(answers) };
        let port = process.answer()?["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| io::Error::other("the site did not say its port"))?;
        Ok(Site { port, process: Mutex::new(process) })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port that it listens on; it serves as an HTTP proxy as well, for requests to itself.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves over TLS as well, with a certificate chain and its key as PEM files; called again, with another
    /// one from the next connection on. Returns the port.
    pub fn serve_tls(&self, chain: &Path, key: &Path) -> io::Result<u16> {
        let answer = self.order(json!({ "tls": { "chain": chain, "key": key } }))?;
        let port = answer["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| io::Error::other("the site did not say its port"))
    }

    /// Lets a script in with this key.
    pub fn script_user(&self, name: &str, key: &str) -> io::Result<()> {
        self.order(json!({ "script": { "name": name, "key": key } })).map(drop)
    }

    /// Lets a script in no longer.
    pub fn forget_script_user(&self, name: &str) -> io::Result<()> {
        self.order(json!({ "forget_script": name })).map(drop)
    }

    /// Adds a project; its `tank_name` is its name.
    pub fn project(&self, id: i64, name: &str) -> io::Result<()> {
        self.entity(json!({ "type": "Project", "id": id, "name": name, "tank_name": name }))
    }

    /// Adds a pipeline configuration.
    pub fn pipeline_configuration(&self, configuration: PipelineConfiguration) -> io::Result<()> {
        self.entity(Value::Object(configuration.fields))
    }

    /// Adds a local storage, at the same path on all platforms.
    pub fn local_storage(&self, id: i64, code: &str, path: &Path) -> io::Result<()> {
        let path = path.to_string_lossy();
        self.entity(json!({
            "type": "LocalStorage", "id": id, "code": code, "linux_path": path, "mac_path": path, "windows_path": path,
        }))
    }

    /// Adds an entity of any type, or replaces the one with its `type` and `id`.
    pub fn entity(&self, fields: Value) -> io::Result<()> {
        self.order(json!({ "add": [fields] })).map(drop)
    }

    /// Takes an entity away.
    pub fn remove(&self, kind: &str, id: i64) -> io::Result<()> {
        self.order(json!({ "remove": { "type": kind, "id": id } })).map(drop)
    }

    /// Adds entries to the event log and returns their ids. Fields that are left out are null, but for
    /// `created_at`, which is now; one with `"hold": true` gets an id and cannot be seen before it is
    /// [committed](Site::commit).
    pub fn events(&self, entries: &[Value]) -> io::Result<Vec<i64>> {
        let answer = self.order(json!({ "events": entries }))?;
        serde_json::from_value(answer["ids"].clone()).map_err(io::Error::other)
    }

    /// Has entries that come from now on, those of writes included, not be seen before they are committed.
    pub fn hold_events(&self, on: bool) -> io::Result<()> {
        self.order(json!({ "hold": on })).map(drop)
    }

    /// Shows entries that are held back, in this order.
    pub fn commit(&self, ids: &[i64]) -> io::Result<()> {
        self.order(json!({ "commit": ids })).map(drop)
    }

    /// Takes entries that are held back away: their ids never come.
    pub fn roll_back(&self, ids: &[i64]) -> io::Result<()> {
        self.order(json!({ "roll_back": ids })).map(drop)
    }

    /// The entities of a type as the site has them, by id.
    pub fn entities(&self, kind: &str) -> io::Result<Vec<Value>> {
        let answer = self.order(json!({ "entities": kind }))?;
        Ok(answer["entities"].as_array().cloned().unwrap_or_default())
    }

    /// Makes every request of a kind fail from now on.
    pub fn fault(&self, kind: &str, fault: Fault) -> io::Result<()> {
        self.order(json!({ "fault": { "kind": kind, "does": fault.to_json() } })).map(drop)
    }

    /// Makes the next `times` requests of a kind fail.
    pub fn fault_times(&self, kind: &str, fault: Fault, times: u32) -> io::Result<()> {
        self.order(json!({ "fault": { "kind": kind, "does": fault.to_json(), "times": times } })).map(drop)
    }

    /// Takes all faults back; what hangs already goes on hanging.
    pub fn clear_faults(&self) -> io::Result<()> {
        self.order(json!({ "clear_faults": true })).map(drop)
    }

    /// Answers all requests that hang.
    pub fn release(&self) -> io::Result<()> {
        self.order(json!({ "release": true })).map(drop)
    }

    /// The requests that came, the first one first.
    pub fn requests(&self) -> io::Result<Vec<Request>> {
        let record = self.order(json!({ "record": true }))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let requests = record["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(requests
            .iter()
            .map(|request| Request {
                kind: text(&request["kind"]).unwrap_or_default(),
                script: text(&request["script"]),
                proxied: request["proxied"] == json!(true),
                fault: text(&request["fault"]),
            })
            .collect())
    }

    /// How many requests of each kind came.
    pub fn counts(&self) -> io::Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for request in self.requests()? {
            *counts.entry(request.kind).or_default() += 1;
        }
        Ok(counts)
    }

    /// Forgets the requests that came.
    pub fn forget_requests(&self) -> io::Result<()> {
        self.order(json!({ "forget_record": true })).map(drop)
    }

    /// Whether `count` requests of a kind have come, waiting for them up to `limit`. Other threads may go on
    /// giving orders to the site meanwhile.
    pub fn wait_for(&self, kind: &str, count: usize, limit: Duration) -> io::Result<bool> {
        let end = Instant::now() + limit;
        loop {
            let answer = self.order(json!({ "wait": { "kind": kind, "count": count, "seconds": 0.05 } }))?;
            if answer["came"] == json!(true) {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
        }
    }

    /// Whether `count` requests hang at this moment, waiting for that up to `limit`.
    pub fn wait_for_hanging(&self, count: usize, limit: Duration) -> io::Result<bool> {
        self.wait_for("hanging", count, limit)
    }

    fn order(&self, order: Value) -> io::Result<Value> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(orders) = process.orders.as_mut() else {
            return Err(io::Error::other("the site has no standard input"));
        };
        writeln!(orders, "{order}")?;
        let answer = process.answer()?;
        match answer["error"].as_str() {
            Some(error) => Err(io::Error::other(error.to_owned())),
            None => Ok(answer),
        }
    }
}

impl Fault {
    fn to_json(&self) -> Value {
        match self {
            Fault::WrongKey => json!("wrong_key"),
            Fault::Refuse { code, message } => json!({ "refuse": [code, message] }),
            Fault::Status(status) => json!({ "status": status }),
            Fault::Delay(time) => json!({ "delay": time.as_secs_f64() }),
            Fault::Hang => json!("hang"),
            Fault::HangUp => json!("hang_up"),
            Fault::Garbage => json!("garbage"),
            Fault::Answer(text) => json!({ "answer": text }),
            Fault::Gzip => json!("gzip"),
            Fault::Page => json!("page"),
            Fault::NoHttp => json!("no_http"),
        }
    }
}

impl Process {
    fn answer(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the site has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders.take();
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
