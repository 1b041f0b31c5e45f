//! The source: from sites to events in order. Nothing of plugins.

pub mod lines;
pub mod poll;
pub mod trouble;
pub mod window;
