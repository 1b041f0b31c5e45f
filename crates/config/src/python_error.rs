//! Python exceptions as text.

use std::fmt;

use crate::keys::redacted;

/// A Python exception as owned text: it keeps nothing of an interpreter alive and is `Send` and `Sync`.
///
/// `Display` gives the traceback as Python prints it, or `type: message` where there is none.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonError {
    /// The exception's class, with its module where that is not `builtins`.
    pub type_name: String,
    /// The names of all classes in the exception class's method resolution order, its own first. Toolkit's
    /// exceptions are to be classified by these names: after a core was swapped their classes are others of
    /// the same name.
    pub mro: Vec<String>,
    /// `str(exception)`, or a placeholder where that raised.
    pub message: String,
    /// The traceback with the causes of the exception, as Python prints it, where there is one.
    pub traceback: Option<String>,
}

impl PythonError {
    /// An exception as Python described it. [Keys](crate::keys) in its texts are hidden.
    #[must_use]
    pub fn new(type_name: String, mro: Vec<String>, message: &str, traceback: Option<&str>) -> Self {
        Self {
            type_name,
            mro,
            message: redacted(message).into_owned(),
            traceback: traceback.map(|text| redacted(text).into_owned()),
        }
    }

    /// Whether the exception's class, or one of its bases, is called `name` (without its module).
    #[must_use]
    pub fn is_a(&self, name: &str) -> bool {
        self.mro.iter().any(|class| class == name)
    }
}

impl fmt::Display for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.traceback {
            Some(traceback) => f.write_str(traceback),
            None if self.message.is_empty() => f.write_str(&self.type_name),
            None => write!(f, "{}: {}", self.type_name, self.message),
        }
    }
}

impl fmt::Debug for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for PythonError {}
