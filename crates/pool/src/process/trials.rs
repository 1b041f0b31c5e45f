//! Trial imports of cores that have changed on disk, before a worker gives way to what is there now. Each
//! runs on a thread of its own, so that nobody has to wait for it longer than there is time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use sgtk_config::Fingerprint;

use super::templates::Key;

/// What comes of a trial: nothing, or why the core cannot be imported.
pub(super) type Outcome = Result<(), String>;

/// The last trial of each core.
#[derive(Debug, Default)]
pub(super) struct Trials {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    last: HashMap<Key, Trial>,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

#[derive(Debug)]
struct Trial {
    files: Fingerprint,
    /// `None` while it runs.
    outcome: Option<Outcome>,
}

impl Trials {
    /// What came of the trial of a core with these files, which is begun if there was none. Waits for it
    /// until a time at most; it goes on then, and whoever asks later has what came of it.
    ///
    /// # Errors
    /// What the import raised, or that it takes longer.
    pub(super) fn outcome(
        self: &Arc<Self>,
        key: &Key,
        files: &Fingerprint,
        until: Option<Instant>,
        attempt: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Outcome {
        let mut state = self.state.lock();
        match state.last.get(key) {
            Some(trial) if trial.files == *files => {}
            _ => self.begin(&mut state, key, files, attempt)?,
        }
        loop {
            match state.last.get(key) {
                Some(Trial { files: tried, outcome }) if tried == files => {
                    if let Some(outcome) = outcome {
                        return outcome.clone();
                    }
                }
                _ => return Err("its files have changed again while it was tried".to_owned()),
            }
            match until {
                None => self.changed.wait(&mut state),
                Some(until) if self.changed.wait_until(&mut state, until).timed_out() => {
                    let is_over = state.last.get(key).is_some_and(|trial| trial.outcome.is_some());
                    if !is_over {
                        return Err("a trial import of what is on disk has not ended yet".to_owned());
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn begin(
        self: &Arc<Self>,
        state: &mut State,
        key: &Key,
        files: &Fingerprint,
        attempt: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Outcome {
        if state.closed {
            return Err("the pool is shut down".to_owned());
        }
        state.threads.retain(|thread| !thread.is_finished());
        let (trials, tried, its_files) = (Arc::clone(self), key.clone(), files.clone());
        let thread = std::thread::Builder::new().name("sgtk-trial".to_owned()).spawn(move || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(attempt));
            let outcome = outcome.unwrap_or_else(|_| Err("the trial has panicked".to_owned()));
            trials.end(tried, &its_files, outcome);
        });
        let thread = thread.map_err(|error| format!("failed to start a thread for a trial: {error}"))?;
        state.threads.push(thread);
        state.last.insert(key.clone(), Trial { files: files.clone(), outcome: None });
        Ok(())
    }

    fn end(&self, key: Key, files: &Fingerprint, outcome: Outcome) {
        // Another one may have begun meanwhile, of other files.
        if let Entry::Occupied(mut trial) = self.state.lock().last.entry(key)
            && trial.get().files == *files
        {
            trial.get_mut().outcome = Some(outcome);
        }
        self.changed.notify_all();
    }

    /// Begins no more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Waits for those that run.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut self.state.lock().threads);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the pool has panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc;

    use super::*;

    fn key() -> Key {
        Key { core: "/core/python".to_owned(), python: PathBuf::from("/python"), variables: Vec::new() }
    }

    fn files(text: &str) -> Fingerprint {
        Fingerprint::of_files([PathBuf::from(text)])
    }

    #[test]
    fn a_trial_that_takes_longer_is_not_waited_for_and_its_outcome_is_there_later() {
        let trials = Arc::new(Trials::default());
        let (end, ended) = mpsc::channel::<()>();
        let attempt = move || {
            ended.recv().map_err(|error| error.to_string())?;
            Err("broken".to_owned())
        };
        let late = trials.outcome(&key(), &files("one"), Some(Instant::now()), attempt);
        assert!(late.unwrap_err().contains("not ended yet"));
        end.send(()).unwrap();
        let never = || panic!("there is one of these files");
        assert_eq!(trials.outcome(&key(), &files("one"), None, never).unwrap_err(), "broken");
        assert_eq!(trials.outcome(&key(), &files("two"), None, || Ok(())), Ok(()));
    }

    #[test]
    fn a_trial_that_panics_is_one_that_failed_and_none_begins_after_the_end() {
        let trials = Arc::new(Trials::default());
        let panics = || panic!("on purpose");
        assert!(trials.outcome(&key(), &files("one"), None, panics).unwrap_err().contains("panicked"));
        trials.close();
        assert!(trials.outcome(&key(), &files("two"), None, || Ok(())).unwrap_err().contains("shut down"));
        trials.join();
    }
}
