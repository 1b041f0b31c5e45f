//! The demo needs nothing but a `python3`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn status(address: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn the_demo_shows_plugins_of_both_kinds_and_ends_by_ctrl_c() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_sgtk-eventd"))
        .args(["demo", "--http", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(demo.stdout.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    let address = first.split("http://").nth(1).unwrap().split_whitespace().next().unwrap();
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let status = status(address);
        let done = |lane: &Value| lane["last_id"].as_i64().is_some_and(|id| id > 3);
        let lanes = status["lanes"].as_array().unwrap();
        let projects = lanes.iter().filter(|lane| !lane["project"].is_null() && done(lane)).count();
        let notes = lanes.iter().any(|lane| lane["plugin"] == "status_notes" && done(lane));
        if projects == 3 && notes {
            break;
        }
        assert!(Instant::now() < end, "{status:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let sent = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(sent.success() && demo.wait().unwrap().success());
}
