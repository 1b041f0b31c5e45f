//! Whether files on disk are still what was read from them.

mod fingerprint;
mod footprint;
mod stamp;
mod watch;

pub use fingerprint::Fingerprint;
pub use stamp::Stamp;
pub use watch::CoreWatch;
