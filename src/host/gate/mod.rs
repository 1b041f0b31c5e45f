//! The gate: one project in place at a time, any number of threads on it, first come first served.
//!
//! Late imports pass those who wait, as the holder of the project may be waiting for the importing thread;
//! but only while one holds it who asked before the first that waits, who would have to wait for that one
//! anyway. So nobody waits for more than those who asked before, and for the late imports that were let in
//! meanwhile. A late import that waits although its project is in place is let in all the same where nothing
//! moves, a limited number of times: the holder, a late import itself, may be waiting for it.
//!
//! Nothing here knows Python. The gate's lock is held for a few instructions and never while waiting, so
//! taking it while attached to the interpreter is safe; [`Gate::wait`] blocks and is to be called detached.

mod child;
pub(crate) mod held;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The gate of this process's one interpreter.
pub(crate) static GATE: Gate = Gate::new();

/// What a thread asks the gate for: one import state, with the project's name for the log.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    id: u64,
    project: Arc<str>,
}

impl Key {
    /// A key that no other is equal to.
    pub(crate) fn unique(project: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), project: project.into() }
    }

    pub(crate) fn project(&self) -> &str {
        &self.project
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Key {}

/// A place in the order of asking: the smaller, the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// What the gate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The project is in place: the caller shares it.
    Share,
    /// Nothing is in place: the caller puts it there and says so with [`Gate::entered`], or with
    /// [`Gate::left`] where that failed.
    Enter,
}

/// What is left to do after [`Gate::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Others still share the project.
    StillShared,
    /// That was the last: the caller takes the project out and then calls [`Gate::left`].
    Last,
}

/// How a request joins the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Behind all who wait.
    Queue,
    /// For a late import of the project's own code: past those who wait, as the module's documentation says,
    /// else behind them.
    Join,
    /// Behind all who wait, and after the project's holders have gone, where it is in place: for its end.
    /// Once it is in place, others may share it again.
    Alone,
}

/// The gate's first answer.
pub(crate) enum Answer {
    /// The caller goes ahead, with this place.
    Granted(Grant, Place),
    /// The caller waits for it, detached.
    Queued(Waiting),
}

/// A place in the queue.
pub(crate) struct Waiting {
    waiter: Arc<Waiter>,
    since: Instant,
}

impl Waiting {
    pub(crate) fn place(&self) -> Place {
        self.waiter.place
    }

