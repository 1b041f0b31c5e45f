//! The gate: one project in place at a time, any number of threads on it, first come first served.
//!
//! Nothing here knows Python. The gate's lock is held for a few instructions and never while waiting, so taking it while
//! attached to the interpreter is safe; [`Gate::wait`] blocks and is to be called detached.

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

/// What the gate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The project is in place: the caller shares it.
    Share,
    /// Nothing is in place: the caller puts it there and says so with [`Gate::entered`], or with [`Gate::left`] where
    /// that failed.
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
    /// Past the queue where the project is in place already: a late import of that project's own thread, which the
    /// holder may be waiting for.
    Join,
    /// Behind all who wait, and after the project's holders have gone, where it is in place: for its end. Once it is in
    /// place, others may share it again.
    Alone,
}

/// The gate's first answer.
pub(crate) enum Answer {
    /// The caller goes ahead.
    Granted(Grant),
    /// The caller waits for it, detached.
    Queued(Waiting),
}

/// A place in the queue.
pub(crate) struct Waiting {
    waiter: Arc<Waiter>,
    since: Instant,
}

impl Waiting {
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

struct Waiter {
    key: Key,
    /// Whether it waits for the holders of the same project as well.
    alone: bool,
    granted: Mutex<Option<Grant>>,
    wake: Condvar,
}

/// Who has the gate.
enum Phase {
    Free,
    /// One thread is putting the project in place or taking it out.
    Moving(Key),
    /// The project is in place, for that many holders.
    InPlace(Key, usize),
}

struct Inner {
    phase: Phase,
    queue: VecDeque<Arc<Waiter>>,
}

/// See the module's documentation.
pub(crate) struct Gate {
    inner: Mutex<Inner>,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self { inner: Mutex::new(Inner { phase: Phase::Free, queue: VecDeque::new() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Asks for `key`. Never blocks.
    pub(crate) fn request(&self, key: &Key, manner: Manner) -> Answer {
        let mut inner = self.inner();
        let nobody_waits = inner.queue.is_empty();
        match &mut inner.phase {
            Phase::Free if nobody_waits => {
                inner.phase = Phase::Moving(key.clone());
                Answer::Granted(Grant::Enter)
            }
            Phase::InPlace(here, holders)
                if here == key
                    && match manner {
                        Manner::Queue => nobody_waits,
                        Manner::Join => true,
                        Manner::Alone => false,
                    } =>
            {
                *holders += 1;
                Answer::Granted(Grant::Share)
            }
            _ => {
                let waiter = Arc::new(Waiter {
                    key: key.clone(),
                    alone: manner == Manner::Alone,
                    granted: Mutex::new(None),
                    wake: Condvar::new(),
                });
                inner.queue.push_back(Arc::clone(&waiter));
                Answer::Queued(Waiting { waiter, since: Instant::now() })
            }
        }
    }

    /// One holder more, for a thread that holds the project already. `false` where it is not in place.
    pub(crate) fn share_again(&self, key: &Key) -> bool {
        match &mut self.inner().phase {
            Phase::InPlace(here, holders) if here == key => {
                *holders += 1;
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
        let start = Instant::now();
        loop {
            let left = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(start.elapsed()));
            let mut granted = waiter.granted.lock();
            let is_waiting = |granted: &mut Option<Grant>| granted.is_none();
            match left.min(every) {
                Duration::MAX => waiter.wake.wait_while(&mut granted, is_waiting),
                slice => drop(waiter.wake.wait_while_for(&mut granted, is_waiting, slice)),
            }
            if let Some(grant) = *granted {
                return Ok(grant);
            }
            // The gate's lock is taken before a waiter's.
            drop(granted);
            if left > every {
                // Unlocked before it is told.
                let holder = Self::holder(&self.inner());
                if let Some(holder) = holder {
                    tell(&holder);
                }
                continue;
            }
            let mut inner = self.inner();
            // The turn may have come between the end of the wait and the lock: then it is ours to use.
            if let Some(grant) = *waiter.granted.lock() {
                return Ok(grant);
            }
            inner.queue.retain(|other| !Arc::ptr_eq(other, waiter));
            let holder = Self::holder(&inner);
            // With this one gone, the next may be able to share what is in place.
            Self::admit(&mut inner);
            return Err(TimedOut { holder });
        }
    }

    fn holder(inner: &Inner) -> Option<String> {
        match &inner.phase {
            Phase::Free => None,
            Phase::Moving(key) | Phase::InPlace(key, _) => Some(key.project().to_owned()),
        }
    }

    /// The project that a [`Grant::Enter`] was for is in place, with the caller as its first holder.
    pub(crate) fn entered(&self) {
        let mut inner = self.inner();
        if let Phase::Moving(key) = &inner.phase {
            inner.phase = Phase::InPlace(key.clone(), 1);
            Self::admit(&mut inner);
        }
    }

    /// One holder less.
    pub(crate) fn release(&self) -> Released {
        let mut inner = self.inner();
        match &mut inner.phase {
            Phase::InPlace(_, holders) if *holders > 1 => {
                *holders -= 1;
                Released::StillShared
            }
            Phase::InPlace(key, _) => {
                inner.phase = Phase::Moving(key.clone());
                Released::Last
            }
            Phase::Free | Phase::Moving(_) => Released::StillShared,
        }
    }

    /// How many hold the project that is in place.
    pub(crate) fn holders(&self) -> usize {
        match &self.inner().phase {
            Phase::InPlace(_, holders) => *holders,
            Phase::Free | Phase::Moving(_) => 0,
        }
    }

    /// Whether some thread is putting the project in place, or taking it out, at this moment.
    pub(crate) fn is_moving(&self, key: &Key) -> bool {
        matches!(&self.inner().phase, Phase::Moving(moving) if moving == key)
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.inner().queue.len()
    }

    /// Nothing is in place any more: the next in the queue gets its turn.
    pub(crate) fn left(&self) {
        let mut inner = self.inner();
        inner.phase = Phase::Free;
        Self::admit(&mut inner);
    }

    /// Lets in those who may go now: the first of the queue where the gate is free, and after it all that stand directly
    /// behind one another for the project that is in place.
    fn admit(inner: &mut Inner) {
        loop {
            let Some(first) = inner.queue.front() else { return };
            let grant = match &mut inner.phase {
                Phase::Free => {
                    inner.phase = Phase::Moving(first.key.clone());
                    Grant::Enter
                }
                Phase::InPlace(here, holders) if *here == first.key && !first.alone => {
                    *holders += 1;
                    Grant::Share
                }
                Phase::InPlace(..) | Phase::Moving(_) => return,
            };
            if let Some(waiter) = inner.queue.pop_front() {
                *waiter.granted.lock() = Some(grant);
                waiter.wake.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_long_is_told_again_and_again_who_holds_the_turn_and_keeps_its_place() {
        let gate = Gate::new();
        let (a, b) = (Key::unique("a"), Key::unique("b"));
        assert!(granted(gate.request(&a, Manner::Queue)).is_some());
        gate.entered();
        let Answer::Queued(waiting) = gate.request(&b, Manner::Queue) else { panic!("b goes in beside a") };
        let told = Mutex::new(Vec::new());
        let tell = |holder: &str| {
            let mut told = told.lock();
            told.push(holder.to_owned());
            if told.len() == 3 {
                assert_eq!(gate.release(), Released::Last);
                gate.left();
            }
        };
        let grant = gate.wait_telling(&waiting, None, Duration::from_millis(1), tell).unwrap();
        assert_eq!((grant, &told.lock()[..3]), (Grant::Enter, &["a", "a", "a"].map(str::to_owned)[..]));
    }

    fn granted(answer: Answer) -> Option<Grant> {
        match answer {
            Answer::Granted(grant) => Some(grant),
            Answer::Queued(_) => None,
        }
    }

    fn queued(answer: Answer) -> Waiting {
        match answer {
            Answer::Queued(waiting) => waiting,
            Answer::Granted(grant) => panic!("granted {grant:?} at once"),
        }
    }

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn those_who_want_what_is_in_place_share_it() {
        let (gate, a) = (Gate::new(), Key::unique("a"));
        assert_eq!(granted(gate.request(&a, Manner::Queue)), Some(Grant::Enter));
        gate.entered();
        assert_eq!(granted(gate.request(&a, Manner::Queue)), Some(Grant::Share));
        assert_eq!(gate.release(), Released::StillShared);
        assert_eq!(gate.release(), Released::Last);
    }

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let gate = Gate::new();
        let [a, b, c] = ["a", "b", "c"].map(Key::unique);
        gate.request(&a, Manner::Queue);
        gate.entered();
        let first_b = queued(gate.request(&b, Manner::Queue));
        let again_a = queued(gate.request(&a, Manner::Queue));
        let then_c = queued(gate.request(&c, Manner::Queue));
        let second_b = queued(gate.request(&b, Manner::Queue));

        assert_eq!(gate.release(), Released::Last);
        gate.left();
        assert_eq!(gate.wait(&first_b, NOW).unwrap(), Grant::Enter);
        gate.entered();
        for turn in [again_a, then_c, second_b] {
            gate.release();
            gate.left();
            assert_eq!(gate.wait(&turn, NOW).unwrap(), Grant::Enter);
            gate.entered();
        }
    }

    #[test]
    fn neighbours_in_the_queue_share_one_entry() {
        let (gate, a, b) = (Gate::new(), Key::unique("a"), Key::unique("b"));
        gate.request(&a, Manner::Queue);
        gate.entered();
        let waiting = [(); 3].map(|()| queued(gate.request(&b, Manner::Queue)));
        gate.release();
        gate.left();
        gate.entered();
        let grants = waiting.each_ref().map(|waiting| gate.wait(waiting, NOW).unwrap());
        assert_eq!(grants, [Grant::Enter, Grant::Share, Grant::Share]);
        assert_eq!(gate.holders(), 3);
    }

    #[test]
    fn a_late_import_joins_past_the_queue_what_is_in_place() {
        let (gate, a, b) = (Gate::new(), Key::unique("a"), Key::unique("b"));
        gate.request(&a, Manner::Queue);
        gate.entered();
        let _b = queued(gate.request(&b, Manner::Queue));
        assert_eq!(granted(gate.request(&a, Manner::Join)), Some(Grant::Share));
        assert_eq!(granted(gate.request(&b, Manner::Join)), None);
    }

    #[test]
    fn who_wants_it_alone_waits_for_its_holders_and_keeps_those_behind_waiting() {
        let (gate, a) = (Gate::new(), Key::unique("a"));
        gate.request(&a, Manner::Queue);
        gate.entered();
        let alone = queued(gate.request(&a, Manner::Alone));
        let behind = queued(gate.request(&a, Manner::Queue));
        assert_eq!(granted(gate.request(&a, Manner::Join)), Some(Grant::Share));
        assert_eq!(gate.release(), Released::StillShared);
        assert_eq!(gate.release(), Released::Last);
        gate.left();
        assert_eq!(gate.wait(&alone, NOW).unwrap(), Grant::Enter);
        gate.entered();
        assert_eq!(gate.wait(&behind, NOW).unwrap(), Grant::Share);
    }

    #[test]
    fn who_gives_up_names_the_holder_and_lets_the_next_in() {
        let (gate, a, b) = (Gate::new(), Key::unique("a"), Key::unique("b"));
        gate.request(&a, Manner::Queue);
        gate.entered();
        let waits_for_b = queued(gate.request(&b, Manner::Queue));
        let behind = queued(gate.request(&a, Manner::Queue));
        let error = gate.wait(&waits_for_b, NOW).unwrap_err();
        assert_eq!(error.holder.as_deref(), Some("a"));
        assert_eq!(gate.wait(&behind, NOW).unwrap(), Grant::Share);
    }

    #[test]
    fn an_entry_that_failed_passes_the_turn_on() {
        let (gate, a, b) = (Gate::new(), Key::unique("a"), Key::unique("b"));
        gate.request(&a, Manner::Queue);
        let turn = queued(gate.request(&b, Manner::Queue));
        gate.left();
        assert_eq!(gate.wait(&turn, NOW).unwrap(), Grant::Enter);
    }
}
