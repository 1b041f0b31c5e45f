use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NOW: Option<Duration> = Some(Duration::ZERO);

/// A gate with what each name of a request has got.
struct Scene {
    gate: Gate,
    a: Key,
    b: Key,
    c: Key,
}

impl Scene {
    fn new() -> Self {
        let [a, b, c] = ["a", "b", "c"].map(Key::unique);
        Self { gate: Gate::new(), a, b, c }
    }

    /// A gate with `a` in place.
    fn with_a() -> (Self, Place) {
        let scene = Self::new();
        let (grant, place) = scene.granted(&scene.a, Manner::Queue);
        assert_eq!(grant, Grant::Enter);
        scene.gate.entered();
        (scene, place)
    }

    #[track_caller]
    fn granted(&self, key: &Key, manner: Manner) -> (Grant, Place) {
        match self.gate.request(key, manner) {
            Answer::Granted(grant, place) => (grant, place),
            Answer::Queued(_) => panic!("{manner:?} for {} has to wait", key.project()),
        }
    }

    #[track_caller]
    fn share(&self, key: &Key, manner: Manner) -> Place {
        let (grant, place) = self.granted(key, manner);
        assert_eq!(grant, Grant::Share);
        place
    }

    #[track_caller]
    fn queued(&self, key: &Key, manner: Manner) -> Waiting {
        match self.gate.request(key, manner) {
            Answer::Queued(waiting) => waiting,
            Answer::Granted(grant, _) => panic!("granted {grant:?} at once"),
        }
    }

    /// The last holder goes, and what was in place with it.
    #[track_caller]
    fn leave(&self, place: Place) {
        assert_eq!(self.gate.release(place), Released::Last);
        self.gate.left();
    }
}

fn is_let_in(waiting: &Waiting) -> Option<Grant> {
    *waiting.waiter.granted.lock()
}

#[test]
fn those_who_want_what_is_in_place_share_it() {
    let (scene, first) = Scene::with_a();
    let second = scene.share(&scene.a, Manner::Queue);
    assert_eq!(scene.gate.release(first), Released::StillShared);
    assert_eq!(scene.gate.release(second), Released::Last);
}

#[test]
fn turns_come_in_the_order_of_asking() {
    let (scene, first) = Scene::with_a();
    let Scene { a, b, c, .. } = &scene;
    let turns = [b, a, c, b].map(|key| scene.queued(key, Manner::Queue));
    scene.leave(first);
    for turn in turns {
        assert_eq!(scene.gate.wait(&turn, NOW).unwrap(), Grant::Enter);
        scene.gate.entered();
        scene.leave(turn.place());
    }
}

#[test]
fn neighbours_in_the_queue_share_one_entry() {
    let (scene, first) = Scene::with_a();
    let waiting = [(); 3].map(|()| scene.queued(&scene.b, Manner::Queue));
    scene.leave(first);
    scene.gate.entered();
    let grants = waiting.each_ref().map(|waiting| scene.gate.wait(waiting, NOW).unwrap());
    assert_eq!(grants, [Grant::Enter, Grant::Share, Grant::Share]);
    assert_eq!(scene.gate.holders(), 3);
}

#[test]
fn a_late_import_passes_those_who_wait_while_one_holds_its_project_that_asked_before_them() {
    let (scene, holder) = Scene::with_a();
    let b = scene.queued(&scene.b, Manner::Queue);
    for _ in 0..100 {
        let joined = scene.share(&scene.a, Manner::Join);
        assert_eq!(scene.gate.release(joined), Released::StillShared);
    }
    scene.queued(&scene.b, Manner::Join);
    scene.leave(holder);
    assert_eq!(is_let_in(&b), Some(Grant::Enter));
}

