//! A Python process for each ShotGrid (Flow Production Tracking) Toolkit project, called with values of
//! JSON. Links no Python.
//!
//! A worker is a long-lived Python process that enters its project once, by the rules of [`Configs`] or by
//! bootstrapping an engine, and then answers calls in order. If it crashes, hangs or leaks, its own calls get
//! an error that says so; other projects are not affected.
//!
//! # Values
//! Arguments and results are values of JSON, by `serde`. On the way they are pickles of plain values, which
//! Python writes and loads in C; a result of other types goes as JSON:
//!
//! | value | rule |
//! | --- | --- |
//! | integers | of any size in a [`RawValue`](serde_json::value::RawValue), else an error beyond 64 bits |
//! | floats | exact in both directions; NaN and infinities are an error that names the place |
//! | text | Unicode; lone surrogates in a result are an error that names the place |
//! | tuples, lists, sets, frozen sets | arrays |
//! | `datetime`, `date`, `time` | ISO 8601 text |
//! | `pathlib` paths | text |
//! | dictionaries | objects; keys that are numbers, booleans or None become text as in Python's `json` |
//! | bytes and other objects | an error that names the place, and what to return instead |
//! | nesting | up to 127 levels in a result, unless the caller asks for a `RawValue` |
//!
//! # Delivery
//! Each call ends once: with a result, or with an error whose [`delivery`](PoolError::delivery) says whether
//! the function never ran, ran, or may have run. Only calls that never ran are tried again: if their worker
//! has ended before they were sent to it, and if [`retry_never_ran`](WorkerPoolBuilder::retry_never_ran) is
//! set after failed starts.
//!
//! # The process
//! The pool expects SIGPIPE to be ignored, as it is in Rust programs. It does not use SIGCHLD, and works
//! whoever handles it.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

mod agent;
mod builder;
mod call;
mod dispatch;
mod error;
mod handle;
mod lane;
mod options;
mod pool;
mod process;
mod stats;
mod wire;

pub use builder::WorkerPoolBuilder;
pub use call::Call;
pub use error::{Delivery, PoolError, StartError};
pub use handle::CallHandle;
pub use lane::Lane;
pub use options::WhenFull;
pub use pool::WorkerPool;
pub use sgtk_config::{
    Bootstrap, BootstrapBuilder, CachingPolicy, ConfigError, Configs, Entity, Platform, ProjectRef,
    PythonError, ScriptUser, SettingError, StudioFallback,
};
pub use stats::{PoolStats, ProjectStats, WorkerState};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
