//! A call: the function and its arguments.

use std::time::Duration;

use serde::Serialize;

use crate::error::PoolError;
use crate::wire::{Arguments, PREFIX, Request, with_length};

/// A call of a Python function in a project's worker.
///
/// The function may have parameters called `sgtk`, `tank`, `engine` and `context`. Unless the call has them,
/// they get the project's own.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use sgtk_pool::Call;
///
/// let call = Call::new("publish:on_event")
///     .arg(1234)
///     .kwarg("user", "ann")
///     .timeout(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is called before it is given to a pool"]
pub struct Call {
    name: String,
    arguments: Arguments,
    count: usize,
    names: Vec<String>,
    /// `None`: the pool's.
    timeout: Option<Option<Duration>>,
    run_timeout: Option<Option<Duration>>,
    fault: Option<(String, String)>,
}

impl Call {
    /// A function by `module:function`, where the module is one that can be imported in the worker: from a
    /// plugin path, the core, or an installed package. `module:Class.method` works as well.
    pub fn new(function: impl Into<String>) -> Self {
        Self {
            name: function.into(),
            arguments: Arguments::default(),
            count: 0,
            names: Vec::new(),
            timeout: None,
            run_timeout: None,
            fault: None,
        }
    }

    /// The next positional argument. A [`RawValue`](serde_json::value::RawValue) is passed on as it is.
    ///
    /// A value that JSON cannot express is reported when the call is made.
    pub fn arg(mut self, value: impl Serialize) -> Self {
        let added = self.arguments.add(&format!("args[{}]", self.count), &value);
        self.note(added);
        self.count += 1;
        self
    }

    /// An argument by name. A value that cannot be encoded as JSON, and a name that was given before, are
    /// reported when the call is made.
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        let place = format!("kwargs['{name}']");
        if self.names.contains(&name) {
            self.fault.get_or_insert((place, "it is given twice".to_owned()));
            return self;
        }
        let added = self.arguments.add_named(&place, &name, &value);
        self.note(added);
        self.names.push(name);
        self
    }

    /// How long it may take in all, including the time in the queue and the start of a worker. `None`: no
    /// limit, even if the pool has one. Default: the pool's `call_timeout`.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }

    /// How long it may run, from when it is sent to its worker, without the time before. `None`: no limit,
    /// even if the pool has one. Default: the pool's `run_timeout`.
    pub fn run_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.run_timeout = Some(timeout.into());
        self
    }

    /// The function's name, as it was given.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.name
    }

    /// Keeps the first fault, which is told when the call is made.
    fn note(&mut self, added: Result<(), (String, String)>) {
        if let Err(fault) = added {
            self.fault.get_or_insert(fault);
        }
    }

    /// Its timeout in all and that of its run, in a pool with these.
    pub(crate) fn timeouts(
        &self,
        all: Option<Duration>,
        run: Option<Duration>,
    ) -> (Option<Duration>, Option<Duration>) {
        (self.timeout.unwrap_or(all), self.run_timeout.unwrap_or(run))
    }

    /// Encodes the call as it is sent.
    pub(crate) fn into_request(self, id: u64, max_frame: usize) -> Result<Request, PoolError> {
        let invalid = |place: &str, reason: String| PoolError::InvalidCall {
            call: self.name.clone(),
            place: place.to_owned(),
            reason,
        };
        if let Some((place, reason)) = &self.fault {
            return Err(invalid(place, reason.clone()));
        }
        let parts = self.name.split_once(':').filter(|(module, function)| {
            !module.is_empty() && !function.is_empty() && !function.contains(':')
        });
        if parts.is_none() {
            return Err(invalid("its name", "it is not of the form 'module:function'".to_owned()));
        }
        let frame = self.arguments.encode(PREFIX, id, &self.name);
        let frame = frame.map_err(|reason| invalid("its name", reason))?;
        let size = frame.len() - PREFIX;
        if size > max_frame {
            let reason = format!("they are {size} bytes, more than the limit of {max_frame}");
            return Err(invalid("its arguments", reason));
        }
        let frame = with_length(frame);
        Ok(Request { id, name: self.name, frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_call_is_reported_with_its_place() {
        let cases = [
            (Call::new("m"), "its name"),
            (Call::new(":f"), "its name"),
            (Call::new("m:f").arg(1).arg(vec![1.0, f64::NAN]), "args[1][1]"),
            (Call::new("m:f").kwarg("a", 1).kwarg("a", 2), "kwargs['a']"),
            (Call::new("m:f").arg("x".repeat(2000)), "its arguments"),
        ];
        for (call, expected) in cases {
            let Err(PoolError::InvalidCall { place, .. }) = call.into_request(7, 1000) else {
                panic!("{expected}")
            };
            assert_eq!(place, expected);
        }
    }
}