#[test]
fn late_imports_that_follow_on_one_another_do_not_keep_others_waiting() {
    let (scene, holder) = Scene::with_a();
    let b = scene.queued(&scene.b, Manner::Queue);
    let [one, other] = [(); 2].map(|()| scene.share(&scene.a, Manner::Join));
    scene.gate.release(holder);
    // Those that are in go on, the next ones wait.
    let next = scene.queued(&scene.a, Manner::Join);
    scene.gate.release(one);
    assert_eq!(is_let_in(&next), None);
    scene.leave(other);
    assert_eq!((is_let_in(&b), is_let_in(&next)), (Some(Grant::Enter), None));
    scene.gate.entered();
    scene.leave(b.place());
    assert_eq!(is_let_in(&next), Some(Grant::Enter));
}

#[test]
fn a_late_import_that_waits_already_is_let_in_when_its_project_comes() {
    let (scene, first) = Scene::with_a();
    let holder = scene.queued(&scene.b, Manner::Queue);
    let c = scene.queued(&scene.c, Manner::Queue);
    let late = scene.queued(&scene.b, Manner::Join);
    scene.leave(first);
    assert_eq!((is_let_in(&holder), is_let_in(&late)), (Some(Grant::Enter), None));
    scene.gate.entered();
    // The holder may be waiting for it.
    assert_eq!((is_let_in(&c), is_let_in(&late)), (None, Some(Grant::Share)));
}

#[test]
fn a_late_import_that_another_one_waits_for_is_let_in_at_a_standstill() {
    let (scene, holder) = Scene::with_a();
    let b = scene.queued(&scene.b, Manner::Queue);
    let waits_for_the_next = scene.share(&scene.a, Manner::Join);
    scene.gate.release(holder);
    for _ in 0..3 {
        let next = scene.queued(&scene.a, Manner::Join);
        assert_eq!(scene.gate.wait(&next, None).unwrap(), Grant::Share);
        assert_eq!(scene.gate.release(next.place()), Released::StillShared);
    }
    scene.leave(waits_for_the_next);
    assert_eq!(is_let_in(&b), Some(Grant::Enter));
}

#[test]
fn not_even_standstills_keep_others_waiting_for_ever() {
    let (scene, holder) = Scene::with_a();
    let b = scene.queued(&scene.b, Manner::Queue);
    let mut inside = vec![scene.share(&scene.a, Manner::Join)];
    scene.gate.release(holder);
    let late: Vec<Waiting> = (0..MOST_PASSES + 1).map(|_| scene.queued(&scene.a, Manner::Join)).collect();
    for late in &late {
        let mut inner = scene.gate.inner();
        let moves = inner.moves;
        inner.pass_at_standstill(&late.waiter, moves);
    }
    let (in_now, out) = late.split_at(MOST_PASSES as usize);
    assert!(in_now.iter().all(|late| is_let_in(late) == Some(Grant::Share)));
    assert!(out.iter().all(|late| is_let_in(late).is_none()));
    inside.extend(in_now.iter().map(Waiting::place));
    let last = inside.pop().unwrap();
    assert!(inside.into_iter().all(|place| scene.gate.release(place) == Released::StillShared));
    scene.leave(last);
    assert_eq!(is_let_in(&b), Some(Grant::Enter));
}

#[test]
fn who_wants_it_alone_waits_for_its_holders_and_keeps_those_behind_waiting() {
    let (scene, holder) = Scene::with_a();
    let alone = scene.queued(&scene.a, Manner::Alone);
    let behind = scene.queued(&scene.a, Manner::Queue);
    let joined = scene.share(&scene.a, Manner::Join);
    assert_eq!(scene.gate.release(holder), Released::StillShared);
    scene.leave(joined);
    assert_eq!(is_let_in(&alone), Some(Grant::Enter));
    scene.gate.entered();
    assert_eq!(is_let_in(&behind), Some(Grant::Share));
}

#[test]
fn who_gives_up_names_the_holder_and_lets_the_next_in() {
    let (scene, _holder) = Scene::with_a();
    let waits_for_b = scene.queued(&scene.b, Manner::Queue);
    let behind = scene.queued(&scene.a, Manner::Queue);
    let error = scene.gate.wait(&waits_for_b, NOW).unwrap_err();
    assert_eq!(error.holder.as_deref(), Some("a"));
    assert_eq!(is_let_in(&behind), Some(Grant::Share));
}

