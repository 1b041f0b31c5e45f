//! Servers that are not used: one clear sentence for each.

use std::path::PathBuf;

use async_nats::jetstream::{self, consumer, kv, stream};
use sgtk_host_fixtures::missing;

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
        missing("SGTK_HOST_NATS_SERVER_OLD names no nats-server of before 2.12");
    }
    named
}

fn on(server: Server) -> Option<Many> {
    Some(Many::on(server, python()?, 1))
}

/// Makes something on the server as somebody else would.
fn make<T>(many: &Many, ask: impl AsyncFnOnce(jetstream::Context) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { ask(jetstream::new(async_nats::connect(many.server.url()).await.unwrap())).await })
}

fn make_stream(many: &Many, config: stream::Config) {
    make(many, async |context| context.create_stream(config).await.map(drop)).unwrap();
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

#[test]
fn a_stream_that_is_acknowledged_before_it_is_written_is_refused() {
    let Some(program) = program() else { return };
    let Some(many) = on(Server::start(&program)) else { return };
    make_stream(
        &many,
        stream::Config { persist_mode: Some(stream::PersistenceMode::Async), ..events_stream() },
    );
    for command in ["serve", "publish"] {
        let told = refused(&many, command);
        let words = "the stream SGTK_EV of the NATS server is there already with other settings: \
                     persist_mode is async and has to be default";
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_bucket_that_is_lost_with_the_server_or_has_too_few_copies_is_refused() {
    let Some(program) = program() else { return };
    let Some(mut many) = on(Server::start(&program)) else { return };
    let bucket = kv::Config {
        bucket: "SGTK_STATE".to_owned(),
        history: 1,
        storage: stream::StorageType::Memory,
        max_age: std::time::Duration::from_secs(60),
        ..kv::Config::default()
    };
    make(&many, async |context| context.create_key_value(bucket).await.map(drop)).unwrap();
    for command in ["serve", "publish"] {
        let told = refused(&many, command);
        let words = "the stream KV_SGTK_STATE of the NATS server is there already with other settings: \
                     storage is memory and has to be file; max_age is 60 s and has to be 0";
        assert!(told.contains(words), "{told}");
    }
    // Streams with three copies, as a cluster would make them: the bucket has one.
    make(&many, async |context| context.delete_key_value("SGTK_STATE").await).unwrap();
    let host = many.host("a");
    many.until_ready("a");
    assert!(host.stop().success());
    many.studio.set("nats", "replicas: 3");
    let told = refused(&many, "serve");
    assert!(told.contains("num_replicas is 1 and has to be 3, as [nats] replicas says"), "{told}");
}

#[test]
fn a_consumer_of_somebody_elses_making_is_refused_with_what_differs() {
    let Some(program) = program() else { return };
    let Some(mut many) = on(Server::start(&program)) else { return };
    let config = consumer::pull::Config {
        durable_name: Some("p-shotgun-1".to_owned()),
        filter_subject: "sgtk.ev.shotgun.2".to_owned(),
        max_ack_pending: 5,
        max_deliver: 3,
        memory_storage: true,
        headers_only: true,
        ..consumer::pull::Config::default()
    };
    make_stream(&many, events_stream());
    make(&many, async |context| context.create_consumer_on_stream(config, "SGTK_EV").await.map(drop))
        .unwrap();
    let _publisher = many.publisher("p");
    many.until_logged("p", "polling begins");
    many.add(1);
    many.until_logged(
        "p",
        "the consumer p-shotgun-1 of the NATS server is there already with other settings: ",
    );
    let log = many.log("p");
    for words in [
        "filter_subject is sgtk.ev.shotgun.2 and has to be sgtk.ev.shotgun.1",
        "max_ack_pending is 5 and has to be 1: else order is lost",
        "max_deliver is 3 and has to be -1: else events are lost",
        "headers_only is true and has to be false",
        "mem_storage is true and has to be false",
        "priority_policy is none and has to be prioritized",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    // Nothing is published that nobody would have in order.
    let messages = make(&many, async |context| {
        context.get_stream("SGTK_EV").await.unwrap().cached_info().state.messages
    });
    assert_eq!(messages, 0);
}
