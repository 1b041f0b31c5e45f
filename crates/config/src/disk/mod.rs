//! Files and folders as they are at one moment.

mod fingerprint;
pub(crate) mod presence;
mod stamp;

pub use fingerprint::Fingerprint;
pub use stamp::Stamp;
