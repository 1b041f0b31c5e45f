//! Starts CPython correctly and stops it softly.

/// Why the interpreter could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterpreterError {}
