//! The site answers what it knows, fails as it is told to, and keeps keys to itself. Clients that are real
//! are in `client.rs`.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sgtk_host_fixtures::{Fault, PipelineConfiguration, Site};

const LONG: Duration = Duration::from_secs(300);

fn site() -> Site {
    let site = Site::start().unwrap();
    site.script_user("daemon", "a-key").unwrap();
    site.project(176, "bunny").unwrap();
    site.project(177, "sintel").unwrap();
    site
}

fn auth() -> Value {
    json!({ "script_name": "daemon", "script_key": "a-key" })
}

/// The status and body of what the site says to a call of its API, by the way of a proxy or not.
fn post(site: &Site, path: &str, body: &Value) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", site.port()))?;
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    if length != Some(body.len()) {
        return Err(io::Error::other("cut off"));
    }
    Ok((status.unwrap_or_default(), body.to_owned()))
}

fn call(site: &Site, method: &str, params: Value) -> Value {
    let (status, body) =
        post(site, "/api3/json", &json!({ "method_name": method, "params": params })).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The ids of what a `read` finds.
fn read(site: &Site, kind: &str, conditions: Value) -> Vec<i64> {
    let filters = json!({ "logical_operator": "and", "conditions": conditions });
    let answer =
        call(site, "read", json!([auth(), { "type": kind, "filters": filters, "return_fields": ["id"] }]));
    let entities = answer["results"]["entities"].as_array().unwrap_or_else(|| panic!("{answer}"));
    entities.iter().map(|entity| entity["id"].as_i64().unwrap()).collect()
}

#[test]
fn a_site_says_its_version_to_everybody() {
    let version = call(&site(), "info", json!([]))["version"].clone();
    assert_eq!(version, json!([8, 70, 0]));
}

#[test]
fn a_script_with_the_wrong_key_is_refused_in_the_real_ones_words() {
    let site = site();
    let refused = json!({ "script_name": "daemon", "script_key": "not-the-key" });
    let answer = call(&site, "read", json!([refused, { "type": "Project" }]));
    let wanted =
        json!({ "exception": true, "error_code": 102, "message": "Can't authenticate script 'daemon'" });
    assert_eq!(answer, wanted);
    site.forget_script_user("daemon").unwrap();
    assert_eq!(call(&site, "read", json!([auth(), { "type": "Project" }])), wanted);
}

#[test]
fn a_refusal_on_demand_has_the_same_words_whatever_the_key() {
    let site = site();
    site.fault("*", Fault::WrongKey).unwrap();
    let answer = call(&site, "read", json!([auth(), { "type": "Project" }]));
    assert_eq!(answer["message"], "Can't authenticate script 'daemon'");
}

#[test]
fn filters_find_entities_by_value_by_link_and_through_links() {
    let site = site();
    site.entity(json!({ "type": "HumanUser", "id": 1, "login": "ada" })).unwrap();
    let users = json!([{ "type": "HumanUser", "id": 1 }]);
    for configuration in [
        PipelineConfiguration::new(1).project(176).plugin_ids("basic.*"),
        PipelineConfiguration::new(2).plugin_ids("basic.*"),
        PipelineConfiguration::new(3).code("ada's").project(176).field("users", users),
    ] {
        site.pipeline_configuration(configuration).unwrap();
    }
    let kind = "PipelineConfiguration";
    let one = |path: &str, relation: &str, values: Value| {
        read(&site, kind, json!([{ "path": path, "relation": relation, "values": values }]))
    };
    assert_eq!(one("id", "is", json!([2])), [2]);
    assert_eq!(one("project", "is", json!([{ "type": "Project", "id": 176 }])), [1, 3]);
    assert_eq!(one("project", "is", json!([null])), [2]);
    assert_eq!(one("users", "is", json!([null])), [1, 2]);
    assert_eq!(one("users.HumanUser.login", "is", json!(["ada"])), [3]);
    assert_eq!(one("project.Project.name", "in", json!(["bunny", "sintel"])), [1, 3]);
    let either = json!([{ "logical_operator": "or", "conditions": [
        { "path": "id", "relation": "is", "values": [1] },
        { "path": "code", "relation": "starts_with", "values": ["ada"] },
    ]}]);
    assert_eq!(read(&site, kind, either), [1, 3]);
    site.remove(kind, 3).unwrap();
    assert_eq!(one("id", "greater_than", json!([0])), [1, 2]);
}

#[test]
fn fields_that_were_asked_for_are_null_where_nothing_was_said_and_absent_where_there_are_none() {
    let answer = call(
        &site(),
        "read",
        json!([auth(), { "type": "Project", "filters": null, "return_fields": ["name", "archived", "sg_none"] }]),
    );
    let bunny = json!({ "type": "Project", "id": 176, "name": "bunny", "archived": null });
    assert_eq!(answer["results"]["entities"][0], bunny);
}

#[test]
fn a_session_of_a_script_is_let_in() {
    let site = site();
    let token = call(&site, "get_session_token", json!([auth()]))["results"]["session_id"].clone();
    let session = json!({ "session_token": token });
    let answer = call(&site, "read", json!([session, { "type": "Project", "return_fields": [] }]));
    assert_eq!(answer["results"]["entities"].as_array().map(Vec::len), Some(2));
    let metrics = |auth: &Value| {
        post(&site, "/api3/track_metrics/", &json!({ "auth_args": auth, "metrics": [] })).unwrap().0
    };
    assert_eq!((metrics(&session), metrics(&json!({ "session_token": "another" }))), (200, 401));
}

#[test]
fn a_fault_is_for_its_kind_of_request_and_for_as_often_as_it_was_asked_for() {
    let site = site();
    site.fault_times("read:Project", Fault::Status(502), 2).unwrap();
    let status = |params: Value| {
        post(&site, "/api3/json", &json!({ "method_name": "read", "params": [auth(), params] })).unwrap().0
    };
    let project = || status(json!({ "type": "Project" }));
    assert_eq!(status(json!({ "type": "Shot" })), 200);
    assert_eq!([project(), project(), project()], [502, 502, 200]);
    site.fault("read", Fault::Status(503)).unwrap();
    assert_eq!([project(), status(json!({ "type": "Shot" }))], [503, 503]);
    site.clear_faults().unwrap();
    assert_eq!(project(), 200);
}

#[test]
fn a_request_hangs_until_it_is_released() {
    let site = site();
    site.fault_times("info", Fault::Hang, 1).unwrap();
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| call(&site, "info", json!([])));
        assert!(site.wait_for_hanging(1, LONG).unwrap());
        assert!(!hanging.is_finished());
        assert_eq!(call(&site, "info", json!([]))["version"], json!([8, 70, 0]));
        site.release().unwrap();
        assert_eq!(hanging.join().unwrap()["version"], json!([8, 70, 0]));
    });
}

