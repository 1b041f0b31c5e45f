//! From what has become of a call to what becomes of its event.

use std::time::Duration;

use serde::Deserialize;
use sgtk_config::keys::redacted;
use sgtk_pool::Delivery;

use crate::queue::{Failure, Verdict};
use crate::workers::CallError;

/// What the worker says of a callback.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Answer {
    /// It has not loaded the plugin as it is now, and has run nothing.
    #[serde(default)]
    pub stale: bool,
    /// The filter, which only the worker knows, lets the event not through.
    #[serde(default)]
    pub skipped: bool,
    /// What was raised.
    #[serde(default)]
    pub error: Option<Raised>,
    /// When it began, Unix time in seconds.
    #[serde(default)]
    pub begun: f64,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
}

/// What a callback has raised.
#[derive(Clone, Debug, Deserialize)]
pub struct Raised {
    /// The class.
    #[serde(rename = "type")]
    pub kind: String,
    /// The message.
    pub message: String,
    /// The traceback.
    pub traceback: String,
    /// The local variables of the plugin's frame.
    pub locals: String,
}

/// What is done where something fails.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How often a callback with `stopOnError` is tried before its plugin stops.
    pub attempts: u32,
    /// How long until the second try; twice that until the third, and so on.
    pub retry_after: Duration,
    /// Whether nothing is ever run twice.
    pub once: bool,
}

/// How often an event is tried that has ended its worker.
const LOST_ATTEMPTS: u32 = 3;

/// No retry is longer away than this.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// What has become of one callback of a plugin.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It did its work, or did not want the event.
    Done,
    /// It raised, and its plugin goes on.
    Failed(Failure),
    /// It raised, and its plugin is to stop.
    Stop(Failure),
    /// It never ran.
    NeverRan(CallError),
    /// It may have run: the worker was lost, or the time was up.
    MayHaveRun(CallError, /** Whether its plugin is to stop. */ bool),
}

impl Outcome {
    /// What has become of a call.
    #[must_use]
    pub fn new(callback: &str, called: Result<Answer, CallError>, stop_on_error: bool) -> Outcome {
        match called {
            Ok(Answer { error: Some(raised), .. }) => {
                let reason = format!("{callback}: {}: {}", raised.kind, raised.message);
                let traceback = format!("{}\nLocal variables:\n{}", raised.traceback, raised.locals);
                let failure = shown(&reason, Some(&traceback));
                if stop_on_error { Outcome::Stop(failure) } else { Outcome::Failed(failure) }
            }
            Ok(_) => Outcome::Done,
            Err(error) => match error.delivery {
                Delivery::NeverRan => Outcome::NeverRan(error),
                // The agent catches what a callback raises: what is raised beyond is the daemon's own
                // mistake.
                _ => {
                    let message = format!("{callback}: {}", error.message);
                    Outcome::MayHaveRun(CallError { message, ..error }, stop_on_error)
                }
            },
        }
    }
}

impl Policy {
    /// What becomes of an event whose callbacks have these outcomes; `attempts` tries were made before. The
    /// callbacks after one that stops, or that is to be tried again, were not called.
    #[must_use]
    pub fn verdict(&self, attempts: u32, outcomes: &[Outcome]) -> Verdict {
        let mut dead: Option<Failure> = None;
        for outcome in outcomes {
            match outcome {
                Outcome::Done => {}
                Outcome::Failed(failure) => dead = Some(joined(dead, failure)),
                Outcome::Stop(failure) => return self.again(attempts, self.attempts, failure, true),
                Outcome::NeverRan(error) => {
                    let after =
                        error.next_try.unwrap_or_else(|| self.pause(attempts, Duration::from_secs(1)));
                    return Verdict::Retry { after, failure: told(error), counts: false };
                }
                Outcome::MayHaveRun(error, stop) => {
                    return self.again(attempts, self.attempts.max(LOST_ATTEMPTS), &told(error), *stop);
                }
            }
        }
        dead.map_or(Verdict::Done, Verdict::Dead)
    }

