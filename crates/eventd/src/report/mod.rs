//! What people and other programs see of the daemon. Nothing is decided here.

pub mod board;
pub mod log;
pub mod mail;
pub mod metrics;
pub mod timing;
