//! Which ids were seen, which are missing: a state machine without clock, site or disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A time in milliseconds, of any origin that only goes on.
pub type Millis = u64;

/// What is known of a site's ids.
///
/// The cursor is the highest id seen. Ids below it that were not seen are missing until they come or their
/// time is up: the site gives ids to events before their transactions end, so that some become visible late,
/// and some never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    cursor: i64,
    /// First id of a range of missing ones, its last id, and when it is given up. Ranges do not touch where
    /// their times are the same, and never overlap.
    missing: BTreeMap<i64, (i64, Millis)>,
}

/// What to ask the site for, in one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// All ids above this one.
    pub above: i64,
    /// And these.
    pub ids: Vec<i64>,
    /// And these ranges, both ends included.
    pub ranges: Vec<(i64, i64)>,
}

/// What an answer of the site was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Ids that are new, ascending: to be given out. True for those that come late.
    pub new: Vec<(i64, bool)>,
    /// Ranges that were found to be missing.
    pub missed: Vec<(i64, i64)>,
}

/// Ranges up to this length are asked for by their ids.
const SHORT: i64 = 4;

/// How many ids and ranges one query has at most. What is beyond waits for those before it to come or expire.
const MOST: usize = 300;

impl Window {
    /// All up to `cursor` counts as seen.
    #[must_use]
    pub fn new(cursor: i64) -> Window {
        Window { cursor, missing: BTreeMap::new() }
    }

    /// All up to `cursor` counts as seen, but for these ids, which are waited for until a time.
    #[must_use]
    pub fn with_missing(cursor: i64, missing: impl IntoIterator<Item = (i64, Millis)>) -> Window {
        let mut window = Window::new(cursor);
        for (id, until) in missing {
            if id <= cursor {
                window.missing.insert(id, (id, until));
            }
        }
        window
    }

    /// The highest id seen.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// The window as it was up to `cursor`, with these ids not seen yet; with the latest `most` missing
    /// ranges at most.
    #[must_use]
    pub fn while_unseen(&self, cursor: i64, unseen: impl IntoIterator<Item = i64>, most: usize) -> Window {
        let mut window = Window::new(cursor);
        for (first, (last, until)) in self.missing.range(..=cursor).rev().take(most) {
            window.missing.insert(*first, ((*last).min(cursor), *until));
        }
        for id in unseen.into_iter().filter(|id| *id < cursor) {
            window.missing.insert(id, (id, Millis::MAX));
        }
        window
    }

