//! What is asked of a site, and one that is away, slow, or talks nonsense.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use sgtk_host_fixtures::{Fault, Site};

use crate::daemon::{NOTE, Studio, event, ids, python};

/// An entry without an id.
const ODD: &str = r#"{"results": {"entities": [{"type": "EventLogEntry"}], "paging_info": {}}}"#;

#[test]
fn a_site_that_fails_or_talks_nonsense_loses_nothing_and_the_log_says_what_is_wrong() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    let mut all = Vec::new();
    for (fault, words) in [
        (Fault::Garbage, "the answer is not the site's"),
        (Fault::Page, "the answer is not the site's"),
        (Fault::NoHttp, "the answer is not the site's"),
        (Fault::Gzip, "the answer is not the site's"),
        (Fault::Answer("[]".to_owned()), "the answer is not the site's"),
        (Fault::Answer(ODD.to_owned()), "what came has no event in it"),
        (Fault::Status(302), "the site is not there, or elsewhere"),
        (Fault::HangUp, "the connection to the site was cut"),
        (Fault::WrongKey, "check [shotgun] name and key"),
        (Fault::Status(500), "the site, or a proxy before it, has an error of its own"),
    ] {
        studio.site.fault("read:EventLogEntry", fault.clone()).unwrap();
        all.extend(studio.events("A", &[None]));
        let told = |log: String| log.rsplit("the site answers again").next().unwrap().contains(words);
        studio.until(&format!("{fault:?} is told"), || told(studio.log("daemon")));
        studio.site.clear_faults().unwrap();
        assert_eq!(studio.until_recorded(all.len()), ids(&all));
    }
    // One that is slow is waited for, and that is all.
    studio.until("it is well", || !studio.said(&["status"]).contains("does not answer"));
    let before = studio.log("daemon").len();
    studio.site.fault("read:EventLogEntry", Fault::Delay(Duration::from_secs(2))).unwrap();
    all.extend(studio.events("A", &[None]));
    assert_eq!(studio.until_recorded(all.len()), ids(&all));
    assert!(!studio.log("daemon")[before..].contains("cannot be asked"), "{}", studio.log("daemon"));
    assert!(daemon.stop().success());
}

#[test]
fn a_site_that_is_away_when_the_daemon_starts_is_waited_for_and_nothing_is_lost() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    assert!(studio.start_polling().stop().success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    studio.set("shotgun", &format!("server: http://127.0.0.1:{port}"));
    let all = studio.events("A", &[None; 3]);
    let daemon = studio.start();
    let words = ["the site cannot be asked for events", "refused", "is the site, or the proxy, there?"];
    let told = || studio.log("daemon").lines().any(|line| words.iter().all(|words| line.contains(words)));
    studio.until("it is told", told);
    let status = studio.said(&["status"]);
    assert!(status.contains("does not answer") && status.contains("inactive"), "{status}");
    lead(TcpListener::bind(("127.0.0.1", port)).unwrap(), studio.site.port());
    assert_eq!(studio.until_recorded(3), ids(&all));
    studio.until("it is well", || {
        let status = studio.said(&["status"]);
        !status.contains("does not answer") && !status.contains("inactive")
    });
    assert!(daemon.stop().success());
}

#[test]
fn a_plugin_whose_client_meets_a_proxys_page_is_loaded_once_the_site_is_there_and_that_is_told_once() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    assert!(studio.start_polling().stop().success());
    let all = studio.events("A", &[None; 2]);
    // The first thing that a client asks.
    studio.site.fault("info", Fault::Page).unwrap();
    let daemon = studio.start();
    let tried = || studio.site.counts().unwrap().get("info").copied().unwrap_or(0);
    let before = tried();
    studio.until("it is tried again and again", || tried() > before + 8);
    let log = studio.log("plugin.note");
    assert_eq!(log.matches("could not be loaded").count(), 1, "{log}");
    studio.site.clear_faults().unwrap();
    assert_eq!(studio.until_recorded(2), ids(&all));
    assert!(daemon.stop().success());
}

#[test]
fn what_waits_when_the_daemon_starts_is_run_before_a_second_worker_is_started() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    assert!(studio.start_polling().stop().success());
    let all = studio.events("A", &[None; 3]);
    // There is no second question.
    studio.set("daemon", "fetch_interval: 3600");
    let daemon = studio.start();
    assert_eq!(studio.until_recorded(3), ids(&all));
    let status: serde_json::Value = serde_json::from_str(&studio.said(&["status", "--json"])).unwrap();
    let workers: Vec<_> = status["workers"].as_object().unwrap().keys().collect();
    assert_eq!(workers, ["plugins-shotgun"]);
    assert!(daemon.stop().success());
}