#[test]
fn an_answer_can_be_late_cut_off_no_json_and_no_http() {
    let site = site();
    let info = || post(&site, "/api3/json", &json!({ "method_name": "info", "params": [] }));
    site.fault_times("info", Fault::Delay(Duration::from_millis(300)), 1).unwrap();
    let begun = Instant::now();
    assert_eq!(info().unwrap().0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    site.fault_times("info", Fault::HangUp, 1).unwrap();
    assert_eq!(info().unwrap_err().to_string(), "cut off");
    site.fault_times("info", Fault::Garbage, 1).unwrap();
    assert!(serde_json::from_str::<Value>(&info().unwrap().1).is_err());
    site.fault_times("info", Fault::NoHttp, 1).unwrap();
    assert!(info().is_err());
    assert_eq!(info().unwrap().0, 200);
}

#[test]
fn requests_are_written_down_and_keys_are_not() {
    let site = site();
    site.fault_times("read:Shot", Fault::Status(502), 1).unwrap();
    call(&site, "info", json!([]));
    call(&site, "read", json!([auth(), { "type": "Project" }]));
    post(&site, "/api3/json", &json!({ "method_name": "read", "params": [auth(), { "type": "Shot" }] }))
        .unwrap();
    let requests = site.requests().unwrap();
    let told: Vec<_> = requests.iter().map(|one| (one.kind.as_str(), one.script.as_deref())).collect();
    assert_eq!(told, [("info", None), ("read:Project", Some("daemon")), ("read:Shot", Some("daemon"))]);
    assert_eq!(requests[2].fault.as_deref(), Some("status"));
    assert!(!format!("{requests:?}").contains("a-key"));
    assert_eq!(site.counts().unwrap()["read:Project"], 1);
    assert!(site.wait_for("read", 2, LONG).unwrap());
    assert!(!site.wait_for("read", 3, Duration::ZERO).unwrap());
    site.forget_requests().unwrap();
    assert_eq!(site.requests().unwrap(), []);
}

#[test]
fn a_site_is_its_own_proxy() {
    let site = site();
    let url = format!("{}/api3/json", site.url());
    assert_eq!(post(&site, &url, &json!({ "method_name": "info", "params": [] })).unwrap().0, 200);
    assert!(site.requests().unwrap()[0].proxied);
}

#[test]
fn a_site_ends_when_its_value_goes() {
    let site = site();
    let port = site.port();
    drop(site);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_site_ends_by_itself_when_nobody_gives_it_orders_any_more() {
    let python = std::env::var_os("PYO3_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(python)
        .args(["-I", "-S", "-B"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("site/site.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