    /// How many ids are missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing.iter().map(|(first, (last, _))| (last - first + 1).unsigned_abs()).sum()
    }

    /// The missing ranges, and when each is given up.
    pub fn ranges(&self) -> impl Iterator<Item = (i64, i64, Millis)> + '_ {
        self.missing.iter().map(|(first, (last, until))| (*first, *last, *until))
    }

    /// What to ask for next. Where there is more than a query can have, `turn` says with which part it
    /// begins.
    #[must_use]
    pub fn query(&self, turn: usize) -> Query {
        let mut query = Query { above: self.cursor, ..Query::default() };
        let begin =
            if self.missing.len() > MOST { turn.wrapping_mul(MOST / 2) % self.missing.len() } else { 0 };
        let ranges = self.missing.iter().skip(begin).chain(self.missing.iter().take(begin));
        for (first, (last, _)) in ranges {
            if query.ids.len() + query.ranges.len() >= MOST {
                break;
            }
            if last - first < SHORT {
                query.ids.extend(*first..=*last);
            } else {
                query.ranges.push((*first, *last));
            }
        }
        query.ids.sort_unstable();
        query
    }

    /// Takes the ids of an answer, in any order; ids that were seen before are not given out again. Ids that
    /// turn out to be missing are waited for until `until`.
    pub fn take(&mut self, ids: impl IntoIterator<Item = i64>, until: Millis) -> Taken {
        let mut ids: Vec<i64> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut taken = Taken::default();
        for id in ids {
            if id > self.cursor {
                if id > self.cursor + 1 {
                    let gap = (self.cursor + 1, id - 1);
                    self.missing.insert(gap.0, (gap.1, until));
                    taken.missed.push(gap);
                }
                self.cursor = id;
                taken.new.push((id, false));
            } else if self.find(id) {
                taken.new.push((id, true));
            }
        }
        taken
    }

    /// Takes an id out of the missing ones. Whether it was there.
    fn find(&mut self, id: i64) -> bool {
        let Some((&first, &(last, until))) = self.missing.range(..=id).next_back() else { return false };
        if id > last {
            return false;
        }
        self.missing.remove(&first);
        if first < id {
            self.missing.insert(first, (id - 1, until));
        }
        if id < last {
            self.missing.insert(id + 1, (last, until));
        }
        true
    }

    /// Gives up what was waited for until now: the ranges.
    pub fn expire(&mut self, now: Millis) -> Vec<(i64, i64)> {
        let gone: Vec<i64> =
            self.missing.iter().filter(|(_, (_, until))| *until <= now).map(|(first, _)| *first).collect();
        gone.into_iter()
            .filter_map(|first| self.missing.remove(&first).map(|(last, _)| (first, last)))
            .collect()
    }

    /// Has nothing be waited for longer than until `latest`: the clock may have been set back since it was
    /// written down.
    pub fn not_later_than(&mut self, latest: Millis) {
        for (_, until) in self.missing.values_mut() {
            *until = (*until).min(latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A site's log: each id becomes visible at a time, or never.
    struct Log {
        visible_from: BTreeMap<i64, Millis>,
    }

    impl Log {
        fn answer(&self, query: &Query, now: Millis, limit: usize) -> Vec<i64> {
            let wanted = |id: i64| {
                id > query.above
                    || query.ids.contains(&id)
                    || query.ranges.iter().any(|(first, last)| (*first..=*last).contains(&id))
            };
            let visible = self.visible_from.iter().filter(|(id, from)| **from <= now && wanted(**id));
            visible.map(|(id, _)| *id).take(limit).collect()
        }
    }

    #[test]
    fn an_id_that_is_missing_keeps_nothing_back() {
        let mut window = Window::new(10);
        assert_eq!(window.take([12, 13], 100).new, [(12, false), (13, false)]);
        assert_eq!(window.query(0), Query { above: 13, ids: vec![11], ranges: vec![] });
        assert_eq!(window.take([11, 14], 100).new, [(11, true), (14, false)]);
        assert_eq!(window.query(0), Query { above: 14, ..Query::default() });
    }

    #[test]
    fn a_wide_gap_is_one_range_and_is_parted_by_what_comes() {
        let mut window = Window::new(0);
        assert_eq!(window.take([1_000_000], 5).missed, [(1, 999_999)]);
        assert_eq!(window.missing(), 999_999);
        assert_eq!(window.take([500], 5).new, [(500, true)]);
        assert_eq!(window.query(0).ranges, [(1, 499), (501, 999_999)]);
        assert_eq!(window.expire(4), []);
        assert_eq!(window.expire(5), [(1, 499), (501, 999_999)]);
        assert_eq!(window.missing(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_id_waited_for_longer_than_its_time() {
        let mut window = Window::new(10);
        // Noted when the clock was ahead.
        window.take([12], 1_000_000);
        window.not_later_than(300);
        assert_eq!(window.expire(299), []);
        assert_eq!(window.expire(300), [(11, 11)]);
    }

    #[test]
    fn a_window_of_before_lacks_what_was_not_seen_then() {
        let mut window = Window::new(10);
        window.take([12, 20], 7);
        // Of late 12 and new 20 in one answer, 20 is not published yet, or 12 is not.
        assert_eq!(window.while_unseen(12, [20], 10), Window::with_missing(12, [(11, 7)]));
        let before = window.while_unseen(20, [12], 10);
        let ranges: Vec<_> = before.ranges().map(|(first, last, _)| (first, last)).collect();
        assert_eq!(ranges, [(11, 11), (12, 12), (13, 19)]);
        assert_eq!(window.while_unseen(20, [], 1).ranges().count(), 1);
    }

    #[test]
    fn with_more_gaps_than_a_query_has_room_for_each_has_its_turn() {
        let mut window = Window::new(0);
        window.take((1..=2000).map(|n| n * 2), 5);
        let mut asked = BTreeSet::new();
        for turn in 0..20 {
            let query = window.query(turn);
            assert!(query.ids.len() <= MOST, "{}", query.ids.len());
            asked.extend(query.ids);
        }
        assert_eq!(asked.len(), 2000);
    }

    proptest! {
        /// Whatever the order in which ids become visible, each that does within its time is given out once,
        /// no poll with something to give out gives nothing, and ids that are always visible wait for
        /// nothing.
        #[test]
        fn each_event_comes_once_and_none_is_lost_within_its_time(
            delays in prop::collection::vec(prop_oneof![6 => Just(Some(0u64)), 2 => (1u64..400).prop_map(Some), 1 => Just(None)], 1..120),
            limit in 1usize..20, patience in 500u64..600, start in 0i64..1000,
        ) {
            // An id is given out by the site every 3 ms; polls are 10 ms apart.
            let visible_from: BTreeMap<i64, Millis> = delays.iter().zip(0u64..)
                .filter_map(|(delay, n)| delay.map(|delay| (start + 1 + n as i64, 3 * n + delay)))
                .collect();
            let log = Log { visible_from };
            let mut window = Window::new(start);
            let mut given = Vec::new();
            let mut now = 0;
            for turn in 0..300 {
                let answer = log.answer(&window.query(turn), now, limit);
                let empty = answer.is_empty();
                let taken = window.take(answer, now + patience);
                prop_assert!(empty || !taken.new.is_empty(), "a poll that stands still");
                given.extend(taken.new.iter().map(|(id, _)| *id));
                window.expire(now);
                now += 10;
            }
            let once: BTreeSet<i64> = given.iter().copied().collect();
            prop_assert_eq!(once.len(), given.len(), "an event came twice");
            // Those above the last one that was ever seen are not missing: nothing has told of them.
            let all: BTreeSet<i64> = log.visible_from.keys().copied().collect();
            prop_assert_eq!(once, all);
            prop_assert_eq!(window.missing(), 0);
        }
    }
}