#[test]
fn who_waits_long_is_told_again_and_again_who_holds_the_turn_and_keeps_its_place() {
    let (scene, holder) = Scene::with_a();
    let waiting = scene.queued(&scene.b, Manner::Queue);
    let told = Mutex::new(Vec::new());
    let tell = |holding: &str| {
        let mut told = told.lock();
        told.push(holding.to_owned());
        if told.len() == 3 {
            scene.leave(holder);
        }
    };
    let grant = scene.gate.wait_telling(&waiting, None, Duration::from_millis(1), tell).unwrap();
    assert_eq!((grant, &told.lock()[..3]), (Grant::Enter, &["a", "a", "a"].map(str::to_owned)[..]));
}

#[test]
fn an_entry_that_failed_passes_the_turn_on() {
    let scene = Scene::new();
    scene.granted(&scene.a, Manner::Queue);
    let turn = scene.queued(&scene.b, Manner::Queue);
    scene.gate.left();
    assert_eq!(is_let_in(&turn), Some(Grant::Enter));
}

/// What a thread does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask {
        key: usize,
        late: bool,
    },
    /// Whoever has held longest, modulo their number, goes.
    Go(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize, any::<bool>()).prop_map(|(key, late)| Step::Ask { key, late }),
        any::<usize>().prop_map(Step::Go),
    ]
}

proptest! {
    /// Whatever comes and goes: whoever is let in past the first of the queue is a late import, and one holds
    /// the project then that asked before that first. So nobody waits for others than those who asked before,
    /// and those whom these let in.
    #[test]
    fn nobody_waits_for_others_than_those_who_asked_before(steps in prop::collection::vec(step(), 1..200)) {
        let gate = Gate::new();
        let keys = ["a", "b", "c"].map(Key::unique);
        let mut waiting: Vec<(Waiting, usize, bool)> = Vec::new();
        let mut holders: Vec<(Place, usize)> = Vec::new();
        let mut asked: BTreeMap<Place, bool> = BTreeMap::new();
        for step in steps {
            let before = holders.clone();
            let mut came: Vec<(Place, usize)> = Vec::new();
            match step {
                Step::Ask { key, late } => {
                    let manner = if late { Manner::Join } else { Manner::Queue };
                    match gate.request(&keys[key], manner) {
                        Answer::Granted(grant, place) => {
                            if grant == Grant::Enter {
                                gate.entered();
                            }
                            asked.insert(place, late);
                            came.push((place, key));
                        }
                        Answer::Queued(new) => {
                            asked.insert(new.place(), late);
                            waiting.push((new, key, late));
                        }
                    }
                }
                Step::Go(index) if !holders.is_empty() => {
                    let (place, _) = holders.remove(index % holders.len());
                    let last = gate.release(place) == Released::Last;
                    prop_assert_eq!(last, holders.is_empty());
                    if last {
                        gate.left();
                        if waiting.iter().any(|(waiting, ..)| is_let_in(waiting) == Some(Grant::Enter)) {
                            gate.entered();
                        }
                    }
                }
                Step::Go(_) => {}
            }
            let (in_now, still): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(waiting, ..)| is_let_in(waiting).is_some());
            waiting = still;
            came.extend(in_now.iter().map(|(waiting, key, _)| (waiting.place(), *key)));
            holders.extend(&came);
            // One project at a time.
            prop_assert!(holders.windows(2).all(|pair| pair[0].1 == pair[1].1));
            // Nobody waits at a gate that is free, and the places are those of the holders.
            prop_assert_eq!(gate.holders(), holders.len());
            prop_assert!(!holders.is_empty() || waiting.is_empty());
            let now_first = waiting.iter().map(|(waiting, ..)| waiting.place()).min();
            for (place, _) in &came {
                if let Some(first) = now_first.filter(|first| first < place) {
                    prop_assert!(asked[place], "{:?} is no late import", place);
                    let elders = before.iter().chain(&came).any(|(elder, _)| *elder < first);
                    prop_assert!(elders, "{:?} passed {:?}", place, first);
                }
            }
        }
    }
}
