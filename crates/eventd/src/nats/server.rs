//! The connection, and whether the server is one that keeps what is promised.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context, kv};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::names;
use super::settings::NatsSettings;

/// The oldest server that knows the priority policy `prioritized`. Older ones ignore it silently.
const OLDEST: (i64, i64) = (2, 12);

/// For how long the server tells events apart by their ids, so that none is there twice.
const DUPLICATES: Duration = Duration::from_secs(2 * 24 * 3600);

/// How many consumers the stream may have; the server's own default is 1,000.
const MOST_CONSUMERS: i32 = 10_000;

/// How long events that failed are kept.
const KEEP_FAILED: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long the server may take to make or to list something: with thousands of consumers it takes seconds.
const REQUEST: Duration = Duration::from_secs(30);

/// How long the monitoring may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Why the server cannot be used. Each is for the person who has to do something about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no connection.
    #[error("cannot connect to the NATS server {url}: {reason}")]
    Connect {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A file of the connection cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is too old.
    #[error(
        "the NATS server {url} is version {found} and has to be 2.12 or later: an older one does not know \
         the priority policy 'prioritized', and gives each project to all hosts in turn"
    )]
    TooOld {
        /// Its address.
        url: String,
        /// Its version.
        found: String,
    },
    /// It has no JetStream.
    #[error("the NATS server {url} has no JetStream for this account: {reason}")]
    NoJetStream {
        /// Its address.
        url: String,
        /// What it says.
        reason: String,
    },
    /// It does not write everything at once.
    #[error(
        "the NATS server {url} keeps one copy and does not write it to the disk at once: a power failure \
         loses all events of the last two minutes. Set `jetstream {{ sync_interval: always }}` in its \
         configuration, or [nats] replicas to 3"
    )]
    Unsynced {
        /// Its address.
        url: String,
    },
    /// That cannot be seen.
    #[error(
        "whether the NATS server {url} writes events to the disk at once cannot be seen at {monitor}: \
         {reason}. Name its monitoring with [nats] monitor, or, where `jetstream {{ sync_interval: always \
         }}` is set, say so with [nats] sync = trusted"
    )]
    Unseen {
        /// Its address.
        url: String,
        /// Where it was looked.
        monitor: String,
        /// Why.
        reason: String,
    },
    /// A stream was made by somebody else.
    #[error("the stream {stream} of the NATS server is there already with other settings: {}", differences.join("; "))]
    OtherStream {
        /// Its name.
        stream: String,
        /// Where it differs: found and wanted.
        differences: Vec<String>,
    },
    /// A consumer was made by somebody else.
    #[error("the consumer {consumer} of the NATS server is there already with other settings: {}", differences.join("; "))]
    OtherConsumer {
        /// Its name.
        consumer: String,
        /// Where it differs: found and wanted.
        differences: Vec<String>,
    },
    /// The account has too few consumers for the stream.
    #[error(
        "the NATS server {url} refuses to make the stream {stream}, whose max_consumers is {most}: {reason}. \
         Raise the number of consumers that the account may have: each project takes one"
    )]
    AccountConsumers {
        /// The server's address.
        url: String,
        /// The stream.
        stream: String,
        /// How many consumers it is to have at most.
        most: i32,
        /// What the server says.
        reason: String,
    },
    /// There is no room for another consumer.
    #[error(
        "the NATS server refuses another consumer for {consumer}: {reason}. Raise max_consumers of the \
         stream SGTK_EV or of the account: each project takes one"
    )]
    Consumers {
        /// The consumer.
        consumer: String,
        /// What it says.
        reason: String,
    },
    /// Something else was refused.
    #[error("the NATS server {url} refuses {what}: {reason}")]
    Refused {
        /// Its address.
        url: String,
        /// What was asked for.
        what: String,
        /// What it says.
        reason: String,
    },
}

/// The server, with all that is needed of it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) events: Stream,
    pub(super) failed: Stream,
    pub(super) records: kv::Store,
}

impl Server {
    /// Connects, and makes the streams where they are not there yet.
    pub(super) async fn connect(
        settings: &NatsSettings,
        changed: impl Fn(bool) + Send + Sync + 'static,
    ) -> Result<Server, NatsError> {
        let url = settings.shown();
        let client = options(settings, changed).await?;
        let addresses: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let connected = client.connect(addresses.as_slice()).await;
        let client =
            connected.map_err(|error| NatsError::Connect { url: url.clone(), reason: told(&error) })?;
        if !client.is_server_compatible(OLDEST.0, OLDEST.1, 0) {
            return Err(NatsError::TooOld { url, found: client.server_info().version });
        }
        let mut context = jetstream::new(client.clone());
        context.set_timeout(REQUEST);
        if let Err(error) = context.query_account().await {
            return Err(NatsError::NoJetStream { url, reason: told(&error) });
        }
        if settings.options.replicas == 1 && !settings.options.sync_is_trusted {
            check_sync(settings, &client.server_info()).await?;
        }
        let events = stream(&context, &url, events_config(settings)).await?;
        let failed = stream(&context, &url, failed_config(settings)).await?;
        let records = records(&context, &url, settings.options.replicas).await?;
        Ok(Server { client, context, events, failed, records })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }
}

