//! What a host has to know of the server.

use std::path::PathBuf;
use std::time::Duration;

/// The server, and this host's name. `[nats]` of the configuration file, or the command line.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    /// Its addresses: `nats://a:4222,nats://b:4222`, `tls://…`.
    pub url: String,
    /// This host.
    pub host: String,
    /// All hosts that are known beforehand. Others are found.
    pub hosts: Vec<String>,
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
    /// After what silence of a host the server gives its message to another one.
    pub ack_wait: Duration,
    /// Copies of the streams.
    pub replicas: usize,
    /// How long events are kept.
    pub keep: Duration,
}

impl NatsSettings {
    /// The address without a password.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = |address: &str| {
            let Some((login, rest)) = address.rsplit_once('@') else { return address.to_owned() };
            let scheme = login.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}{rest}")
        };
        self.url.split(',').map(shown).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let settings = NatsSettings {
            url: "nats://me:secret@a:4222,nats://b:4222".to_owned(),
            host: String::new(),
            hosts: Vec::new(),
            credentials: None,
            tls_ca: None,
            tls_cert: None,
            monitor: None,
            sync_is_trusted: false,
            ack_wait: Duration::from_secs(15),
            replicas: 1,
            keep: Duration::from_secs(1),
        };
        assert_eq!(settings.shown(), "nats://a:4222,nats://b:4222");
    }
}
