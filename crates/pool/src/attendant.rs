//! A slot's own thread, while there is something for it: it starts workers and makes the calls that were submitted.

use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inner::Inner;
use super::slot::{Attendance, Job, Slot};
use super::turns::{By, Next};

/// How long it stays without a job: making a thread costs more than keeping one.
const LINGER: Duration = Duration::from_millis(500);

impl Inner {
    /// Under the slot's lock, with a job for it.
    pub(super) fn spawn_attendant(self: &Arc<Self>, slot: &Arc<Slot>) -> io::Result<JoinHandle<()>> {
        let (inner, slot) = (Arc::clone(self), Arc::clone(slot));
        let builder = std::thread::Builder::new().name(format!("sgtk-{}", slot.project.replace('\0', " ")));
        builder.spawn(move || {
            while let Some(job) = slot.next_job() {
                inner.attend(&slot, job);
            }
        })
    }

    fn attend(self: &Arc<Self>, slot: &Arc<Slot>, job: Job) {
        let link = match job {
            Job::Make(link) => link,
            Job::Start(permit) => match self.start(slot, permit) {
                Ok(link) => link,
                Err(error) => return self.start_failed(slot, error),
            },
        };
        let mut next = self.pass_on(slot, link, By::Attendant, false);
        while let Some(Next { link, ticket, sent }) = next {
            let made = self.make(slot, link, &ticket, sent, By::Attendant);
            if let Some(outcome) = made.outcome {
                ticket.finish(outcome.map(Some));
            }
            next = made.next;
        }
    }
}

impl Slot {
    /// Waits for a job, for a while. `None` ends the attendant; that there is none any more is said under the lock.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.job.take() {
                state.attendance = Attendance::Working;
                return Some(job);
            }
            if state.closed {
                state.attendance = Attendance::Nobody;
                return None;
            }
            state.attendance = Attendance::Lingering;
            let (waited, time) = self.job.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if time.timed_out() && state.job.is_none() {
                state.attendance = Attendance::Nobody;
                return None;
            }
        }
    }
}
