//! The daemon as a process, on a site of the loopback interface, by the real client.
//!
//! But for `demo`, the client is `shotgun_api3` as it is on PyPI: these tests run only where
//! `SGTK_HOST_CLIENT_PYTHON` names a Python that has it; `.ci/run` makes a virtual environment for that.
//! Elsewhere they say that they were skipped.
//!
//! Tests of plugins of projects run over both of `[sgtk] isolation` with `--features embedded`.
#![cfg(unix)]

mod bad_days;
mod browser;
mod commands;
mod configuration;
mod crash;
mod daemon;
mod demo;
mod isolation;
mod mail;
#[cfg(feature = "nats")]
mod many;
mod plugins;
mod projects;
mod running;
mod sites;
mod soak;
mod start;
