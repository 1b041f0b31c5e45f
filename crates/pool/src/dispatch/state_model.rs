//! The state machine against a model of its surroundings, with any events in any order and no process.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sgtk_config::CoreChanging;

use super::effects::{Admission, Effect, Fate, GiveUp, MadeBy, Refusal, Retirement, Types, Waiting};
use super::state::State;
use crate::error::StartError;
use crate::options::{BackOff, Rules};
use crate::stats::WorkerState;

const QUEUE_LIMIT: usize = 3;
const RECYCLE_AFTER: u64 = 4;
const CIRCUIT: u32 = 3;

/// What the machine must hand back. `alive` tells whether it was dropped.
#[derive(Debug)]
struct Token {
    number: u64,
    alive: Rc<RefCell<BTreeSet<u64>>>,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.alive.borrow_mut().remove(&self.number);
    }
}

#[derive(Debug)]
struct Link(Token);

#[derive(Debug)]
struct Permit(#[expect(dead_code, reason = "for its drop")] Token);

#[derive(Clone, Debug)]
struct Call {
    number: u64,
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Model {}

impl Types for Model {
    type Link = Link;
    type Worker = u64;
    type Call = Call;
    type Prewarm = u64;
    type Permit = Permit;

    fn worker(link: &Link) -> u64 {
        link.0.number
    }

    fn number(worker: &u64) -> u64 {
        *worker
    }

    fn deadline(call: &Call) -> Option<Instant> {
        call.deadline
    }

    fn is_same(one: &Call, other: &Call) -> bool {
        one.number == other.number
    }
}

/// Something that happens. Where it needs what is not there, it does not happen.
#[derive(Clone, Debug)]
enum Event {
    Call {
        by_caller: bool,
        timeout: Option<u64>,
    },
    Prewarm,
    Grant,
    Started,
    StartFailed,
    /// Files are being replaced.
    StartPostponed,
    NoThread,
    TimerFires,
    Answer {
        unfit: bool,
    },
    GiveUp(Reason),
    WorkerEnds,
    Withdraw(usize),
    Expire(usize),
    Abort(usize),
    EvictIdle,
    Replace,
    Close,
    Wait(u64),
    OthersWait(bool),
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    TimedOut,
    Protocol,
    Outdated,
    EndedSent,
    EndedUnsent,
}

fn event() -> impl Strategy<Value = Event> {
    let timeout = prop::option::weighted(0.3, 1u64..50);
    let reason = prop_oneof![
        Just(Reason::TimedOut),
        Just(Reason::Protocol),
        Just(Reason::Outdated),
        Just(Reason::EndedSent),
        Just(Reason::EndedUnsent)
    ];
    prop_oneof![
        8 => (any::<bool>(), timeout).prop_map(|(by_caller, timeout)| Event::Call { by_caller, timeout }),
        1 => Just(Event::Prewarm),
        6 => Just(Event::Grant),
        6 => Just(Event::Started),
        2 => Just(Event::StartFailed),
        1 => Just(Event::StartPostponed),
        1 => Just(Event::NoThread),
        3 => Just(Event::TimerFires),
        8 => prop::bool::weighted(0.1).prop_map(|unfit| Event::Answer { unfit }),
        5 => reason.prop_map(Event::GiveUp),
        2 => Just(Event::WorkerEnds),
        3 => (0usize..2).prop_map(Event::Withdraw),
        2 => (0usize..3).prop_map(Event::Expire),
        3 => (0usize..2).prop_map(Event::Abort),
        1 => Just(Event::EvictIdle),
        1 => Just(Event::Replace),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Event::Close } else { Event::Replace }),
        3 => (0u64..60).prop_map(Event::Wait),
        1 => any::<bool>().prop_map(Event::OthersWait),
    ]
}

/// A call as the model knows it.
#[derive(Debug)]
struct Known {
    call: Call,
    ends: u32,
    dispatched: bool,
    aborted: bool,
    abandoned: bool,
}

