//! Files and folders as they are at one moment.

mod compiled;
mod fingerprint;
pub(crate) mod presence;
mod stamp;

pub use compiled::{forget_compiled, looks_current};
pub use fingerprint::Fingerprint;
pub use stamp::Stamp;
