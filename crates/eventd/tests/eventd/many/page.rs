//! The status page of a host, in a real browser, and the numbers for Prometheus.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::studio::Many;
use crate::browser::{Driver, until_shown};

#[tokio::test]
async fn in_a_browser_the_page_of_one_host_shows_all_of_them_and_which_is_silent() {
    let Some(mut many) = Many::new(2) else { return };
    let Some(driver) = Driver::start() else { return };
    let _publisher = many.publisher("p");
    let arguments = ["serve", "--host", "a", "--hosts", "a,b", "--http", "127.0.0.1:0"];
    let _host = many.spawn("a", &arguments);
    let other = many.spawn("b", &["serve", "--host", "b", "--hosts", "a,b"]);
    many.until_logged("p", "polling begins");
    for name in ["a", "b"] {
        many.until_ready(name);
    }
    many.add(2);
    many.until_all_done();
    let address = address(&many, "a");
    let browser = driver.browser().await;
    browser.goto(&format!("http://{address}/")).await.unwrap();
    let last = many.events[&2][1].to_string();
    let published = format!("host p (publisher): event {last}");
    until_shown(&browser, &["host a: runs 0", "host b: runs 0", &published, "note 1 idle", "note 2 idle"])
        .await;
    other.kill();
    until_shown(&browser, &["host a: runs 0", "host b: silent"]).await;
    browser.close().await.unwrap();
}

/// Where the page of a host is.
fn address(many: &Many, host: &str) -> String {
    let log = many.log(host);
    log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// The numbers of a host for Prometheus, by name and labels.
fn numbers(many: &Many, host: &str) -> std::collections::BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(address(many, host)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let lines = answer.lines().filter(|line| line.starts_with("sgtk_eventd_"));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn the_numbers_of_all_hosts_add_up_to_what_happened() {
    let Some(mut many) = Many::new(2) else { return };
    many.studio.project_plugin(
        "note.py",
        "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, None, None, False)

def note(sg, logger, event, args):
    project = event['project']['id']
    if project == 1:
        raise ValueError('broken')
    done('done', os.environ['EVENTD_HOST'], project, event['id'])
",
    );
    let _publisher = many.publisher("p");
    many.until_logged("p", "polling begins");
    let _hosts = ["a", "b"]
        .map(|name| many.spawn(name, &["serve", "--host", name, "--hosts", "a,b", "--http", "127.0.0.1:0"]));
    ["a", "b"].iter().for_each(|name| many.until_ready(name));
    let sum = |many: &Many, name: &str| -> f64 {
        ["a", "b"].iter().map(|host| numbers(many, host).get(name).copied().unwrap_or(0.0)).sum()
    };
    many.add(3);
    many.until_done(3);
    let dead = "sgtk_eventd_dead_letters_total{plugin=\"note\",project=\"1\"}";
    many.studio.until("all of one project are dead letters", || sum(&many, dead) >= 3.0);
    let called = |project: i64, outcome: &str| {
        format!("sgtk_eventd_callbacks_total{{plugin=\"note\",project=\"{project}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(sum(&many, dead), 3.0);
    assert_eq!((sum(&many, &called(2, "done")), sum(&many, &called(1, "raised"))), (3.0, 3.0));
    assert_eq!((sum(&many, &called(1, "done")), sum(&many, &called(2, "raised"))), (0.0, 0.0));
    // What waits and what is kept is on the server: each host tells all of it.
    many.said("a", &["pause", "note"]);
    many.add(4);
    for host in ["a", "b"] {
        many.studio.until("each host tells how much waits", || {
            let numbers = numbers(&many, host);
            let waits = |project| {
                numbers.get(&format!("sgtk_eventd_lag_events{{plugin=\"note\",project=\"{project}\"}}"))
            };
            waits(1) == Some(&4.0) && waits(2) == Some(&4.0)
        });
        let numbers = numbers(&many, host);
        assert_eq!(numbers["sgtk_eventd_kept_events"], 14.0);
        assert_eq!(numbers["sgtk_eventd_kept_dead_letters"], 3.0);
        assert_eq!(numbers["sgtk_eventd_parked{plugin=\"note\",project=\"2\"}"], 0.0);
    }
    assert_eq!(many.done(), 3);
}