/// The surroundings of one slot: what its effects have begun and what has not been answered yet.
struct World {
    state: State<Model>,
    start: Instant,
    now: Instant,
    others_wait: bool,
    closed: bool,
    next_number: u64,
    links: Rc<RefCell<BTreeSet<u64>>>,
    permits: Rc<RefCell<BTreeSet<u64>>>,
    permits_requested: usize,
    starting: Option<Permit>,
    /// The link that a thread has, its call, and what was seen of its worker.
    held: Option<(Link, Call)>,
    held_has_ended: bool,
    timers: Vec<Instant>,
    calls: BTreeMap<u64, Known>,
    prewarms: BTreeMap<u64, u32>,
    /// The calls that wait, in the order in which they have to be dispatched.
    expected: VecDeque<u64>,
    /// Links that have been, those that were given up, and those that came out of the machine for good.
    issued: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    /// Permits that were granted and have not come out again.
    permits_inside: usize,
    answered: BTreeMap<u64, u64>,
    /// Times of starts that were postponed, not failed.
    postponed: Vec<Instant>,
    failures: u32,
}

impl World {
    fn new(linger: u64) -> Self {
        let rules = Rules {
            linger: Duration::from_millis(linger),
            queue_limit: Some(QUEUE_LIMIT),
            retries: 1,
            recycle_after: Some(RECYCLE_AFTER),
            slice: Some(Duration::from_millis(20)),
            back_off: BackOff {
                first: Duration::from_millis(10),
                longest: Duration::from_millis(40),
                circuit: Some(CIRCUIT),
            },
        };
        let now = Instant::now();
        Self {
            state: State::new(rules),
            start: now,
            now,
            others_wait: false,
            closed: false,
            next_number: 1,
            links: Rc::default(),
            permits: Rc::default(),
            permits_requested: 0,
            starting: None,
            held: None,
            held_has_ended: false,
            timers: Vec::new(),
            calls: BTreeMap::new(),
            prewarms: BTreeMap::new(),
            expected: VecDeque::new(),
            issued: BTreeSet::new(),
            given_up: BTreeSet::new(),
            gone: BTreeSet::new(),
            permits_inside: 0,
            answered: BTreeMap::new(),
            postponed: Vec::new(),
            failures: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn token(&mut self, alive: &Rc<RefCell<BTreeSet<u64>>>) -> Token {
        let number = self.number();
        alive.borrow_mut().insert(number);
        Token { number, alive: Rc::clone(alive) }
    }

    fn cause() -> Arc<StartError> {
        Arc::new(StartError::Path { path: "p".into() })
    }

    fn happen(&mut self, event: Event) {
        let (now, others_wait) = (self.now, self.others_wait);
        let mut effects = Vec::new();
        match event {
            Event::Call { by_caller, timeout } => self.call(by_caller, timeout, &mut effects),
            Event::Prewarm => {
                let number = self.number();
                let waiting = Waiting::Prewarm(number);
                match self.state.admit(waiting, MadeBy::Runner, now, others_wait, &mut effects) {
                    Admission::Queued => self.prewarms.insert(number, 0),
                    Admission::Refused(_) => None,
                    Admission::Dispatched(_) | Admission::Full => panic!("a prewarm is queued or refused"),
                };
            }
            Event::Grant if self.permits_requested > 0 => {
                self.permits_requested -= 1;
                self.permits_inside += 1;
                let permits = Rc::clone(&self.permits);
                let permit = Permit(self.token(&permits));
                self.state.permitted(permit, &mut effects);
            }
            Event::Started if self.starting.is_some() => {
                self.starting = None;
                let links = Rc::clone(&self.links);
                let link = Link(self.token(&links));
                self.issued.insert(link.0.number);
                self.state.spawned(link.0.number);
                self.answered.insert(link.0.number, 0);
                self.state.started(link, now, others_wait, &mut effects);
            }
            Event::StartFailed if self.starting.is_some() => {
                self.starting = None;
                self.failures += 1;
                self.state.start_failed(&Self::cause(), now, &mut effects);
            }
            Event::StartPostponed if self.starting.is_some() => {
                self.starting = None;
                let (project, core) = ("p".to_owned(), "/core".into());
                let changing = CoreChanging::new(project, core, "new files".to_owned());
                self.state.start_failed(&Arc::new(changing.into()), now, &mut effects);
                // Nobody else has to wait for this.
                let retries = effects.iter().filter_map(|effect| match effect {
                    Effect::RetryAt(at) => Some(*at),
                    _ => None,
                });
                self.postponed.extend(retries);
                effects.retain(|effect| !matches!(effect, Effect::RetryAt(_)));
            }
            Event::NoThread if self.starting.is_some() => {
                self.starting = None;
                let why = Refusal::NoThread(Arc::new(std::io::Error::other("none")));
                self.state.runner_failed(None, &why, now, others_wait, &mut effects);
                self.expected.clear();
            }
            Event::TimerFires => {
                let timers = [&mut self.timers, &mut self.postponed].into_iter();
                let due: Vec<_> = timers.flat_map(|timers| timers.extract_if(.., |at| *at <= now)).collect();
                for _ in due {
                    self.state.retry_due(now, &mut effects);
                }
            }
            Event::Answer { unfit } => self.answer(unfit, &mut effects),
            Event::GiveUp(reason) => self.give_up(reason, &mut effects),
            Event::WorkerEnds => self.worker_ends(&mut effects),
            Event::Withdraw(index) => {
                if let Some(call) = self.pick(index) {
                    let removed = self.state.withdraw(&call, &mut effects);
                    assert_eq!(removed, self.expected.contains(&call.number), "only what waits is removed");
                    if removed {
                        self.end(call.number);
                    } else {
                        self.known(call.number).abandoned = true;
                    }
                }
            }
            Event::Expire(index) => {
                if let Some(call) = self.pick(index) {
                    self.state.expire(&call, &mut effects);
                }
            }
            Event::Abort(index) => {
                if let Some(call) = self.pick(index) {
                    self.known(call.number).aborted = true;
                    self.state.abort(&call, &mut effects);
                }
            }
            Event::EvictIdle => {
                if let Some(since) = self.state.idle_since() {
                    assert!(self.state.retire_idle(since, Retirement::Evicted, &mut effects));
                }
            }
            Event::Replace => {
                self.failures = 0;
                self.state.replace(now, &mut effects);
            }
            Event::Close => {
                self.closed = true;
                self.state.close(&mut effects);
            }
            Event::Wait(millis) => self.now += Duration::from_millis(millis),
            Event::OthersWait(wait) => self.others_wait = wait,
            Event::Grant | Event::Started | Event::StartFailed | Event::StartPostponed | Event::NoThread => {}
        }
        for effect in effects {
            self.carry_out(effect);
        }
        self.check();
    }

    fn call(&mut self, by_caller: bool, timeout: Option<u64>, effects: &mut Vec<Effect<Model>>) {
        let deadline = timeout.map(|millis| self.now + Duration::from_millis(millis));
        let call = Call { number: self.number(), deadline };
        let made_by = if by_caller { MadeBy::Caller } else { MadeBy::Runner };
        let waiting = Waiting::Call(call.clone());
        let was_idle = self.state.idle_since().is_some();
        let admission = self.state.admit(waiting, made_by, self.now, self.others_wait, effects);
        let known =
            Known { call: call.clone(), ends: 0, dispatched: false, aborted: false, abandoned: false };
        match admission {
            Admission::Queued => {
                assert!(!self.closed);
                self.calls.insert(call.number, known);
                self.expected.push_back(call.number);
            }
            Admission::Dispatched(link) => {
                assert!(by_caller && was_idle && self.expected.is_empty());
                self.calls.insert(call.number, Known { dispatched: true, ..known });
                self.hold(link, call);
            }
            Admission::Full => assert!(self.expected.len() + self.waiting_prewarms() >= QUEUE_LIMIT),
            Admission::Refused(_) => assert!(self.closed),
        }
    }

    fn waiting_prewarms(&self) -> usize {
        self.prewarms.values().filter(|ends| **ends == 0).count()
    }

    fn hold(&mut self, link: Link, call: Call) {
        assert!(self.held.is_none(), "two threads have a link");
        assert!(!self.given_up.contains(&link.0.number), "a link was used after it was given up");
        self.held = Some((link, call));
        self.held_has_ended = false;
    }

    fn answer(&mut self, unfit: bool, effects: &mut Vec<Effect<Model>>) {
        let Some((link, call)) = self.held.take() else { return };
        let worker = link.0.number;
        *self.answered.get_mut(&worker).unwrap() += 1;
        self.failures = 0;
        let aborted = self.known(call.number).aborted;
        let replaced = aborted || unfit || self.answered[&worker] >= RECYCLE_AFTER || self.held_has_ended;
        self.state.released(link, unfit, self.now, self.others_wait, effects);
        let passed_on = effects.iter().any(|effect| matches!(effect, Effect::Dispatch { .. }));
        assert!(!(replaced && passed_on), "an unfit worker's link was passed on");
        if !aborted {
            self.end(call.number);
        }
    }

    fn give_up(&mut self, reason: Reason, effects: &mut Vec<Effect<Model>>) {
        let Some((link, call)) = self.held.take() else { return };
        let worker = link.0.number;
        self.given_up.insert(worker);
        let (why, sent) = match reason {
            Reason::TimedOut => (GiveUp::TimedOut, true),
            Reason::Protocol => (GiveUp::Protocol, true),
            Reason::Outdated => (GiveUp::Outdated, false),
            Reason::EndedSent => (GiveUp::Ended { sent: true, cause: Self::cause() }, true),
            Reason::EndedUnsent => (GiveUp::Ended { sent: false, cause: Self::cause() }, false),
        };
        let late = call.deadline.is_some_and(|deadline| deadline <= self.now);
        let known = self.known(call.number);
        let (aborted, abandoned) = (known.aborted, known.abandoned);
        if matches!(why, GiveUp::Ended { .. }) && self.answered[&worker] == 0 && !self.closed && !aborted {
            self.failures += 1;
        }
        let mut ended_by = Vec::new();
        let fate = self.state.given_up(link, why, self.now, &mut ended_by);
        let may_wait = !sent && !late && !aborted && !abandoned && !self.closed;
        assert_eq!(fate == Fate::Requeued, may_wait, "{fate:?} after {reason:?}");
        assert_eq!(fate == Fate::Aborted, aborted);
        if fate == Fate::Requeued {
            self.expected.push_front(call.number);
            self.known(call.number).dispatched = false;
        } else if !aborted {
            self.end(call.number);
        }
        effects.extend(ended_by);
    }

    fn worker_ends(&mut self, effects: &mut Vec<Effect<Model>>) {
        let held = self.held.as_ref().map(|(link, _)| link.0.number);
        let idle = self.links.borrow().iter().copied().find(|number| Some(*number) != held);
        let Some(worker) = held.or(idle) else { return };
        if held.is_none() && self.answered[&worker] == 0 && !self.closed {
            self.failures += 1;
        }
        let was_idle = self.state.ended(worker, Self::cause(), self.now, effects);
        assert_eq!(was_idle, held.is_none(), "an idle worker's end is noticed");
        self.held_has_ended |= held.is_some();
    }

    /// A call that has not ended.
    fn pick(&self, index: usize) -> Option<Call> {
        let mut open = self.calls.values().filter(|known| known.ends == 0 && !known.aborted);
        open.nth(index).map(|known| known.call.clone())
    }

    fn known(&mut self, number: u64) -> &mut Known {
        self.calls.get_mut(&number).unwrap()
    }

    fn end(&mut self, number: u64) {
        self.expected.retain(|waiting| *waiting != number);
        let known = self.known(number);
        known.ends += 1;
        assert_eq!(known.ends, 1, "call {number} has ended twice");
    }

    fn carry_out(&mut self, effect: Effect<Model>) {
        match effect {
            Effect::RequestPermit => {
                let may_start = self.failures < CIRCUIT || !self.timers.iter().any(|at| *at > self.now);
                assert!(may_start && !self.closed);
                self.permits_requested += 1;
            }
            Effect::ReleasePermit(permit) => {
                self.permits_inside -= 1;
                drop(permit);
            }
            Effect::Start(permit) => {
                assert!(self.starting.is_none() && self.held.is_none(), "two workers of one slot");
                self.permits_inside -= 1;
                self.starting = Some(permit);
            }
            Effect::MakeRoomAt(at) => {
                assert!(self.others_wait && at > self.now);
                assert!(self.state.idle_since().is_some(), "it lingers with nothing to do");
            }
            Effect::RetryAt(at) => {
                assert!(at > self.now);
                self.timers.push(at);
            }
            Effect::Dispatch { link, call } => {
                assert_eq!(self.expected.pop_front(), Some(call.number), "calls are dispatched in order");
                let known = self.known(call.number);
                assert!(!known.dispatched && known.ends == 0 && !known.aborted);
                known.dispatched = true;
                assert!(
                    call.deadline.is_none_or(|deadline| deadline > self.now),
                    "a late call was dispatched"
                );
                self.hold(link, call);
            }
            Effect::Retire { link, .. } => {
                self.gone.insert(link.0.number);
            }
            Effect::Discard(link) => {
                self.gone.insert(link.0.number);
            }
            Effect::Abort { worker, call } => {
                let held = self.held.as_ref().map(|(link, call)| (link.0.number, call.number));
                assert_eq!(
                    held,
                    Some((worker, call.number)),
                    "the worker of the call is terminated, no other"
                );
                self.end(call.number);
            }
            Effect::Fail { waiting: Waiting::Call(call), .. } => {
                assert!(!self.known(call.number).dispatched, "a call that was sent is failed by its thread");
                self.end(call.number);
            }
            Effect::Fail { waiting: Waiting::Prewarm(number), .. } | Effect::Ready(number) => {
                let ends = self.prewarms.get_mut(&number).unwrap();
                *ends += 1;
                assert_eq!(*ends, 1, "prewarm {number} has ended twice");
            }
            Effect::RoomFreed => {}
        }
    }

    /// What holds after each event.
    fn check(&self) {
        let state = self.state.worker_state();
        let links = self.links.borrow().len();
        let expected = match state {
            WorkerState::Idle | WorkerState::Busy => 1,
            _ => 0,
        };
        assert_eq!(links, expected, "{state:?}: one link for one worker");
        assert_eq!(self.issued.len(), links + self.gone.len(), "a link was dropped, not retired");
        assert_eq!(self.permits_inside, 0, "a permit was dropped, not released");
        assert_eq!(self.held.is_some(), state == WorkerState::Busy, "{state:?}");
        assert_eq!(self.starting.is_some(), state == WorkerState::Starting, "{state:?}");
        assert_eq!(self.permits.borrow().len(), usize::from(self.starting.is_some()), "no permit is lost");
        assert_eq!(self.state.figures().queued, self.expected.len() + self.waiting_prewarms());
        // A call that was put back may be one beyond the limit; prewarms are not counted.
        assert!(self.expected.len() <= QUEUE_LIMIT + 1);
        if self.state.figures().queued > 0 {
            let on_its_way = match state {
                WorkerState::AwaitingPermit => self.permits_requested == 1,
                WorkerState::BackingOff => !(self.timers.is_empty() && self.postponed.is_empty()),
                WorkerState::Starting | WorkerState::Busy => true,
                WorkerState::Idle | WorkerState::Absent => false,
            };
            assert!(on_its_way, "{state:?}: what waits has nothing to wait for");
        }
        assert!(self.permits_requested <= 1);
        assert_eq!(self.state.figures().failures, self.failures);
    }

    /// Lets everything end.
    fn finish(&mut self) {
        self.happen(Event::Close);
        for event in [Event::Grant, Event::Started, Event::Answer { unfit: false }, Event::TimerFires] {
            self.happen(event);
        }
        assert_eq!(self.state.worker_state(), WorkerState::Absent);
        assert!(self.calls.values().all(|known| known.ends == 1), "each call ends once: {:?}", self.calls);
        assert!(self.prewarms.values().all(|ends| *ends == 1), "each prewarm ends once");
        assert!(self.links.borrow().is_empty() && self.permits.borrow().is_empty());
        assert!(self.now >= self.start);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_each_call_ends_once_and_nothing_is_lost(
        linger in prop_oneof![Just(0u64), Just(10)],
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut world = World::new(linger);
        for event in events {
            world.happen(event);
        }
        world.finish();
    }
}
