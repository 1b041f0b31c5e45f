//! Three servers with three copies of everything.

use std::time::{Duration, Instant};

use async_nats::jetstream;

use super::server::{Server, port, program};
use super::studio::Many;
use crate::daemon::python;

/// Three servers that know each other.
fn start(program: &std::path::Path) -> Vec<Server> {
    let ports = [port(), port(), port()];
    let routes: Vec<_> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    let one = |(index, port): (usize, &u16)| {
        let lines = format!(
            "server_name: n{index}\ncluster {{ name: studio, listen: \"127.0.0.1:{port}\", routes: [{}] }}",
            routes.join(", ")
        );
        // Copies on machines that do not fail together need no disk at once.
        Server::with_lines(program, "", &lines)
    };
    ports.iter().enumerate().map(one).collect()
}

/// Asks the servers for something until they have it.
fn until<T>(servers: &[Server], ask: impl AsyncFn(&jetstream::Context) -> Option<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let end = Instant::now() + Duration::from_secs(60);
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        loop {
            if let Ok(client) = async_nats::connect(urls.as_slice()).await
                && let Some(answer) = ask(&jetstream::new(client)).await
            {
                return answer;
            }
            assert!(Instant::now() < end, "{}", servers[0].log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

#[test]
fn with_three_copies_the_leader_is_killed_and_nothing_is_lost() {
    let Some(program) = program() else { return };
    let Some(python) = python() else { return };
    let mut servers = start(&program);
    // They have elected one of them.
    until(&servers, async |context| context.query_account().await.ok().map(drop));
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let mut many = Many::on(servers.remove(0), python, 3);
    many.studio.set("nats", &format!("url: {}", urls.join(","))).set("nats", "replicas: 3");
    let (_hosts, _publisher) = many.start();
    many.warm_up();
    many.add(6);
    many.until_done(9);
    servers.insert(0, std::mem::replace(&mut many.server, Server::none()));
    let leader = until(&servers, async |context| {
        let stream = context.get_stream("SGTK_EV").await.ok()?;
        stream.cached_info().cluster.as_ref()?.leader.clone()
    });
    let index: usize = leader.trim_start_matches('n').parse().unwrap();
    many.note("gone", "*");
    servers[index].kill();
    many.add(6);
    let verdict = many.until_all_done();
    // What was in flight of each project, at most.
    assert!(verdict.again <= 3, "{verdict:?}");
    // Until a project's first host asks the new leader, whoever asks earlier has its events. Then they are
    // its own.
    many.until_all_ask(&urls.join(","));
    many.note("back", "*");
    let since = many.studio.record().len();
    many.add(2);
    many.until_all_done();
    assert_eq!(many.pairs_since(since), 3, "{:#?}", many.studio.record().split_off(since));
}
