//! Which project each thread holds.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use super::{Key, Place};

thread_local! {
    /// What this thread holds, or is putting in place: the same key several times, or nothing. Without a
    /// destructor, as those of other thread-locals may lease when this would be gone.
    static HELD: ManuallyDrop<RefCell<Vec<Held>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };

    /// Frees the memory of that.
    static ENDING: Ending = const { Ending };
}

struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        forget_if_empty();
    }
}

fn forget_if_empty() {
    HELD.with(|held| {
        let mut held = held.borrow_mut();
        if held.is_empty() {
            *held = Vec::new();
        }
    });
}

struct Held {
    key: Key,
    place: Place,
    /// The frame of the Python code that asked for it, by its address; 0 for none.
    frame: usize,
    /// The states that the thread's own code has put in the place of the key's, the last in place now.
    guests: Vec<Key>,
}

impl Held {
    fn is_of(&self, key: &Key) -> bool {
        self.key == *key || self.guests.contains(key)
    }
}

/// Notes that this thread holds the key once more. `frame` is the Python code that asked for it, 0 for none.
pub(crate) fn push(key: &Key, place: Place, frame: usize) {
    let one = Held { key: key.clone(), place, frame, guests: Vec::new() };
    HELD.with(|held| held.borrow_mut().push(one));
}

/// Notes that this thread holds its key once less, and gives the place that it held it with.
pub(crate) fn pop() -> Place {
    let popped = HELD.with(|held| held.borrow_mut().pop());
    if ENDING.try_with(|_| ()).is_err() {
        // Nobody comes after this.
        forget_if_empty();
    }
    popped.map_or_else(Place::default, |held| held.place)
}

/// Looks at what this thread holds.
fn look<T>(at: impl FnOnce(&[Held]) -> T) -> T {
    HELD.with(|held| at(&held.borrow()))
}

/// The place with which this thread holds the key, where it does.
pub(crate) fn place_of(key: &Key) -> Option<Place> {
    look(|held| held.last().filter(|held| held.key == *key).map(|held| held.place))
}

/// The places with which this thread holds its key, as often as it does.
pub(crate) fn places() -> Vec<Place> {
    look(|held| held.iter().map(|held| held.place).collect())
}

/// The key that this thread holds.
pub(crate) fn key() -> Option<Key> {
    look(|held| held.last().map(|held| held.key.clone()))
}

/// Whether this thread holds the key.
pub(crate) fn holds(key: &Key) -> bool {
    look(|held| held.last().is_some_and(|held| held.is_of(key)))
}

/// Whether this thread holds the key, and no guest is in its place.
pub(crate) fn holds_itself(key: &Key) -> bool {
    look(|held| held.last().is_some_and(|held| held.key == *key && held.guests.is_empty()))
}

/// The place with which this thread holds the key, or its state's guest of that key.
pub(crate) fn place_with(key: &Key) -> Option<Place> {
    look(|held| held.last().filter(|held| held.is_of(key)).map(|held| held.place))
}

/// Notes that a state of that key is in the place of the one that this thread holds, until the thread lets go
/// of it.
pub(crate) fn add_guest(guest: &Key) {
    HELD.with(|held| held.borrow_mut().iter_mut().for_each(|held| held.guests.push(guest.clone())));
}

/// Undoes [`add_guest`].
pub(crate) fn remove_guest(guest: &Key) {
    HELD.with(|held| {
        held.borrow_mut().iter_mut().for_each(|held| held.guests.retain(|other| other != guest));
    });
}

/// Whether this thread holds any project.
pub(crate) fn holds_any() -> bool {
    look(|held| !held.is_empty())
}

/// What this thread holds, and the frame from which it was asked for, where it holds it once.
pub(crate) fn held_once() -> Option<(Key, usize)> {
    look(|held| match held {
        [held] if held.guests.is_empty() => Some((held.key.clone(), held.frame)),
        _ => None,
    })
}

/// The frame of the Python code from which this thread first asked for what it holds, by its address.
pub(crate) fn leased_from() -> Option<usize> {
    look(|held| held.first().map(|held| held.frame)).filter(|frame| *frame != 0)
}
