//! The connection, and whether the server is one that keeps what is promised.

use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context, kv};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::{NatsError, told};
use super::settings::NatsSettings;
use super::streams;

/// The oldest server that knows the priority policy `prioritized`. Older ones ignore it silently.
const OLDEST: (i64, i64) = (2, 12);

/// How long the server may take to make or to list something: with thousands of consumers it takes seconds.
const REQUEST: Duration = Duration::from_secs(30);

/// How long the monitoring may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

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
        let events = streams::events(&context, settings).await?;
        let failed = streams::failed(&context, settings).await?;
        let records = streams::records(&context, settings).await?;
        Ok(Server { client, context, events, failed, records })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }
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