    fn again(&self, attempts: u32, most: u32, failure: &Failure, stop: bool) -> Verdict {
        if self.once {
            return Verdict::Dead(failure.clone());
        }
        if attempts + 1 < most {
            let after = self.pause(attempts, self.retry_after);
            return Verdict::Retry { after, failure: failure.clone(), counts: true };
        }
        if stop { Verdict::Park(failure.clone()) } else { Verdict::Dead(failure.clone()) }
    }

    fn pause(&self, attempts: u32, first: Duration) -> Duration {
        first.saturating_mul(1 << attempts.min(12)).min(LONGEST)
    }
}

fn joined(before: Option<Failure>, failure: &Failure) -> Failure {
    match before {
        None => failure.clone(),
        Some(before) => Failure {
            reason: format!("{}; {}", before.reason, failure.reason),
            traceback: before.traceback.or_else(|| failure.traceback.clone()),
        },
    }
}

fn told(error: &CallError) -> Failure {
    shown(&error.message, error.traceback.as_deref())
}

/// A failure is kept, and shown to people: without the keys that may be in it.
fn shown(reason: &str, traceback: Option<&str>) -> Failure {
    let traceback = traceback.map(|text| redacted(text).into_owned());
    Failure { reason: redacted(reason).into_owned(), traceback }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(attempts: u32, once: bool) -> Policy {
        Policy { attempts, retry_after: Duration::from_secs(30), once }
    }

    fn failure(reason: &str) -> Failure {
        Failure { reason: reason.to_owned(), traceback: None }
    }

    fn lost(delivery: Delivery) -> CallError {
        CallError {
            delivery,
            classes: Vec::new(),
            message: "gone".to_owned(),
            traceback: None,
            lost: true,
            next_try: None,
        }
    }

    #[test]
    fn a_callback_that_stops_parks_its_plugin_at_the_event() {
        let verdict = policy(1, false).verdict(0, &[Outcome::Done, Outcome::Stop(failure("a"))]);
        assert_eq!(verdict, Verdict::Park(failure("a")));
    }

    #[test]
    fn with_attempts_it_is_tried_again_first_each_time_later() {
        let policy = policy(3, false);
        let after = |attempts| match policy.verdict(attempts, &[Outcome::Stop(failure("a"))]) {
            Verdict::Retry { after, counts: true, .. } => Some(after.as_secs()),
            _ => None,
        };
        assert_eq!([after(0), after(1), after(2)], [Some(30), Some(60), None]);
    }

    #[test]
    fn a_callback_that_does_not_stop_leaves_a_dead_letter_and_the_plugin_goes_on() {
        let outcomes = [Outcome::Failed(failure("a")), Outcome::Done, Outcome::Failed(failure("b"))];
        assert_eq!(policy(3, false).verdict(0, &outcomes), Verdict::Dead(failure("a; b")));
    }

    #[test]
    fn what_may_have_run_is_tried_three_times_but_never_again_where_once_is_asked_for() {
        let outcomes = [Outcome::MayHaveRun(lost(Delivery::MayHaveRun), true)];
        assert!(matches!(policy(1, false).verdict(1, &outcomes), Verdict::Retry { counts: true, .. }));
        assert!(matches!(policy(1, false).verdict(2, &outcomes), Verdict::Park(_)));
        assert!(matches!(policy(1, true).verdict(0, &outcomes), Verdict::Dead(_)));
    }

    #[test]
    fn what_never_ran_is_tried_for_ever_and_counts_as_no_try() {
        let outcomes = [Outcome::NeverRan(lost(Delivery::NeverRan))];
        for once in [false, true] {
            let verdict = policy(1, once).verdict(100, &outcomes);
            assert!(matches!(verdict, Verdict::Retry { counts: false, .. }), "{verdict:?}");
        }
    }
}
