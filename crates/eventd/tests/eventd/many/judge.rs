//! Judges a record of `start HOST PROJECT ID` and `done HOST PROJECT ID`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a record shows.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Events that were never done.
    pub(crate) lost: Vec<(i64, i64)>,
    /// Events that were begun before an earlier one of their project was done.
    pub(crate) ahead: Vec<(i64, i64)>,
    /// How often events were begun again.
    pub(crate) again: usize,
    /// How often events were done again.
    pub(crate) twice: usize,
    /// The hosts of each project.
    pub(crate) pairs: BTreeSet<(String, i64)>,
}

/// Judges it against the events of each project, in their order.
pub(crate) fn judge(record: &[String], projects: &BTreeMap<i64, Vec<i64>>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut begun: HashMap<(i64, i64), usize> = HashMap::new();
    let mut done: HashMap<(i64, i64), usize> = HashMap::new();
    for line in record {
        let words: Vec<_> = line.split(' ').collect();
        let [what, host, project, id] = words[..] else { continue };
        let (project, id): (i64, i64) = (project.parse().unwrap(), id.parse().unwrap());
        if what == "done" {
            *done.entry((project, id)).or_default() += 1;
            continue;
        }
        verdict.pairs.insert((host.to_owned(), project));
        *begun.entry((project, id)).or_default() += 1;
        let ids = &projects[&project];
        let before = ids[..ids.partition_point(|one| *one < id)].last();
        if before.is_some_and(|before| !done.contains_key(&(project, *before))) {
            verdict.ahead.push((project, id));
        }
    }
    let all = projects.iter().flat_map(|(project, ids)| ids.iter().map(|id| (*project, *id)));
    verdict.lost = all.filter(|event| !done.contains_key(event)).collect();
    verdict.again = begun.values().map(|count| count - 1).sum();
    verdict.twice = done.values().map(|count| count - 1).sum();
    verdict
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let projects = BTreeMap::from([(7, vec![1, 2, 3])]);
    let lines = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
    let well =
        judge(&lines("start a 7 1, done a 7 1, start a 7 2, done a 7 2, start b 7 3, done b 7 3"), &projects);
    assert!(well.lost.is_empty() && well.ahead.is_empty() && well.again == 0 && well.pairs.len() == 2);
    let wrong =
        judge(&lines("start a 7 1, start b 7 2, done b 7 2, done a 7 1, start a 7 1, done a 7 1"), &projects);
    assert_eq!((wrong.lost, wrong.ahead), (vec![(7, 3)], vec![(7, 2)]));
    assert_eq!((wrong.again, wrong.twice), (1, 1));
}
