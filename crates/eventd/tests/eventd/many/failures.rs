//! Hosts, servers and publishers that fail.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Of, judge};
use super::link::Link;
use super::studio::{Many, Member, Members};
use crate::daemon::event;

/// The host that has the most projects.
fn busiest(many: &Many) -> String {
    let hosts = ["a", "b", "c"].map(|host| (many.current_of(host), host));
    hosts.iter().max().unwrap().1.to_owned()
}

/// Waits until a host is in the middle of a call. What there is to do may be over before: then there is more.
fn until_busy(many: &mut Many, host: &str) {
    let count = |many: &Many, word: &str| {
        let begin = format!("{word} {host} ");
        many.studio.record().iter().filter(|line| line.starts_with(&begin)).count()
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while count(many, "start") <= count(many, "done") {
        assert!(std::time::Instant::now() < end, "{host} is never in a call: {:#?}", many.studio.record());
        if judge(&many.studio.record(), &many.events).lost.is_empty() {
            many.add(1);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn each_host_is_killed_in_turn_with_calls_in_flight() {
    let Some(mut many) = Many::new(6) else { return };
    many.studio.set("nats", "ack_wait: 10").set("daemon", "logging: 10");
    many.work = 10;
    let (mut hosts, _publisher) = many.start();
    let warm = many.warm_up();
    hosts.keys().for_each(|name| many.until_asks(name));
    let (mut in_flight, mut moved) = (BTreeSet::new(), 0);
    for name in ["a", "b", "c"] {
        let before = many.done();
        many.add(8);
        many.until_done(before + 10);
        let its_own = many.current_of(name);
        if its_own > 0 {
            until_busy(&mut many, name);
        }
        moved += its_own;
        in_flight.extend(many.kill(name, hosts.remove(name).unwrap()));
        many.until_all_done();
        hosts.insert(name, many.host(name));
        many.until_ready(name);
        many.note("back", name);
        // Its projects are its own again before the next one is killed.
        many.until_asks(name);
        many.warm_up();
    }
    let verdict = many.until_all_done();
    assert!(many.repeated_since(warm).is_subset(&in_flight), "{in_flight:?} were in flight: {verdict:?}");
    assert!(
        many.pairs_since(warm) <= 6 + moved,
        "{moved} projects were on hosts that were killed: {verdict:?}"
    );
    drop::<BTreeMap<&str, Member>>(hosts);
}

#[test]
fn the_projects_of_a_host_that_is_killed_move_and_the_others_stay_where_they_are() {
    let Some(mut many) = Many::new(6) else { return };
    many.studio.set("nats", "ack_wait: 10");
    let (mut hosts, _publisher) = many.start();
    let warm = many.warm_up();
    many.add(2);
    many.until_all_done();
    let its_own = |many: &Many, host: &str| {
        let begin = format!("start {host} ");
        let record = many.studio.record().split_off(warm);
        let projects = record.iter().filter_map(|line| line.strip_prefix(&begin)?.split(' ').next());
        projects.map(str::to_owned).collect::<BTreeSet<_>>().len()
    };
    let (moved, killed) = ["a", "b", "c"].map(|host| (its_own(&many, host), host)).into_iter().max().unwrap();
    many.kill(killed, hosts.remove(killed).unwrap());
    many.add(2);
    many.until_all_done();
    assert_eq!(many.pairs_since(warm), 6 + moved, "{killed} had {moved} projects");
}

#[test]
fn a_host_that_was_frozen_does_nothing_twice_when_it_wakes() {
    let Some(mut many) = Many::new(5) else { return };
    many.studio.set("nats", "ack_wait: 10");
    // So much is left of each call when its host is frozen: it can be ended before its own end.
    many.work = 400;
    let (hosts, _publisher) = many.start();
    let warm = many.warm_up();
    let hold = many.studio.path("hold");
    std::fs::write(&hold, "").unwrap();
    many.add(3);
    many.studio.until("each project is in a call", || many.pairs_since(warm) == 5);
    let frozen = busiest(&many);
    let moved = many.current_of(&frozen);
    hosts[&*frozen].signal_all("STOP");
    many.note("gone", &frozen);
    let in_flight = many.in_flight(&frozen);
    let since = many.studio.record().len();
    std::fs::remove_file(&hold).unwrap();
    // The others have all of it, what was in flight as well: the server's patience is over.
    many.until_all_done();
    assert!(many.pairs_since(since) <= 5, "each project has one host");
    let before = many.done();
    hosts[&*frozen].signal_all("CONT");
    many.until_logged(&frozen, "the NATS server was silent for too long, or this host was frozen");
    many.note("back", &frozen);
    many.add(2);
    let verdict = many.until_all_done();
    let repeated: Vec<Of> = many.repeated_since(warm).into_iter().collect();
    assert_eq!(
        verdict.twice,
        0,
        "{before} were done before it woke: {verdict:?} {}",
        many.told_of(&repeated)
    );
    assert!(many.repeated_since(warm).is_subset(&in_flight), "{in_flight:?} were in flight: {verdict:?}");
    assert!(many.pairs_since(warm) <= 5 + moved, "{frozen} had {moved} projects: {verdict:?}");
}

#[test]
fn a_server_that_is_killed_and_started_again_loses_nothing() {
    let Some(mut many) = Many::new(3) else { return };
    let (_hosts, _publisher) = many.start();
    many.warm_up();
    // A kill costs each project one acknowledgement at the most: less than a hundredth of so many events.
    let mut total = 3;
    for _ in 0..2 {
        many.add(60);
        total += 180;
        many.until_done(many.done() + 20);
        many.note("gone", "*");
        many.server.kill();
        many.add(60);
        total += 180;
        many.server.again();
        let verdict = many.until_none_is_lost();
        assert_eq!(verdict.ahead, []);
        // The server may have lost its last acknowledgements: what they were of is given out once more.
        assert!(verdict.twice * 100 <= total, "{verdict:?}");
        let late: BTreeSet<Of> = verdict.overlap.iter().chain(&verdict.behind).copied().collect();
        assert!(late.len() * 100 <= total, "{verdict:?}");
        // Until a project's first host asks again, whoever asks earlier has its events. Then it has
        // them.
        many.until_all_ask(&many.server.url());
        many.note("back", "*");
        let since = many.studio.record().len();
        many.add(2);
        total += 6;
        many.until_none_is_lost();
        assert_eq!(many.pairs_since(since), 3, "{:#?}", many.studio.record().split_off(since));
    }
}

#[test]
fn publishers_that_are_killed_and_two_at_once_publish_each_event_once_and_in_order() {
    let Some(mut many) = Many::new(3) else { return };
    many.work = 0;
    many.studio.set("daemon", "max_event_batch_size: 7");
    let (_hosts, publisher) = many.start();
    let warm = many.warm_up();
    let mut publishers = vec![publisher, many.publisher("q")];
    many.until_logged("q", "polling goes on");
    let mut random: u64 = 0x5eed;
    for round in 0..6 {
        let before = many.published().len();
        many.add(20);
        // At some event of these, which is another one in each round: Knuth's generator.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = before + (random >> 33) as usize % 60;
        many.studio.until("it is in the middle", || many.published().len() >= at);
        let first = (random >> 20) as usize % 2;
        publishers.remove(first).kill();
        if round % 2 == 1 {
            // No other one has it meanwhile.
            publishers.remove(0).kill();
            publishers.push(many.publisher("q"));
        }
        publishers.push(many.publisher("p"));
    }
    let verdict = many.until_all_done();
    assert_eq!((verdict.again, verdict.twice, many.pairs_since(warm)), (0, 0, 3), "{verdict:?}");
    let mut all: Vec<i64> = many.events.values().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(many.published(), all, "each once and in order");
}

#[test]
fn a_project_that_fails_waits_at_its_event_and_the_others_go_on() {
    let Some(mut many) = Many::new(4) else { return };
    let broken = many.studio.path("broken");
    let source = |work: &str| {
        format!(
            "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    project = event['project']['id']
    done('start', os.environ['EVENTD_HOST'], project, event['id'])
    if project == 1 and os.path.exists({broken:?}):
        done('ended', os.environ['EVENTD_HOST'], project, event['id'])
        {work}
    done('done', os.environ['EVENTD_HOST'], project, event['id'])
"
        )
    };
    many.studio.project_plugin("note.py", &source("raise ValueError('broken')"));
    std::fs::write(&broken, "").unwrap();
    let (_hosts, _publisher) = many.start();
    many.add(3);
    many.until_done(9);
    let parked = |many: &Many| {
        let status = many.status("a");
        let lanes = status["lanes"].as_array().unwrap().clone();
        lanes.into_iter().find(|lane| lane["state"] == "stopped")
    };
    many.studio.until("it has stopped", || parked(&many).is_some());
    let lane = parked(&many).unwrap();
    assert_eq!(
        (&lane["project"], &lane["event"], &lane["waiting"]),
        (&1.into(), &many.events[&1][0].into(), &3.into())
    );
    assert!(lane["failure"]["reason"].as_str().unwrap().contains("ValueError: broken"), "{lane}");
    // Skipped by any host, it stops at the next; repaired, it goes on in order.
    many.said("b", &["skip", &many.events[&1][0].to_string()]);
    let second = |many: &Many| parked(many).is_some_and(|lane| lane["event"] == many.events[&1][1]);
    many.studio.until("it has stopped at the second", || second(&many));
    assert!(many.said("c", &["dead"]).contains("skipped by hand; note: ValueError: broken"));
    std::fs::remove_file(&broken).unwrap();
    many.said("b", &["resume", "note@1"]);
    let skipped = many.events.get_mut(&1).unwrap().remove(0);
    many.until_all_done();
    // The one that was skipped can be had again.
    many.said("a", &["retry", &skipped.to_string()]);
    many.studio.until("it is done", || {
        many.studio
            .record()
            .iter()
            .any(|line| line.ends_with(&format!("1 {skipped}")) && line.starts_with("done"))
    });
    assert_eq!(many.said("a", &["dead"]), "");
}

#[test]
fn resumed_with_skip_a_parked_event_becomes_a_dead_letter_and_the_rest_goes_on_in_order() {
    let Some(mut many) = Many::new(2) else { return };
    many.studio.project_plugin(
        "note.py",
        "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    words = os.environ['EVENTD_HOST'], event['project']['id'], event['id']
    done('start', *words)
    with open('poison') as file:
        if event['id'] == int(file.read()):
            done('ended', *words)
            raise ValueError('poisoned')
    done('done', *words)
",
    );
    std::fs::write(many.studio.path("poison"), "0").unwrap();
    let (_hosts, _publisher) = many.start();
    many.add(1);
    many.until_all_done();
    // Once its plugins are loaded.
    many.studio.until("it knows the plugin", || many.said_if_running("a", &["pause", "note"]).is_some());
    many.add(3);
    let poison = many.events[&1][2];
    std::fs::write(many.studio.path("poison"), poison.to_string()).unwrap();
    // Once its plugins are loaded.
    many.studio.until("it knows the plugin", || many.said_if_running("b", &["resume", "note"]).is_some());
    let is_parked = |many: &Many| {
        let status = many.status("a");
        let mut lanes = status["lanes"].as_array().unwrap().iter();
        lanes.any(|lane| lane["project"] == 1 && lane["state"] == "stopped" && lane["event"] == poison)
    };
    many.studio.until("it has stopped", || is_parked(&many));
    // Once its plugins are loaded.
    many.studio
        .until("it knows the plugin", || many.said_if_running("c", &["resume", "note", "--skip"]).is_some());
    many.events.get_mut(&1).unwrap().retain(|id| *id != poison);
    let verdict = many.until_all_done();
    assert_eq!((verdict.again, verdict.twice), (0, 0), "{verdict:?}");
    let letters = many.said("b", &["dead"]);
    assert_eq!(letters.lines().count(), 1, "{letters}");
    assert!(letters.contains(&poison.to_string()) && letters.contains("skipped by hand; "), "{letters}");
}

#[test]
fn a_worker_that_crashes_is_tried_three_times_and_the_others_go_on() {
    let Some(mut many) = Many::new(3) else { return };
    many.studio.set("eventd", "retry_after: 0.2");
    many.studio.project_plugin(
        "note.py",
        "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, None, None, False)

def note(sg, logger, event, args):
    project = event['project']['id']
    done('start', os.environ['EVENTD_HOST'], project, event['id'])
    if project == 1:
        done('ended', os.environ['EVENTD_HOST'], project, event['id'])
        os._exit(3)
    done('done', os.environ['EVENTD_HOST'], project, event['id'])
",
    );
    let (_hosts, _publisher) = many.start();
    many.add(1);
    many.until_done(2);
    many.studio.until("it is given up", || many.said("a", &["dead"]).contains("3 tries"));
    let verdict = judge(&many.studio.record(), &many.events);
    assert_eq!((verdict.again, verdict.lost.len()), (2, 1), "{verdict:?}");
    assert!(verdict.ahead.is_empty() && verdict.overlap.is_empty(), "{verdict:?}");
}

#[test]
fn a_project_whose_core_is_poisoned_goes_on_in_order_once_it_is_repaired() {
    let Some(mut many) = Many::new(3) else { return };
    let core = many.studio.configs.base().join("project_1/install/core/python/tank/__init__.py");
    let text = std::fs::read_to_string(&core).unwrap();
    std::fs::write(&core, "raise RuntimeError('poisoned')\n").unwrap();
    let (_hosts, _publisher) = many.start();
    many.add(3);
    many.until_done(6);
    let told = |name: &str| many.log(name).contains("the plugins' worker cannot be had");
    many.studio.until("it is told", || ["a", "b", "c"].into_iter().any(told));
    std::fs::write(&core, text).unwrap();
    let verdict = many.until_all_done();
    assert_eq!(verdict.again, 0, "{verdict:?}");
}

#[test]
fn a_project_that_cannot_be_run_is_parked_in_the_end_and_goes_on_in_order_when_it_is_resumed() {
    let Some(mut many) = Many::new(2) else { return };
    many.studio.set("nats", "park_after: 1");
    let core = many.studio.configs.base().join("project_1/install/core/python/tank/__init__.py");
    let text = std::fs::read_to_string(&core).unwrap();
    std::fs::write(&core, "raise RuntimeError('poisoned')\n").unwrap();
    let (_hosts, _publisher) = many.start();
    many.add(2);
    let lane = |many: &Many| {
        let lanes = many.status("a")["lanes"].as_array().unwrap().clone();
        lanes.into_iter().find(|lane| lane["project"] == 1 && lane["state"] == "stopped")
    };
    many.studio.until("it is parked", || lane(&many).is_some());
    let lane = lane(&many).unwrap();
    assert!(lane["failure"]["reason"].as_str().unwrap().contains("poisoned"), "{lane}");
    std::fs::write(&core, text).unwrap();
    many.said("c", &["resume", "note@1"]);
    let verdict = many.until_all_done();
    assert_eq!(verdict.again, 0, "{verdict:?}");
}

#[test]
fn a_stream_that_was_lost_is_published_again_since_an_event() {
    let Some(mut many) = Many::new(3) else { return };
    many.studio.plugin("all.py", ALL);
    let (_hosts, publisher) = many.start();
    many.add(3);
    many.until_all_done();
    many.studio.until("the plugin without Toolkit has all", || all(&many).len() == 9);
    let last = many.events.values().flatten().max().copied().unwrap();
    let since = ["publish", "--host", "p", "--since", &last.to_string()];
    let output = many.command("q", &since).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("it has events of site 'shotgun' up to"), "{told}");
    assert!(publisher.stop().success());
    many.server.kill();
    std::fs::remove_dir_all(many.server.store()).unwrap();
    many.add(2);
    many.server.again();
    let _publisher = many.spawn("p", &since);
    let verdict = many.until_all_done();
    assert_eq!(verdict.again, 0, "{verdict:?}");
    many.studio.until("the plugin without Toolkit has all", || all(&many).len() >= 15);
    assert!(all(&many).is_sorted() && all(&many).len() == 15, "{:?}", all(&many));
}

#[test]
fn an_id_that_is_missing_is_published_when_it_comes_over_a_restart_of_the_publisher_too() {
    let Some(many) = Many::new(1) else { return };
    many.studio.plugin("all.py", ALL);
    let (_hosts, publisher) = many.start();
    let mut held = event("A", Some(1));
    held["hold"] = true.into();
    let late = many.studio.site.events(&[held.clone(), held]).unwrap();
    let others = many.studio.events("A", &[Some(1); 3]);
    many.studio.until("the others are done", || all(&many) == others);
    many.studio.site.commit(&late[1..]).unwrap();
    many.studio.until("the late one is done", || all(&many).contains(&late[1]));
    publisher.kill();
    many.studio.site.commit(&late[..1]).unwrap();
    let _publisher = many.publisher("p");
    many.studio.until("the later one is done", || all(&many).contains(&late[0]));
    assert_eq!(all(&many).len(), 5);
}

/// A plugin without Toolkit.
const ALL: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    done('all', event['id'])
";

fn all(many: &Many) -> Vec<i64> {
    let record = many.studio.record();
    record.iter().filter_map(|line| line.strip_prefix("all ")?.parse().ok()).collect()
}

#[test]
fn a_host_that_was_cut_off_runs_nothing_that_others_have_when_its_link_is_up_again() {
    let Some(mut many) = Many::new(5) else { return };
    many.studio.set("nats", "ack_wait: 10");
    many.work = 50;
    // The one that has the most is cut off: each has a link, and is named by a first round.
    let links = ["a", "b", "c"].map(|name| (name, Link::to(many.server.port())));
    let publisher = many.publisher("p");
    many.until_logged("p", "polling begins");
    let serve = |name: &str, link: &Link| {
        many.spawn(name, &["serve", "--host", name, "--hosts", "a,b,c", "--nats", &link.url()])
    };
    let hosts: Vec<Member> = links.iter().map(|(name, link)| serve(name, link)).collect();
    links.iter().for_each(|(name, _)| many.until_ready(name));
    let warm = many.warm_up();
    many.add(4);
    many.until_done(10);
    let cut = busiest(&many);
    until_busy(&mut many, &cut);
    let link = links.iter().find(|(name, _)| *name == cut).map(|(_, link)| link).unwrap();
    let moved = many.current_of(&cut);
    link.take_down(true);
    many.note("gone", &cut);
    let in_flight = many.in_flight(&cut);
    // The others have all of it.
    many.until_all_done();
    many.until_logged(&cut, "the NATS server was silent for too long");
    let twice = judge(&many.studio.record(), &many.events).twice;
    link.take_down(false);
    many.note("back", &cut);
    many.add(3);
    let verdict = many.until_all_done();
    assert_eq!(verdict.twice, twice, "{verdict:?}");
    assert!(many.repeated_since(warm).is_subset(&in_flight), "{in_flight:?} were in flight: {verdict:?}");
    assert!(many.pairs_since(warm) <= 5 + moved, "{cut} had {moved} projects: {verdict:?}");
    drop((hosts, publisher));
}

/// How long host c was silent when host a last heard of it.
fn silent(many: &Many) -> u64 {
    let status = many.status("a");
    let hosts = status["hosts"].as_array().unwrap();
    let c = hosts.iter().find(|host| host["name"] == "c").unwrap();
    c["silent_ms"].as_u64().unwrap_or(0)
}

/// A host behind a link that has gone down in the middle of a call.
struct CutOff {
    _members: Members,
    /// What was given out to it.
    in_flight: BTreeSet<Of>,
    /// Where the record of projects on their own hosts begins.
    warm: usize,
    /// How many projects it had.
    moved: usize,
}

fn cut_off(many: &mut Many) -> Option<CutOff> {
    if !many.put_c_behind_a_link() {
        return None;
    }
    let members = many.start();
    let warm = many.warm_up();
    many.add(4);
    many.until_done(12);
    until_busy(many, "c");
    let moved = many.current_of("c");
    many.network.as_ref().unwrap().take_down(true);
    many.note("gone", "c");
    Some(CutOff { _members: members, in_flight: many.in_flight("c"), warm, moved })
}

#[test]
fn a_host_whose_link_is_down_for_a_moment_has_its_calls_go_on() {
    let Some(mut many) = Many::new(6) else { return };
    many.studio.set("nats", "ack_wait: 40");
    many.work = 100;
    let Some(cut) = cut_off(&mut many) else { return };
    // Longer than the server waits for an answer to its pings: it has closed the connection by then.
    many.studio.until("it is silent", || silent(&many) > 4000);
    many.network.as_ref().unwrap().take_down(false);
    many.studio.until("it is heard again", || silent(&many) < 4000);
    many.note("back", "c");
    many.add(2);
    let verdict = many.until_all_done();
    assert_eq!(verdict.twice, 0, "{verdict:?}");
    let gave_up = many.log("c").contains("the NATS server was silent for too long");
    let allowed = if gave_up { cut.in_flight.clone() } else { BTreeSet::new() };
    assert!(many.repeated_since(cut.warm).is_subset(&allowed), "{allowed:?} were in flight: {verdict:?}");
    assert!(many.pairs_since(cut.warm) <= 6 + cut.moved, "c had {} projects: {verdict:?}", cut.moved);
}

#[test]
fn a_host_whose_link_is_down_for_long_does_nothing_that_others_have() {
    let Some(mut many) = Many::new(6) else { return };
    many.studio.set("nats", "ack_wait: 10");
    many.work = 50;
    let Some(cut) = cut_off(&mut many) else { return };
    // The others have all of it.
    many.until_all_done();
    many.until_logged("c", "the NATS server was silent for too long");
    let twice = judge(&many.studio.record(), &many.events).twice;
    let before = many.studio.record().len();
    many.network.as_ref().unwrap().take_down(false);
    many.studio.until("it is heard again", || silent(&many) < 4000);
    many.note("back", "c");
    many.add(3);
    let verdict = many.until_all_done();
    assert_eq!(verdict.twice, twice, "{verdict:?}");
    assert!(
        many.repeated_since(cut.warm).is_subset(&cut.in_flight),
        "{:?} were in flight: {verdict:?}",
        cut.in_flight
    );
    // Its projects come back to it.
    let has_begun =
        |many: &Many| many.studio.record()[before..].iter().any(|line| line.starts_with("start c "));
    let mut rounds = 0;
    while !has_begun(&many) {
        rounds += 1;
        assert!(rounds < 50, "c has nothing any more");
        many.add(1);
        many.until_all_done();
    }
    assert!(many.pairs_since(cut.warm) <= 6 + cut.moved, "c had {} projects", cut.moved);
}
