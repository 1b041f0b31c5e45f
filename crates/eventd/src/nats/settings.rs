//! What a host has to know of the server.

use crate::config::NatsOptions;

/// The server, and this host's name. `[nats]` of the configuration file, or the command line.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    /// Its addresses: `nats://a:4222,nats://b:4222`, `tls://…`.
    pub url: String,
    /// This host.
    pub host: String,
    /// What else there is to say of it.
    pub options: NatsOptions,
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
            options: NatsOptions::default(),
        };
        assert_eq!(settings.shown(), "nats://a:4222,nats://b:4222");
    }
}
