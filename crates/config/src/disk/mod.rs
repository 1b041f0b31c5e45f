//! Files and folders as they are at one moment.

mod compiled;
#[cfg(unix)]
mod contents;
mod fingerprint;
pub(crate) mod presence;
mod stamp;

pub use compiled::{forget_compiled, looks_current};
#[cfg(unix)]
pub use contents::{FolderContents, ReadFile};
pub use fingerprint::Fingerprint;
pub use stamp::Stamp;