/// An error with all its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = cause.source();
    }
    told
}

async fn options(
    settings: &NatsSettings,
    changed: impl Fn(bool) + Send + Sync + 'static,
) -> Result<ConnectOptions, NatsError> {
    let changed = std::sync::Arc::new(changed);
    let mut options = ConnectOptions::new()
        .name(format!("sgtk-eventd {}", settings.host))
        .ping_interval(Duration::from_secs(5))
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        // What waits while there is no connection must never hold up whoever watches the lease.
        .client_capacity(65_536)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| Duration::from_millis(100 << attempts.min(4)))
        .event_callback(move |event| {
            let changed = std::sync::Arc::clone(&changed);
            async move {
                match event {
                    Event::Connected => changed(true),
                    Event::Disconnected => changed(false),
                    Event::SlowConsumer(_) => {
                        tracing::error!("the NATS client drops messages: it is overloaded")
                    }
                    Event::ServerError(error) => tracing::error!(%error, "the NATS server reports an error"),
                    Event::ClientError(error) => tracing::warn!(%error, "the NATS client reports an error"),
                    _ => {}
                }
            }
        });
    // The client leaves them where they are.
    let addresses = settings.url.split(',').filter_map(|address| address.trim().parse::<ServerAddr>().ok());
    for address in addresses.filter(ServerAddr::has_user_pass) {
        let (user, password) = (address.username(), address.password());
        if let (Some(user), Some(password)) = (user, password) {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
    }
    if let Some(path) = &settings.options.credentials {
        options = options.credentials_file(path).await.map_err(|error| NatsError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
    }
    if let Some(path) = &settings.options.tls_ca {
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    if let Some((cert, key)) = &settings.options.tls_cert {
        options = options.add_client_certificate(cert.clone(), key.clone()).require_tls(true);
    }
    Ok(options)
}

#[derive(Deserialize)]
struct Varz {
    server_id: String,
    jetstream: Option<JetStreamVarz>,
}

#[derive(Deserialize)]
struct JetStreamVarz {
    config: Option<JetStreamConfig>,
}

#[derive(Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_always: bool,
}

/// With one copy alone, what has not reached the disk is lost with the power.
async fn check_sync(settings: &NatsSettings, server: &async_nats::ServerInfo) -> Result<(), NatsError> {
    let url = settings.shown();
    let monitor = settings.options.monitor.clone().unwrap_or_else(|| {
        let host = settings.url.split(',').next().unwrap_or_default();
        let host = host.split_once("://").map_or(host, |(_, host)| host);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        format!("http://{host}:8222")
    });
    let found = tokio::time::timeout(LIMIT, varz(&monitor)).await;
    let found = found.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    let unseen = |reason| NatsError::Unseen { url: url.clone(), monitor: monitor.clone(), reason };
    let found = found.map_err(unseen)?;
    if found.server_id != server.server_id {
        return Err(unseen(format!("the server there is another one, {}", found.server_id)));
    }
    let config = found.jetstream.and_then(|jetstream| jetstream.config);
    if config.is_some_and(|config| config.sync_always) { Ok(()) } else { Err(NatsError::Unsynced { url }) }
}

async fn varz(monitor: &str) -> Result<Varz, String> {
    let Some(address) = monitor.trim_end_matches('/').strip_prefix("http://") else {
        return Err("its address has to begin with http://".to_owned());
    };
    let (authority, path) =
        address.split_once('/').map_or((address, String::new()), |(host, path)| (host, format!("/{path}")));
    let mut stream = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
    // Of version 1.0, so that the answer ends with the connection.
    let request = format!("GET {path}/varz HTTP/1.0\r\nhost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(format!("it answers '{}'", head.lines().next().unwrap_or_default()));
    }
    serde_json::from_str(body).map_err(|error| format!("the answer is not the server's: {error}"))
}

fn events_config(settings: &NatsSettings) -> Config {
    Config {
        name: names::EVENTS.to_owned(),
        description: Some("Events of ShotGrid sites, for sgtk-eventd".to_owned()),
        subjects: vec![names::EVENT_SUBJECTS.to_owned()],
        // Not as a work queue: that forgets over a restart which ids it has had.
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_age: settings.options.keep,
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: -1,
        duplicate_window: DUPLICATES.min(settings.options.keep),
        max_consumers: MOST_CONSUMERS,
        num_replicas: settings.options.replicas,
        allow_direct: true,
        ..Config::default()
    }
}

fn failed_config(settings: &NatsSettings) -> Config {
    Config {
        name: names::FAILED.to_owned(),
        description: Some("Events that failed for good, for sgtk-eventd".to_owned()),
        subjects: vec![names::FAILED_SUBJECTS.to_owned()],
        max_age: KEEP_FAILED,
        max_consumers: -1,
        ..events_config(settings)
    }
}

async fn stream(context: &Context, url: &str, wanted: Config) -> Result<Stream, NatsError> {
    let refused = |what: &str, reason: String| NatsError::Refused {
        url: url.to_owned(),
        what: format!("{what} the stream {}", wanted.name),
        reason,
    };
    let name = wanted.name.clone();
    match context.get_stream(&name).await {
        Ok(found) => {
            let differences = differences(&found.cached_info().config, &wanted);
            if differences.is_empty() {
                Ok(found)
            } else {
                Err(NatsError::OtherStream { stream: name, differences })
            }
        }
        Err(error) if error.to_string().contains("not found") || told(&error).contains("10059") => {
            let made = context.create_stream(wanted.clone()).await;
            made.map_err(|error| {
                let reason = told(&error);
                // What the stream asks for is more than the account may have.
                if is_consumer_limit(&reason) {
                    let (stream, most) = (wanted.name.clone(), wanted.max_consumers);
                    return NatsError::AccountConsumers { url: url.to_owned(), stream, most, reason };
                }
                refused("to make", reason)
            })
        }
        Err(error) => Err(refused("to show", told(&error))),
    }
}

/// Whether the server refuses because of a limit of consumers: its error 10026.
pub(super) fn is_consumer_limit(reason: &str) -> bool {
    reason.contains("10026") || reason.contains("maximum consumers")
}

/// What in a stream that is there keeps this daemon from keeping its promises. How long it keeps events is
/// its owner's affair.
fn differences(found: &Config, wanted: &Config) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |key: &str, found: String, wanted: String, is_well: bool| {
        if !is_well {
            differences.push(format!("{key} is {found} and has to be {wanted}"));
        }
    };
    let lower = |text: String| text.to_ascii_lowercase();
    let retention = |config: &Config| lower(format!("{:?}", config.retention));
    let storage = |config: &Config| lower(format!("{:?}", config.storage));
    compare("retention", retention(found), retention(wanted), found.retention == wanted.retention);
    compare("storage", storage(found), storage(wanted), found.storage == wanted.storage);
    compare(
        "subjects",
        found.subjects.join(","),
        wanted.subjects.join(","),
        found.subjects == wanted.subjects,
    );
    for (key, value) in [
        ("max_msgs", found.max_messages),
        ("max_bytes", found.max_bytes),
        ("max_msgs_per_subject", found.max_messages_per_subject),
    ] {
        // Each of them would drop events that nobody has had.
        compare(key, value.to_string(), "-1".to_owned(), value <= 0);
    }
    let (consumers, room) =
        (found.max_consumers, found.max_consumers <= 0 || found.max_consumers >= wanted.max_consumers);
    let most = if wanted.max_consumers > 0 { wanted.max_consumers.to_string() } else { "-1".to_owned() };
    compare("max_consumers", consumers.to_string(), most, room);
    let hours = |time: Duration| format!("{} s", time.as_secs());
    let window = found.duplicate_window >= wanted.duplicate_window.min(Duration::from_secs(3600));
    compare("duplicate_window", hours(found.duplicate_window), hours(wanted.duplicate_window), window);
    let (copies, wanted_copies) = (found.num_replicas, wanted.num_replicas);
    compare(
        "num_replicas",
        copies.to_string(),
        format!("{wanted_copies}, as [nats] replicas says"),
        copies == wanted_copies,
    );
    compare("no_ack", found.no_ack.to_string(), "false".to_owned(), !found.no_ack);
    compare("sealed", found.sealed.to_string(), "false".to_owned(), !found.sealed);
    compare("allow_direct", found.allow_direct.to_string(), "true".to_owned(), found.allow_direct);
    compare("mirror", "set".to_owned(), "none".to_owned(), found.mirror.is_none());
    differences
}

