//! A call of a function of the workers' files, and why it has no result.

use std::time::Duration;

use super::plain::NO_PROJECT;
use serde::Serialize;
use sgtk_pool::{Delivery, PoolError};

/// The function's arguments.
#[derive(Debug)]
#[must_use = "nothing is called before it is given to the workers"]
pub struct Call {
    to: To,
}

#[derive(Debug)]
enum To {
    Pool(sgtk_pool::Call),
    #[cfg(feature = "embedded")]
    InProcess(Result<Vec<Box<serde_json::value::RawValue>>, serde_json::Error>),
}

impl Call {
    /// The next argument.
    pub fn arg(self, value: impl Serialize) -> Call {
        let to = match self.to {
            To::Pool(call) => To::Pool(call.arg(value)),
            #[cfg(feature = "embedded")]
            To::InProcess(arguments) => To::InProcess(arguments.and_then(|mut arguments| {
                arguments.push(serde_json::value::to_raw_value(&value)?);
                Ok(arguments)
            })),
        };
        Call { to }
    }

    /// A call by a pool, with the arguments that are added by `arguments`.
    pub(super) fn by_pool(name: String, arguments: impl FnOnce(Call) -> Call) -> sgtk_pool::Call {
        match arguments(Call { to: To::Pool(sgtk_pool::Call::new(&name)) }).to {
            To::Pool(call) => call,
            // It stays what it was begun as.
            #[cfg(feature = "embedded")]
            To::InProcess(_) => sgtk_pool::Call::new(name),
        }
    }

    /// Arguments as JSON.
    ///
    /// # Errors
    /// JSON cannot express one.
    #[cfg(feature = "embedded")]
    pub(super) fn as_json(
        arguments: impl FnOnce(Call) -> Call,
    ) -> Result<Vec<Box<serde_json::value::RawValue>>, CallError> {
        match arguments(Call { to: To::InProcess(Ok(Vec::new())) }).to {
            To::InProcess(arguments) => arguments.map_err(|error| CallError::never(error.to_string())),
            To::Pool(_) => Ok(Vec::new()),
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// Whether the function ran.
    pub delivery: Delivery,
    /// What was raised and its base classes, by name; empty where it was no exception.
    pub classes: Vec<String>,
    /// One line for a person.
    pub message: String,
    /// The traceback, or the worker's last output.
    pub traceback: Option<String>,
    /// Whether the worker was lost or had to be ended: what it had loaded is gone.
    pub lost: bool,
    /// When the pool lets a worker be started again.
    pub next_try: Option<Duration>,
}

impl CallError {
    /// A call that was not made.
    #[must_use]
    pub fn never(message: String) -> CallError {
        CallError {
            delivery: Delivery::NeverRan,
            classes: Vec::new(),
            message,
            traceback: None,
            lost: false,
            next_try: None,
        }
    }

    /// An answer that cannot be the site's, as `worker.py` says it.
    #[must_use]
    pub fn not_the_sites(message: String) -> CallError {
        CallError { classes: vec!["NotTheSites".to_owned()], ..CallError::never(message) }
    }

    /// Whether a Python exception of this class was raised.
    #[must_use]
    pub fn is_a(&self, class: &str) -> bool {
        self.classes.iter().any(|name| name == class)
    }
}

/// What the pool says of a worker that is no project's, without the name under which these are there.
fn of_workers(told: &str) -> String {
    let names = [" of", " for"].map(|word| format!("{word} project '{NO_PROJECT}'"));
    names.iter().fold(told.to_owned(), |told, name| told.replace(name, ""))
}

impl From<PoolError> for CallError {
    fn from(error: PoolError) -> CallError {
        let python = error.python();
        let classes = python.map(|error| error.mro.clone()).unwrap_or_default();
        let traceback = match &error {
            PoolError::WorkerLost { output, .. } if !output.is_empty() => Some(output.clone()),
            _ => python.and_then(|error| error.traceback.clone()),
        };
        let message = match (&error, python) {
            (PoolError::Python { .. }, Some(python)) => format!("{}: {}", python.type_name, python.message),
            _ => of_workers(&error.to_string()),
        };
        let next_try = match &error {
            PoolError::CircuitOpen { next_try, .. } => Some(*next_try),
            _ => None,
        };
        let lost = matches!(
            error,
            PoolError::WorkerLost { .. } | PoolError::TimedOut { .. } | PoolError::Aborted { sent: true, .. }
        );
        CallError { delivery: error.delivery(), classes, message, traceback, lost, next_try }
    }
}
