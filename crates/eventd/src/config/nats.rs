//! `[nats]`: many hosts.

use std::path::PathBuf;
use std::time::Duration;

use super::Gather;
use super::values::{KeyError, Section};

/// The keys of the section.
pub(super) const KEYS: &[&str] = &[
    "url",
    "host",
    "hosts",
    "wait_for_hosts",
    "credentials",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "monitor",
    "sync",
    "ack_wait",
    "park_after",
    "replicas",
    "keep",
];

/// What the section says. The command line may say otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Nats {
    /// The server's addresses.
    pub url: Option<String>,
    /// This host's name.
    pub host: Option<String>,
    /// The rest.
    pub options: NatsOptions,
}

/// What there is to say of the server besides its address.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// All hosts that are known beforehand. Others are found.
    pub hosts: Vec<String>,
    /// For how long a host that starts leaves their projects to those of them that nobody has heard yet.
    pub wait_for_hosts: Duration,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// A file of certificates that are trusted.
    pub tls_ca: Option<PathBuf>,
    /// This host's certificate and its key.
    pub tls_cert: Option<(PathBuf, PathBuf)>,
    /// Where the server's monitoring is: `http://a:8222`.
    pub monitor: Option<String>,
    /// Whether somebody has seen to it that the server writes everything to the disk at once.
    pub sync_is_trusted: bool,
    /// After what silence of a host the server gives its event to another one.
    pub ack_wait: Duration,
    /// For how long an event that cannot be run at all is tried before its project is parked.
    pub park_after: Duration,
    /// Copies of the streams.
    pub replicas: usize,
    /// How long events are kept.
    pub keep: Duration,
}

impl Default for NatsOptions {
    fn default() -> NatsOptions {
        NatsOptions {
            hosts: Vec::new(),
            wait_for_hosts: Duration::from_secs(10),
            credentials: None,
            tls_ca: None,
            tls_cert: None,
            monitor: None,
            sync_is_trusted: false,
            ack_wait: Duration::from_secs(15),
            park_after: Duration::from_secs(15 * 60),
            replicas: 1,
            keep: Duration::from_secs(14 * 24 * 3600),
        }
    }
}

pub(super) fn read(section: Section<'_>, g: &mut Gather) -> Nats {
    let default = NatsOptions::default();
    let time = |g: &mut Gather, key: &str, default: Duration, least: u64| {
        let found = g.take(section.time(key, Some(default))).unwrap_or(default);
        if found < Duration::from_secs(least) {
            let reason = format!("it is {found:?} and has to be at least {least}s");
            g.0.push(KeyError { section: "nats".to_owned(), key: key.to_owned(), reason });
        }
        found
    };
    let path = |g: &mut Gather, key: &str| g.take(section.text(key)).map(PathBuf::from);
    let tls_cert = match (path(g, "tls_cert"), path(g, "tls_key")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            let reason = "tls_cert and tls_key are both to be set, or none of them".to_owned();
            g.0.push(KeyError { section: "nats".to_owned(), key: "tls_cert".to_owned(), reason });
            None
        }
    };
    Nats {
        url: g.take(section.text("url")),
        host: g.take(section.text("host")),
        options: NatsOptions {
            hosts: g.take(section.list("hosts")),
            wait_for_hosts: time(g, "wait_for_hosts", default.wait_for_hosts, 0),
            credentials: path(g, "credentials"),
            tls_ca: path(g, "tls_ca"),
            tls_cert,
            monitor: g.take(section.text("monitor")),
            sync_is_trusted: g.take(section.one_of("sync", &[("checked", false), ("trusted", true)], false)),
            ack_wait: time(g, "ack_wait", default.ack_wait, 1),
            park_after: time(g, "park_after", default.park_after, 1),
            replicas: usize::try_from(g.take(section.at_least("replicas", 1, 1))).unwrap_or(1),
            keep: time(g, "keep", default.keep, 3600),
        },
    }
}