    /// How long the wait has taken so far.
    pub(crate) fn waited(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Waiting took longer than allowed.
#[derive(Debug)]
pub(crate) struct TimedOut {
    /// The project that is in the way, where there is one.
    pub(crate) holder: Option<String>,
}

/// How long nothing moves before a late import is let in that waits although its project is in place.
const STANDSTILL: Duration = Duration::from_millis(100);

/// How many late imports are let in so before the first of the queue gets its turn.
const MOST_PASSES: u32 = 32;

struct Waiter {
    key: Key,
    place: Place,
    manner: Manner,
    granted: Mutex<Option<Grant>>,
    wake: Condvar,
}

impl Waiter {
    /// Blocks until it is let in, `timeout` at most.
    fn wait(&self, timeout: Duration) -> Option<Grant> {
        let mut granted = self.granted.lock();
        let is_waiting = |granted: &mut Option<Grant>| granted.is_none();
        match timeout {
            Duration::MAX => self.wake.wait_while(&mut granted, is_waiting),
            timeout => drop(self.wake.wait_while_for(&mut granted, is_waiting, timeout)),
        }
        *granted
    }
}

/// Who has the gate.
enum Phase {
    Free,
    /// One thread, with this place, is putting the project in place or taking it out.
    Moving(Key, Place),
    /// The project is in place, for holders with these places.
    InPlace(Key, Vec<Place>),
}

impl Phase {
    /// The project that one thread is moving, or that is in place.
    fn key(&self) -> Option<&Key> {
        match self {
            Self::Free => None,
            Self::Moving(key, _) | Self::InPlace(key, _) => Some(key),
        }
    }
}

struct Inner {
    phase: Phase,
    queue: VecDeque<Arc<Waiter>>,
    next: u64,
    /// Counts who came and went.
    moves: u64,
    /// How many were let in at a standstill since the first of the queue came to stand there.
    passes: u32,
    /// The holder that waits for the others to go, where one does: nobody else is to share meanwhile.
    closed_by: Option<Place>,
}

impl Inner {
    /// Whether a late import may pass those who wait: there is none, or one holds the project who asked
    /// before them.
    fn may_pass(&self) -> bool {
        let Phase::InPlace(_, holders) = &self.phase else { return false };
        self.queue.front().is_none_or(|first| holders.iter().any(|holder| *holder < first.place))
    }

    fn grant(&mut self, index: usize, grant: Grant) {
        let Some(waiter) = self.queue.remove(index) else { return };
        if let (Grant::Share, Phase::InPlace(_, holders)) = (grant, &mut self.phase) {
            holders.push(waiter.place);
        }
        if index == 0 {
            self.passes = 0;
        }
        self.moves += 1;
        *waiter.granted.lock() = Some(grant);
        waiter.wake.notify_one();
    }

    /// Lets in those who may go now: the first of the queue where the gate is free, after it all that stand
    /// directly behind one another for the project that is in place, and its late imports as far as they may
    /// pass the others.
    fn admit(&mut self) {
        while let Some(first) = self.queue.front() {
            match &self.phase {
                Phase::Free => {
                    self.phase = Phase::Moving(first.key.clone(), first.place);
                    self.grant(0, Grant::Enter);
                }
                Phase::InPlace(here, _)
                    if *here == first.key && first.manner != Manner::Alone && self.closed_by.is_none() =>
                {
                    self.grant(0, Grant::Share);
                }
                Phase::InPlace(here, _) if self.may_pass() => {
                    let joins = |waiter: &Arc<Waiter>| waiter.manner == Manner::Join && waiter.key == *here;
                    let Some(index) = self.queue.iter().position(joins) else { return };
                    self.grant(index, Grant::Share);
                }
                Phase::InPlace(..) | Phase::Moving(..) => return,
            }
        }
    }

    /// The project that is in the way.
    fn holder(&self) -> Option<String> {
        self.phase.key().map(|key| key.project().to_owned())
    }

    /// Takes a waiter out of the queue.
    fn give_up(&mut self, waiter: &Arc<Waiter>) -> TimedOut {
        if self.queue.front().is_some_and(|first| Arc::ptr_eq(first, waiter)) {
            self.passes = 0;
        }
        self.queue.retain(|other| !Arc::ptr_eq(other, waiter));
        let holder = self.holder();
        // With this one gone, the next may be able to share what is in place.
        self.admit();
        TimedOut { holder }
    }

    /// Lets a late import in whose project is in place, where nothing has moved since `moves` were counted.
    fn pass_at_standstill(&mut self, waiter: &Arc<Waiter>, moves: u64) {
        let is_in_place = matches!(&self.phase, Phase::InPlace(here, _) if *here == waiter.key);
        if is_in_place
            && self.moves == moves
            && self.passes < MOST_PASSES
            && let Some(index) = self.queue.iter().position(|other| Arc::ptr_eq(other, waiter))
        {
            self.grant(index, Grant::Share);
            self.passes += 1;
        }
    }
}

/// See the module's documentation.
pub(crate) struct Gate {
    inner: Mutex<Inner>,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        let inner = Inner {
            phase: Phase::Free,
            queue: VecDeque::new(),
            next: 0,
            moves: 0,
            passes: 0,
            closed_by: None,
        };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Asks for `key`. Never blocks.
    pub(crate) fn request(&self, key: &Key, manner: Manner) -> Answer {
        let mut inner = self.inner();
        let place = Place(inner.next);
        inner.next += 1;
        let nobody_waits = inner.queue.is_empty() && inner.closed_by.is_none();
        let may_pass = inner.may_pass();
        match &mut inner.phase {
            Phase::Free if nobody_waits => {
                inner.phase = Phase::Moving(key.clone(), place);
                inner.moves += 1;
                Answer::Granted(Grant::Enter, place)
            }
            Phase::InPlace(here, holders)
                if here == key
                    && match manner {
                        Manner::Queue => nobody_waits,
                        Manner::Join => may_pass,
                        Manner::Alone => false,
                    } =>
            {
                holders.push(place);
                inner.moves += 1;
                Answer::Granted(Grant::Share, place)
            }
            _ => {
                let waiter = Arc::new(Waiter {
                    key: key.clone(),
                    place,
                    manner,
                    granted: Mutex::new(None),
                    wake: Condvar::new(),
                });
                inner.queue.push_back(Arc::clone(&waiter));
                Answer::Queued(Waiting { waiter, since: Instant::now() })
            }
        }
    }

    /// Holds the project once more for a thread that holds it already, with its place. `false` where it is
    /// not in place.
    pub(crate) fn share_again(&self, key: &Key, place: Place) -> bool {
        match &mut self.inner().phase {
            Phase::InPlace(here, holders) if here == key => {
                holders.push(place);
                true
            }
            _ => false,
        }
    }

    /// As [`wait_telling`](Self::wait_telling), telling nobody.
    #[cfg(test)]
    pub(crate) fn wait(&self, waiting: &Waiting, timeout: Option<Duration>) -> Result<Grant, TimedOut> {
        self.wait_telling(waiting, timeout, Duration::MAX, |_| ())
    }

    /// Blocks until the turn comes, `timeout` at most.
    /// `tell` is called with the project that is in the way each time that `every` has passed.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] after `timeout`; the place in the queue is given up.
    pub(crate) fn wait_telling(
        &self,
        waiting: &Waiting,
        timeout: Option<Duration>,
        every: Duration,
        tell: impl Fn(&str),
    ) -> Result<Grant, TimedOut> {
        let waiter = &waiting.waiter;
        let watches = waiter.manner == Manner::Join;
        let start = Instant::now();
        let (mut told, mut moves) = (start, self.inner().moves);
        loop {
            let left = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(start.elapsed()));
            let pause = left.min(every.saturating_sub(told.elapsed()));
            let pause = if watches { pause.min(STANDSTILL) } else { pause };
            if let Some(grant) = waiter.wait(pause) {
                return Ok(grant);
            }
            let holder = {
                let mut inner = self.inner();
                if pause == STANDSTILL {
                    inner.pass_at_standstill(waiter, moves);
                    moves = inner.moves;
                }
                // The turn may have come between the end of the wait and the lock: then it is ours to use.
                if let Some(grant) = *waiter.granted.lock() {
                    return Ok(grant);
                }
                if left <= pause {
                    return Err(inner.give_up(waiter));
                }
                inner.holder()
            };
            // Unlocked before it is told.
            if told.elapsed() >= every {
                told = Instant::now();
                holder.as_deref().map(&tell);
            }
        }
    }

    /// The project that a [`Grant::Enter`] was for is in place, with the caller as its first holder.
    pub(crate) fn entered(&self) {
        let mut inner = self.inner();
        if let Phase::Moving(key, place) = &inner.phase {
            inner.phase = Phase::InPlace(key.clone(), vec![*place]);
            inner.moves += 1;
            inner.admit();
        }
    }

    /// One holder less: the one with this place.
    pub(crate) fn release(&self, place: Place) -> Released {
        let mut inner = self.inner();
        inner.moves += 1;
        let Phase::InPlace(key, holders) = &mut inner.phase else { return Released::StillShared };
        if holders.len() > 1 {
            if let Some(index) = holders.iter().position(|holder| *holder == place) {
                holders.swap_remove(index);
            }
            return Released::StillShared;
        }
        inner.phase = Phase::Moving(key.clone(), place);
        Released::Last
    }

    /// Lets nobody new share what is in place, until [`exchange`](Self::exchange), [`reopen`](Self::reopen)
    /// or the last holder's end. `false` where another holder has done so.
    pub(crate) fn close(&self, place: Place) -> bool {
        let mut inner = self.inner();
        let closes =
            matches!(inner.phase, Phase::InPlace(..)) && inner.closed_by.is_none_or(|by| by == place);
        if closes {
            inner.closed_by = Some(place);
        }
        closes
    }

    /// Undoes [`close`](Self::close).
    pub(crate) fn reopen(&self) {
        let mut inner = self.inner();
        inner.closed_by = None;
        inner.admit();
    }

    /// Has another state be in place of `from`, for the one thread that holds it with this place. `false`
    /// where others hold it too.
    pub(crate) fn exchange(&self, from: &Key, to: &Key, place: Place) -> bool {
        let mut inner = self.inner();
        match &mut inner.phase {
            Phase::InPlace(here, holders)
                if here == from && holders.iter().all(|holder| *holder == place) =>
            {
                here.clone_from(to);
            }
            _ => return false,
        }
        inner.moves += 1;
        inner.closed_by = None;
        inner.admit();
        true
    }

    /// How many hold the project that is in place.
    pub(crate) fn holders(&self) -> usize {
        match &self.inner().phase {
            Phase::InPlace(_, holders) => holders.len(),
            Phase::Free | Phase::Moving(..) => 0,
        }
    }

    /// Whether nothing is in place, and nobody is putting anything there.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.inner().phase, Phase::Free)
    }

    /// Whether some thread is putting the project in place, or taking it out, at this moment.
    pub(crate) fn is_moving(&self, key: &Key) -> bool {
        matches!(&self.inner().phase, Phase::Moving(moving, _) if moving == key)
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.inner().queue.len()
    }

    /// Nothing is in place any more: the next in the queue gets its turn.
    pub(crate) fn left(&self) {
        let mut inner = self.inner();
        inner.phase = Phase::Free;
        inner.closed_by = None;
        inner.moves += 1;
        inner.admit();
    }
}

#[cfg(test)]
mod tests;
