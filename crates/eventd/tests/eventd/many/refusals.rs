//! Servers that are not used: one clear sentence for each.

use std::io::{self, Write as _};
use std::path::PathBuf;

use async_nats::jetstream::{self, stream};

use super::server::{Server, program};
use super::studio::Many;
use crate::daemon::python;

fn refused(many: &Many, command: &str) -> String {
    let output = many.command("a", &[command, "--host", "a"]).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server of before 2.12, or a note that there is none.
fn old_program() -> Option<PathBuf> {
    let named = std::env::var_os("SGTK_HOST_NATS_SERVER_OLD").map(PathBuf::from);
    if named.is_none() {
        let note = "SGTK_HOST_NATS_SERVER_OLD names no nats-server of before 2.12";
        assert!(std::env::var_os("SGTK_HOST_NOTHING_SKIPPED").is_none(), "{note}");
        // Not by a macro: the test harness would keep that to itself.
        drop(writeln!(io::stderr(), "skipped: {note}"));
    }
    named
}

fn on(server: Server) -> Option<Many> {
    Some(Many::on(server, python()?, 1))
}

/// Makes a stream as somebody else would.
fn make_stream(many: &Many, config: stream::Config) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(many.server.url()).await.unwrap();
        jetstream::new(client).create_stream(config).await.unwrap();
    });
}

fn events_stream() -> stream::Config {
    stream::Config {
        name: "SGTK_EV".to_owned(),
        subjects: vec!["sgtk.ev.>".to_owned()],
        max_consumers: 10_000,
        duplicate_window: std::time::Duration::from_secs(2 * 24 * 3600),
        allow_direct: true,
        ..stream::Config::default()
    }
}

#[test]
fn a_server_that_does_not_write_at_once_is_refused() {
    let Some(program) = program() else { return };
    let Some(many) = on(Server::with(&program, "")) else { return };
    for command in ["serve", "publish"] {
        let told = refused(&many, command);
        assert!(told.contains("Set `jetstream { sync_interval: always }`"), "{told}");
    }
}

#[test]
fn where_that_cannot_be_seen_it_has_to_be_said() {
    let Some(program) = program() else { return };
    let Some(mut many) = on(Server::start(&program)) else { return };
    many.studio.set("nats", "monitor: http://127.0.0.1:9");
    let told = refused(&many, "serve");
    assert!(
        told.contains("cannot be seen at http://127.0.0.1:9") && told.contains("sync = trusted"),
        "{told}"
    );
    many.studio.set("nats", "sync: trusted");
    let host = many.host("a");
    many.until_ready("a");
    assert!(host.stop().success());
}

#[test]
fn a_server_that_is_too_old_is_refused() {
    let Some(old) = old_program() else { return };
    let Some(many) = on(Server::with(&old, "sync_interval: always")) else { return };
    let told = refused(&many, "serve");
    assert!(told.contains("is version 2.10") && told.contains("has to be 2.12 or later"), "{told}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let Some(program) = program() else { return };
    let Some(mut many) = on(Server::start(&program)) else { return };
    many.studio.set("nats", "url: nats://127.0.0.1:9");
    let told = refused(&many, "serve");
    assert!(told.contains("cannot connect to the NATS server nats://127.0.0.1:9: "), "{told}");
}

#[test]
fn a_stream_of_somebody_elses_making_is_refused_with_what_differs() {
    let Some(program) = program() else { return };
    let Some(many) = on(Server::start(&program)) else { return };
    make_stream(&many, stream::Config { retention: stream::RetentionPolicy::WorkQueue, ..events_stream() });
    let told = refused(&many, "publish");
    let words = "the stream SGTK_EV of the NATS server is there already with other settings: retention is \
                 workqueue and has to be limits";
    assert!(told.contains(words), "{told}");
}

#[test]
fn a_limit_of_consumers_is_told() {
    let Some(program) = program() else { return };
    let Some(many) = on(Server::start(&program)) else { return };
    make_stream(&many, stream::Config { max_consumers: 1000, ..events_stream() });
    let told = refused(&many, "publish");
    assert!(told.contains("max_consumers is 1000 and has to be 10000"), "{told}");
}