async fn records(context: &Context, url: &str, replicas: usize) -> Result<kv::Store, NatsError> {
    if let Ok(found) = context.get_key_value(names::RECORDS).await {
        return Ok(found);
    }
    let config = kv::Config {
        bucket: names::RECORDS.to_owned(),
        description: "What sgtk-eventd knows of its consumers".to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: replicas,
        ..kv::Config::default()
    };
    context.create_key_value(config).await.map_err(|error| NatsError::Refused {
        url: url.to_owned(),
        what: format!("to make the bucket {}", names::RECORDS),
        reason: told(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NatsOptions;

    fn config() -> Config {
        let settings = NatsSettings {
            url: "nats://a".to_owned(),
            host: "a".to_owned(),
            options: NatsOptions::default(),
        };
        events_config(&settings)
    }

    #[test]
    fn what_would_break_a_promise_is_told_and_the_rest_is_the_owners_affair() {
        let mut found = config();
        found.max_age = Duration::from_secs(3600);
        found.max_consumers = 0;
        assert_eq!(differences(&found, &config()), Vec::<String>::new());
        found.retention = RetentionPolicy::WorkQueue;
        found.max_consumers = 1000;
        found.max_bytes = 1 << 20;
        let told = differences(&found, &config()).join("; ");
        for words in [
            "retention is workqueue and has to be limits",
            "max_bytes is 1048576",
            "max_consumers is 1000 and",
        ] {
            assert!(told.contains(words), "{told}");
        }
    }
}
