//! A site, and how its projects are bootstrapped.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

/// A site.
#[derive(Clone, Debug)]
pub struct Site {
    /// `shotgun`, or what stands after the colon.
    pub name: Arc<str>,
    /// Its section.
    pub section: String,
    /// Its address.
    pub server: String,
    /// The daemon's script user.
    pub script: String,
    /// Its key.
    pub key: SecretString,
    /// The proxy, with its password.
    pub proxy: Option<SecretString>,
}

/// How projects are bootstrapped whose configuration the site names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distributed {
    /// The `python` folder of the core that a bootstrap starts from.
    pub core: PathBuf,
    /// For which plug-in configurations have to be.
    pub plugin_id: String,
    /// The engine.
    pub engine: String,
}
