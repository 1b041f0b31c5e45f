//! Hosts many ShotGrid (Flow Production Tracking) Toolkit cores in one Rust daemon.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod config;
mod error;
pub mod host;
pub mod interpreter;

pub use error::{Error, PythonError, Result};
pub use host::{ForeignModule, Host, HostBuilder, Lease, Resident, import_sgtk};