#[test]
fn a_site_that_takes_questions_and_never_answers_is_told_and_holds_up_neither_others_nor_the_end() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let london = Site::start().unwrap();
    for name in ["daemon", "plugin"] {
        london.script_user(name, &format!("a-{name}s-key")).unwrap();
    }
    studio.set("shotgun:london", &format!("server: {}", london.url()));
    studio.set("shotgun:london", "name: daemon").set("shotgun:london", "key: a-daemons-key");
    studio.set("eventd", "socket_timeout: 3").set("eventd", "stop_timeout: 10");
    studio.env("SHOTGUN_API_RETRY_INTERVAL", "0".into());
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    let polled = || london.counts().unwrap().get("read:EventLogEntry").copied().unwrap_or(0) > 1;
    studio.until("the other one is polled", polled);
    studio.site.fault("read:EventLogEntry", Fault::Hang).unwrap();
    let held = studio.events("A", &[None]);
    studio.until("status tells", || studio.said(&["status"]).contains("has not answered for "));
    let log = studio.log("daemon");
    assert!(log.contains("the site has taken a question and does not answer"), "{log}");
    // The other one's.
    let there = london.events(&[event("A", None)]).unwrap();
    assert_eq!(studio.until_recorded(1), ids(&there));
    let words = ["the site cannot be asked for events", "site=shotgun", "is the site, or the proxy, there?"];
    let told = || studio.log("daemon").lines().any(|line| words.iter().all(|words| line.contains(words)));
    studio.until("the client has given up", told);
    let check = studio.refused(&["check"]);
    let fault = check.lines().find(|line| line.starts_with("FAULT")).unwrap_or_default();
    assert!(fault.contains("nobody answers there"), "{check}");
    let note = format!("note   {}: plugins were not tried", studio.site.url());
    assert!(check.contains(&note), "{check}");
    studio.site.clear_faults().unwrap();
    studio.site.release().unwrap();
    assert_eq!(studio.until_recorded(2)[1], held[0].to_string());
    assert!(daemon.stop().success());
    // The client of a plugin that is being loaded waits for long: nobody waits for that at the end.
    studio.set("eventd", "socket_timeout: 600");
    studio.site.fault("info", Fault::Hang).unwrap();
    let before = studio.log("daemon").len();
    let daemon = studio.start();
    studio.until("it waits", || studio.site.wait_for_hanging(1, Duration::ZERO).unwrap());
    assert!(daemon.stop().success());
    let log = studio.log("daemon").split_off(before);
    assert!(log.contains("sgtk-eventd has ended") && !log.contains("did not end in time"), "{log}");
}

/// Leads connections to a port of this machine.
fn lead(listener: TcpListener, to: u16) {
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    // Either end may go at any time.
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_next_page_is_asked_for_while_one_is_written_and_each_event_comes_once_and_in_order() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("daemon", "max_event_batch_size: 10");
    studio.plugin("note.py", NOTE);
    // A file that may not grow is refused with a signal, which would end the daemon.
    let daemon = studio.start_polling_by(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    // A poll that is on its way has the first page, which cannot be written.
    let kind = "read:EventLogEntry";
    studio.site.fault(kind, Fault::Hang).unwrap();
    assert!(studio.site.wait_for_hanging(1, Duration::from_secs(60)).unwrap());
    let log = studio.path("ids.sgtk-eventd.db-wal");
    crate::bad_days::limit_files(daemon.pid(), Some(fs::metadata(&log).unwrap().len()));
    let all = studio.events("A", &[None; 45]);
    studio.site.clear_faults().unwrap();
    studio.site.forget_requests().unwrap();
    studio.site.release().unwrap();
    let asked = || studio.site.counts().unwrap().get(kind).copied().unwrap_or(0);
    studio.until("it cannot be written", || studio.log("daemon").contains("events cannot be written"));
    // Before it, how far the site is.
    studio.until("the next page is asked for", || asked() == 2);
    let status = studio.said(&["status"]);
    assert!(status.contains(&format!("event 1 of {}, ", all[44])), "{status}");
    assert_eq!(studio.record(), ids(&[]));
    // The site goes on meanwhile: how far it is now is told once the daemon is where it was.
    let more = studio.events("A", &[None; 45]);
    studio.site.fault(kind, Fault::Hang).unwrap();
    crate::bad_days::limit_files(daemon.pid(), None);
    studio.until("how far the site is now is told", || {
        let status = studio.said(&["status"]);
        studio.site.release().unwrap();
        status.contains(&format!(" of {}, ", more[44]))
    });
    studio.site.clear_faults().unwrap();
    studio.site.release().unwrap();
    let all: Vec<i64> = all.into_iter().chain(more).collect();
    assert_eq!(studio.until_recorded(90), ids(&all));
    let last = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(91)[90], last.to_string());
    assert!(studio.said(&["status"]).contains(&format!("event {last}, ")));
    assert!(daemon.stop().success());
}
