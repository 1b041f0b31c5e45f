//! Python executables, run without being linked. For `sgtk-host` and `sgtk-pool`, not for their callers.

mod executables;
mod run;

pub use executables::{ExecutableError, Executables, steers_python};
pub use run::{Outcome, run};
