//! A script user of a site's.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// A script user of a site's, to be the user of freshly imported cores.
///
/// Its key is in no `Debug`, error or log.
#[derive(Clone)]
pub struct ScriptUser {
    site: String,
    name: String,
    key: SecretString,
    http_proxy: Option<SecretString>,
}

impl ScriptUser {
    /// The script user `name` of the site at this address, with its key there.
    pub fn new(site: impl Into<String>, name: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self { site: site.into(), name: name.into(), key: key.into(), http_proxy: None }
    }

    /// The proxy for its calls: `host:port`, or `user:password@host:port`. Default: none.
    #[must_use]
    pub fn http_proxy(mut self, address: impl Into<SecretString>) -> Self {
        self.http_proxy = Some(address.into());
        self
    }

    /// What must not be seen anywhere.
    pub fn secrets(&self) -> impl Iterator<Item = SecretString> {
        [Some(self.key.clone()), self.http_proxy.clone()].into_iter().flatten()
    }

    // For `sgtk-host` and `sgtk-pool`. The user as `create_script_user` of `ShotgunAuthenticator` takes it,
    // **with the key in it**: to be handed to Python, or to a worker over its pipe, and nowhere else.
    #[doc(hidden)]
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "host": self.site,
            "api_script": self.name,
            "api_key": self.key.expose_secret(),
            "http_proxy": self.http_proxy.as_ref().map(|proxy| proxy.expose_secret()),
        })
    }
}

impl fmt::Debug for ScriptUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptUser")
            .field("site", &self.site)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
