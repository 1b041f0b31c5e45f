//! Judges a record of lines: `start HOST PROJECT ID`, `done HOST PROJECT ID`, `ended HOST PROJECT ID` of a
//! run that was given up, `gone HOST` from whoever kills, freezes or cuts off a host, and `back HOST`; `*` is
//! all hosts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An event of a project.
pub(crate) type Of = (i64, i64);

/// What a record shows.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Events that were never done.
    pub(crate) lost: Vec<Of>,
    /// Events that were begun before an earlier one of their project was done.
    pub(crate) ahead: Vec<Of>,
    /// Events that were begun, or done by a host that was gone, while another run of their project was on.
    pub(crate) overlap: Vec<Of>,
    /// Events that were begun again after a later one of their project was begun.
    pub(crate) behind: Vec<Of>,
    /// The events that were begun again.
    pub(crate) repeated: BTreeSet<Of>,
    /// How often events were begun again.
    pub(crate) again: usize,
    /// How often events were done again.
    pub(crate) twice: usize,
    /// The hosts of each project.
    pub(crate) pairs: BTreeSet<(String, i64)>,
    /// The host that has begun each project's last run.
    pub(crate) current: BTreeMap<i64, String>,
}

/// A run that has not ended.
struct Run {
    host: String,
    id: i64,
    is_gone: bool,
    /// Another one has begun since.
    is_overtaken: bool,
}

/// Judges it against the events of each project, in their order.
pub(crate) fn judge(record: &[String], projects: &BTreeMap<i64, Vec<i64>>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut begun: HashMap<Of, usize> = HashMap::new();
    let mut done: HashMap<Of, usize> = HashMap::new();
    let mut runs: HashMap<i64, Vec<Run>> = HashMap::new();
    let mut last: HashMap<i64, i64> = HashMap::new();
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    for line in record {
        let words: Vec<_> = line.split(' ').collect();
        if let ["back", host] = words[..] {
            gone.remove(host);
        }
        if let ["gone", host] = words[..] {
            gone.insert(host);
            let of_host = runs.values_mut().flatten().filter(|run| host == "*" || run.host == host);
            of_host.for_each(|run| run.is_gone = true);
        }
        let [what, host, project, id] = words[..] else { continue };
        let (project, id): Of = (project.parse().unwrap(), id.parse().unwrap());
        let runs = runs.entry(project).or_default();
        let own = runs.iter().position(|run| run.host == host && run.id == id);
        // A host that begins an event again has ended its own run of it.
        let own = own.map(|own| runs.remove(own));
        if what == "done" {
            *done.entry((project, id)).or_default() += 1;
            if own.is_some_and(|run| run.is_gone && run.is_overtaken) {
                verdict.overlap.push((project, id));
            }
        }
        if what != "start" {
            continue;
        }
        if runs.iter().any(|run| !run.is_gone) {
            verdict.overlap.push((project, id));
        }
        runs.iter_mut().for_each(|run| run.is_overtaken = true);
        let is_gone = gone.contains(host) || gone.contains("*");
        runs.push(Run { host: host.to_owned(), id, is_gone, is_overtaken: false });
        verdict.pairs.insert((host.to_owned(), project));
        verdict.current.insert(project, host.to_owned());
        *begun.entry((project, id)).or_default() += 1;
        let last = last.entry(project).or_insert(id);
        if id < *last {
            verdict.behind.push((project, id));
        }
        *last = id.max(*last);
        let ids = &projects[&project];
        let before = ids[..ids.partition_point(|one| *one < id)].last();
        if before.is_some_and(|before| !done.contains_key(&(project, *before))) {
            verdict.ahead.push((project, id));
        }
    }
    let all = projects.iter().flat_map(|(project, ids)| ids.iter().map(|id| (*project, *id)));
    verdict.lost = all.filter(|event| !done.contains_key(event)).collect();
    verdict.repeated = begun.iter().filter(|(_, count)| **count > 1).map(|(event, _)| *event).collect();
    verdict.again = begun.values().map(|count| count - 1).sum();
    verdict.twice = done.values().map(|count| count - 1).sum();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with commas in between, of a project with three events.
    fn judged(record: &str) -> Verdict {
        let lines: Vec<_> = record.split(", ").map(str::to_owned).collect();
        judge(&lines, &BTreeMap::from([(7, vec![1, 2, 3])]))
    }

    #[test]
    fn the_judge_sees_what_is_wrong() {
        let well = judged("start a 7 1, done a 7 1, start a 7 2, done a 7 2, start b 7 3, done b 7 3");
        assert!(well.lost.is_empty() && well.ahead.is_empty() && well.again == 0 && well.pairs.len() == 2);
        assert!(well.overlap.is_empty() && well.behind.is_empty() && well.repeated.is_empty());
        assert_eq!(well.current[&7], "b");
        let wrong = judged("start a 7 1, start b 7 2, done b 7 2, done a 7 1, start a 7 1, done a 7 1");
        assert_eq!((wrong.lost, wrong.ahead), (vec![(7, 3)], vec![(7, 2)]));
        assert_eq!((wrong.again, wrong.twice), (1, 1));
        assert_eq!(wrong.repeated, BTreeSet::from([(7, 1)]));
    }

    #[test]
    fn the_judge_sees_an_event_that_two_hosts_run_at_once() {
        let wrong = judged("start a 7 1, start b 7 1, done a 7 1, done b 7 1");
        assert_eq!((wrong.overlap, wrong.ahead), (vec![(7, 1)], vec![]));
        // The next one begins while the one before runs once more.
        let wrong = judged("start a 7 1, done a 7 1, start b 7 1, start a 7 2, done a 7 2, done b 7 1");
        assert_eq!((wrong.overlap, wrong.ahead), (vec![(7, 2)], vec![]));
    }

    #[test]
    fn the_judge_sees_a_host_that_was_gone_end_what_others_have_begun() {
        let well = judged("start a 7 1, gone a, start b 7 1, done b 7 1, start a 7 2, done a 7 2");
        assert_eq!(well.overlap, []);
        // It ended its run before the other one began: twice, and not at once.
        let well = judged("start a 7 1, gone *, done a 7 1, start b 7 1, done b 7 1");
        assert_eq!((well.overlap, well.twice), (vec![], 1));
        let wrong = judged("start a 7 1, gone a, start b 7 1, done b 7 1, done a 7 1");
        assert_eq!(wrong.overlap, [(7, 1)]);
        // What it begins while it is gone is no other than what it had begun before.
        let well = judged("gone a, start a 7 1, start b 7 1, done b 7 1");
        assert_eq!(well.overlap, []);
        let wrong = judged("gone a, back a, start a 7 1, start b 7 1, done b 7 1");
        assert_eq!(wrong.overlap, [(7, 1)]);
        // Another host is not gone.
        let wrong = judged("start a 7 1, gone c, start b 7 1, done b 7 1");
        assert_eq!(wrong.overlap, [(7, 1)]);
    }

    #[test]
    fn the_judge_bears_a_run_that_was_given_up_or_begun_again_by_its_own_host() {
        let well = judged("start a 7 1, ended a 7 1, start b 7 1, start b 7 1, done b 7 1");
        assert_eq!((well.overlap, well.again), (vec![], 2));
    }

    #[test]
    fn the_judge_sees_an_event_that_is_begun_again_after_its_successor() {
        let wrong = judged("start a 7 1, done a 7 1, start a 7 2, done a 7 2, start b 7 1, done b 7 1");
        assert_eq!((wrong.behind, wrong.ahead), (vec![(7, 1)], vec![]));
    }
}
