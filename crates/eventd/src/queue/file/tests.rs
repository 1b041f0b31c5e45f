//! The queue keeps its promises over restarts and damage.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::queue::{Failure, Start};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn open(&self) -> FileQueue {
        FileQueue::open(&self.path()).unwrap()
    }
}

/// Opens the state as soon as whoever had it has let go of its lock.
fn reopened(place: &Place) -> FileQueue {
    loop {
        match FileQueue::open(&place.path()) {
            Err(QueueError::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn site() -> Arc<str> {
    Arc::from("shotgun")
}

fn event(id: i64, project: Option<i64>) -> Event {
    let project = project.map(|id| json!({ "type": "Project", "id": id }));
    Event::new(&site(), to_raw_value(&json!({ "id": id, "project": project })).unwrap()).unwrap()
}

fn name(name: &str) -> LaneName {
    LaneName(Arc::from(name))
}

fn lane(of: &str, project: Option<i64>) -> Lane {
    Lane { name: name(of), site: site(), project, start: Start::Now }
}

async fn append(queue: &FileQueue, events: Vec<Event>) -> usize {
    let cursor = events.iter().map(|event| event.id).max().unwrap_or(0);
    queue.append(Batch { site: site(), events, window: Window::new(cursor) }).await.unwrap()
}

async fn next_id(queue: &FileQueue, lanes: &[LaneName]) -> Option<(LaneName, i64)> {
    let next = tokio::time::timeout(Duration::from_millis(200), queue.next(lanes)).await;
    next.ok().map(|message| message.map(|message| (message.lane, message.event.id)).unwrap())
}

fn failure() -> Failure {
    Failure { reason: "no".to_owned(), traceback: Some("trace".to_owned()) }
}

#[tokio::test]
async fn a_lane_has_its_events_in_order_one_at_a_time_and_again_until_they_are_settled() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", Some(7))]).await.unwrap();
    assert_eq!(append(&queue, vec![event(1, None), event(2, Some(7)), event(3, Some(8))]).await, 3);
    let (a, b) = ([name("a")], [name("b")]);
    for id in 1..=3 {
        assert_eq!(next_id(&queue, &a).await, Some((name("a"), id)));
        let message = queue.next(&a).await.unwrap();
        assert_eq!(message.event.id, id);
        queue.settle(&message, Verdict::Done).await.unwrap();
        assert!(matches!(queue.settle(&message, Verdict::Done).await, Err(QueueError::NotInFlight { .. })));
    }
    assert_eq!(next_id(&queue, &a).await, None);
    assert_eq!(next_id(&queue, &b).await, Some((name("b"), 2)));
    // Of several lanes, the one that is furthest behind.
    assert_eq!(append(&queue, vec![event(4, Some(7)), event(2, Some(7))]).await, 1);
    assert_eq!(next_id(&queue, &[name("a"), name("b")]).await, Some((name("b"), 2)));
}

#[tokio::test]
async fn all_is_there_again_after_the_end() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", None)]).await.unwrap();
    append(&queue, (1..=5).map(|id| event(id, None)).collect()).await;
    let first = queue.next(&[name("a")]).await.unwrap();
    queue.settle(&first, Verdict::Done).await.unwrap();
    let second = queue.next(&[name("a")]).await.unwrap();
    queue.begin(&second).await.unwrap();
    let parked = queue.next(&[name("b")]).await.unwrap();
    queue.settle(&parked, Verdict::Park(failure())).await.unwrap();
    queue.shut_down().await.unwrap();
    assert!(matches!(queue.next(&[name("a")]).await, Err(QueueError::Closed)));
    drop(queue);

    let queue = place.open();
    assert_eq!(queue.window("shotgun").await.unwrap(), Some(Window::new(5)));
    queue.open(vec![lane("a", None), lane("b", None)]).await.unwrap();
    let second = queue.next(&[name("a")]).await.unwrap();
    assert_eq!((second.event.id, second.begun), (2, true));
    assert_eq!(next_id(&queue, &[name("b")]).await, None);
    let state = queue.state().await.unwrap();
    let b = state.lanes.iter().find(|lane| lane.name == name("b")).unwrap();
    assert_eq!((b.parked, b.head, b.attempts, b.failure.clone()), (true, Some(1), 1, Some(failure())));
    assert!(queue.resume(&name("b"), Some(1), false).await.unwrap());
    assert_eq!(next_id(&queue, &[name("b")]).await, Some((name("b"), 1)));
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_holds_up_its_lane_alone() {
    let place = Place::new();
    let queue = place.open();
    let lanes = [name("a"), name("b")];
    queue.open(vec![lane("a", None), lane("b", None)]).await.unwrap();
    append(&queue, vec![event(1, None)]).await;
    let message = queue.next(&lanes).await.unwrap();
    let retry = |after, counts| Verdict::Retry { after, failure: failure(), counts };
    queue.settle(&message, retry(Duration::from_secs(3_600), true)).await.unwrap();
    let other = queue.next(&lanes).await.unwrap();
    assert_eq!(other.lane, name("b"));
    let soon = Duration::from_millis(50);
    queue.settle(&other, retry(soon, true)).await.unwrap();
    let again = queue.next(&lanes).await.unwrap();
    assert_eq!((&again.lane, again.attempts), (&name("b"), 1));
    queue.settle(&again, retry(soon, false)).await.unwrap();
    assert_eq!(queue.next(&lanes).await.unwrap().attempts, 1);
}

#[tokio::test]
async fn what_failed_for_good_is_a_dead_letter_with_its_event_and_can_be_given_out_again() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", None)]).await.unwrap();
    append(&queue, vec![event(1, None), event(2, None)]).await;
    for wanted in ["a", "b"] {
        let message = queue.next(&[name(wanted)]).await.unwrap();
        queue
            .settle(&message, if wanted == "a" { Verdict::Dead(failure()) } else { Verdict::Done })
            .await
            .unwrap();
    }
    let dead = queue.dead(10).await.unwrap();
    assert_eq!((dead.len(), dead[0].event, &dead[0].failure), (1, 1, &failure()));
    let found = queue.find("shotgun", 1).await.unwrap().unwrap();
    queue.replay(found, &[name("a")]).await.unwrap();
    assert_eq!(queue.forget_dead(1, None).await.unwrap(), [name("a")]);
    let mut given = Vec::new();
    for of in ["a", "b"] {
        while let Some((_, id)) = next_id(&queue, &[name(of)]).await {
            let message = queue.next(&[name(of)]).await.unwrap();
            queue.settle(&message, Verdict::Done).await.unwrap();
            given.push((of, id));
        }
    }
    assert_eq!(given, [("a", 2), ("a", 1), ("b", 2)]);
}

#[tokio::test]
async fn a_lane_can_be_skipped_paused_closed_and_begun_at_an_id() {
    let place = Place::new();
    let queue = place.open();
    let start = Start::After { id: 3, missing: vec![1] };
    queue.open(vec![Lane { start, ..lane("a", None) }, lane("b", None)]).await.unwrap();
    append(&queue, (1..=4).map(|id| event(id, None)).collect()).await;
    let first = queue.next(&[name("a")]).await.unwrap();
    assert_eq!(first.event.id, 1);
    queue.settle(&first, Verdict::Park(failure())).await.unwrap();
    assert!(!queue.resume(&name("a"), Some(4), true).await.unwrap());
    assert!(queue.resume(&name("a"), Some(1), true).await.unwrap());
    assert_eq!(next_id(&queue, &[name("a")]).await, Some((name("a"), 4)));
    queue.pause(&name("a"), true).await.unwrap();
    assert_eq!(next_id(&queue, &[name("a")]).await, None);
    queue.pause(&name("a"), false).await.unwrap();
    queue.close(&[name("a")]).await.unwrap();
    assert_eq!(next_id(&queue, &[name("a")]).await, None);
    // It goes on where it was, with what came meanwhile.
    append(&queue, vec![event(5, None)]).await;
    queue.open(vec![lane("a", None)]).await.unwrap();
    assert_eq!(next_id(&queue, &[name("a")]).await, Some((name("a"), 4)));
}

#[tokio::test]
async fn a_lane_far_behind_reads_the_file_and_what_all_have_done_is_deleted() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", Some(1))]).await.unwrap();
    for part in 0..30 {
        append(&queue, (1..=100).map(|id| event(part * 100 + id, Some(id % 2))).collect()).await;
    }
    let mut given = 0;
    for of in [name("a"), name("b")] {
        let mut last = 0;
        while let Ok(Ok(message)) =
            tokio::time::timeout(Duration::from_millis(300), queue.next(std::slice::from_ref(&of))).await
        {
            assert!(message.event.id > last, "{} after {last}", message.event.id);
            last = message.event.id;
            given += 1;
            let verdict = if last % 3 == 0 { Verdict::Passed } else { Verdict::Done };
            queue.settle(&message, verdict).await.unwrap();
        }
    }
    assert_eq!(given, 3000 + 1500);
    queue.shut_down().await.unwrap();
    drop(queue);
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", Some(1))]).await.unwrap();
    assert_eq!(next_id(&queue, &[name("a"), name("b")]).await, None);
    assert_eq!(queue.state().await.unwrap().events, 0);
}

#[tokio::test]
async fn two_daemons_a_newer_version_and_damage_are_refused_with_what_to_do() {
    let place = Place::new();
    let queue = place.open();
    let told = FileQueue::open(&place.path()).unwrap_err().to_string();
    assert!(told.contains(&std::process::id().to_string()) && told.contains("two daemons"), "{told}");
    queue.shut_down().await.unwrap();
    drop(queue);
    let open = || FileQueue::open(&place.path()).map(drop);
    let newer = rusqlite::Connection::open(place.path()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    assert!(matches!(open(), Err(QueueError::Newer { found: 99, .. })));
    std::fs::write(place.path(), "not a database, and long enough to be told from an empty one").unwrap();
    let told = open().unwrap_err();
    assert!(matches!(told, QueueError::Damaged { .. }), "{told}");
    std::fs::write(place.path(), "").unwrap();
    let told = open().unwrap_err().to_string();
    assert!(told.contains("it is empty") && told.contains("import-ids"), "{told}");
    std::fs::remove_file(place.path()).unwrap();
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    let told = open().unwrap_err().to_string();
    assert!(told.contains("another program's database"), "{told}");
}

#[tokio::test]
async fn one_whose_making_was_broken_off_is_made_anew() {
    let place = Place::new();
    let beside = |suffix| format!("{}{suffix}", place.path().display());
    for left in [".new", ".new-wal", ".new-shm"] {
        std::fs::write(beside(left), "half of it").unwrap();
    }
    let queue = place.open();
    queue.open(vec![lane("a", None)]).await.unwrap();
    assert_eq!(append(&queue, vec![event(1, None)]).await, 1);
    queue.shut_down().await.unwrap();
    drop(queue);
    assert!(![".new", ".new-wal", ".new-shm"].iter().any(|left| PathBuf::from(beside(left)).exists()));
    assert_eq!(reopened(&place).window("shotgun").await.unwrap().unwrap().cursor(), 1);
}

#[tokio::test]
async fn several_are_taken_in_the_order_of_all_lanes_and_settled_in_one_step() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", Some(7)), lane("c", None)]).await.unwrap();
    append(&queue, vec![event(1, None), event(2, Some(7)), event(3, None)]).await;
    let lanes = [name("a"), name("b"), name("c")];
    queue.pause(&name("c"), true).await.unwrap();
    let taken = queue.take(&lanes, 3).await.unwrap();
    let told = |messages: &[Message]| -> Vec<(String, i64)> {
        messages.iter().map(|message| (message.lane.to_string(), message.event.id)).collect()
    };
    let pair = |lane: &str, id| (lane.to_owned(), id);
    assert_eq!(told(&taken), [pair("a", 1), pair("a", 2), pair("b", 2)]);
    queue.settle_all(&taken[..2], Verdict::Done).await.unwrap();
    let rest = [pair("b", 2), pair("a", 3)];
    assert_eq!(told(&queue.take(&lanes, 9).await.unwrap()), rest);
    queue.shut_down().await.unwrap();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", Some(7)), lane("c", None)]).await.unwrap();
    assert_eq!(told(&queue.take(&lanes, 9).await.unwrap()), rest);
    // One that a person has skipped meanwhile moves on no further.
    let taken = queue.take(&lanes, 9).await.unwrap();
    let stop = Verdict::Park(failure());
    queue.settle(&taken[0], stop).await.unwrap();
    assert!(queue.resume(&name("b"), Some(2), true).await.unwrap());
    queue.settle_all(&taken, Verdict::Done).await.unwrap();
    append(&queue, vec![event(4, Some(7))]).await;
    assert_eq!(told(&queue.take(&lanes, 9).await.unwrap()), [pair("a", 4), pair("b", 4)]);
}

/// As a worker does it.
fn note_done(notes: &Notes, done: u8) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().write(true).open(notes.path()).unwrap();
    file.write_all_at(&[done, done + 1], 0).unwrap();
}

#[tokio::test]
async fn what_a_worker_had_done_when_the_daemon_ended_is_not_given_out_again() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None)]).await.unwrap();
    append(&queue, (1..=9).map(|id| event(id, None)).collect()).await;
    let a = [name("a")];
    let taken = queue.take(&a, 5).await.unwrap();
    let notes = queue.notes("plugins").unwrap();
    notes.begin(&taken.iter().collect::<Vec<_>>()).unwrap();
    note_done(&notes, 3);
    // As after a SIGKILL: nothing is settled.
    drop(queue);
    let queue = reopened(&place);
    queue.open(vec![lane("a", None)]).await.unwrap();
    assert_eq!(next_id(&queue, &a).await, Some((name("a"), 4)));
    // These notes have had their effect: they say nothing of the next end.
    drop(queue);
    let queue = reopened(&place);
    queue.open(vec![lane("a", None)]).await.unwrap();
    assert_eq!(next_id(&queue, &a).await, Some((name("a"), 4)));
}

#[tokio::test]
async fn a_log_that_was_torn_anywhere_gives_a_state_that_was_there_before() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None)]).await.unwrap();
    let a = [name("a")];
    for id in 1..=12 {
        append(&queue, vec![event(id, None)]).await;
        if id % 3 == 0 {
            let message = queue.next(&a).await.unwrap();
            let verdict = if id % 2 == 0 { Verdict::Done } else { Verdict::Dead(failure()) };
            queue.settle(&message, verdict).await.unwrap();
        }
    }
    let read = |suffix: &str| std::fs::read(format!("{}{suffix}", place.path().display())).unwrap();
    let (file, log) = (read(""), read("-wal"));
    assert!(log.len() > 10_000, "all is in the log still: {}", log.len());
    let mut last = 0;
    for cut in (0..=log.len()).step_by(1009).chain([log.len()]) {
        let torn = Place::new();
        std::fs::write(torn.path(), &file).unwrap();
        std::fs::write(format!("{}-wal", torn.path().display()), &log[..cut]).unwrap();
        let queue = torn.open();
        let cursor = queue.window("shotgun").await.unwrap().map_or(0, |window| window.cursor());
        assert!(cursor >= last, "{cursor} after {last}");
        last = cursor;
        queue.open(vec![lane("a", None)]).await.unwrap();
        // What was seen and is not done is all there, in order.
        if cursor == 0 {
            continue;
        }
        let taken = queue.take(&a, 20).await.unwrap();
        let ids: Vec<_> = taken.iter().map(|message| message.event.id).collect();
        assert_eq!(ids, (ids[0]..=cursor).collect::<Vec<_>>());
        assert!(ids[0] <= cursor / 3 + 1, "{ids:?} of {cursor}");
    }
    assert_eq!(last, 12);
}

#[tokio::test]
async fn notes_of_another_state_mean_nothing() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None)]).await.unwrap();
    append(&queue, (1..=3).map(|id| event(id, None)).collect()).await;
    let taken = queue.take(&[name("a")], 3).await.unwrap();
    let notes = queue.notes("plugins").unwrap();
    notes.begin(&taken.iter().collect::<Vec<_>>()).unwrap();
    note_done(&notes, 3);
    drop(queue);
    // A person begins anew, with the same events.
    let kept = std::fs::read(notes.path()).unwrap();
    drop(reopened(&place));
    std::fs::write(notes.path(), kept).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", place.path().display()));
    }
    let queue = reopened(&place);
    queue.open(vec![lane("a", None)]).await.unwrap();
    append(&queue, (1..=3).map(|id| event(id, None)).collect()).await;
    assert_eq!(next_id(&queue, &[name("a")]).await, Some((name("a"), 1)));
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_retry_waiting_for_long() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None)]).await.unwrap();
    append(&queue, vec![event(1, None)]).await;
    let message = queue.next(&[name("a")]).await.unwrap();
    let after = Duration::from_secs(60);
    queue.settle(&message, Verdict::Retry { after, failure: failure(), counts: true }).await.unwrap();
    queue.shut_down().await.unwrap();
    // As if it had been written when the clock was ten years ahead.
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    connection.execute("UPDATE lane SET retry_at = retry_at + 315360000000", []).unwrap();
    drop(connection);
    let queue = place.open();
    queue.open(vec![lane("a", None)]).await.unwrap();
    let state = queue.state().await.unwrap();
    assert!(state.lanes[0].retry_in_ms.is_some_and(|ms| ms <= 3_600_000), "{state:?}");
}

#[tokio::test]
async fn of_what_waits_only_so_much_is_in_memory_however_many_lanes_there_are() {
    let place = Place::new();
    let queue = place.open();
    let lanes = 100;
    let name = |project: i64| name(&format!("lane-{project}"));
    queue
        .open((0..lanes).map(|project| lane(&format!("lane-{project}"), Some(project))).collect())
        .await
        .unwrap();
    let count = 200;
    for round in 0..count {
        let events = (0..lanes).map(|project| event(1 + round * lanes + project, Some(project)));
        append(&queue, events.collect()).await;
    }
    assert!(queue.memory().held() <= 8192, "{}", queue.memory().held());
    for project in 0..lanes {
        let mut done = Vec::new();
        while done.len() < count as usize {
            let taken = queue.take(&[name(project)], 50).await.unwrap();
            done.extend(taken.iter().map(|message| message.event.id));
            queue.settle_all(&taken, Verdict::Done).await.unwrap();
            assert!(queue.memory().held() <= 8192, "{}", queue.memory().held());
        }
        assert_eq!(done, (0..count).map(|round| 1 + round * lanes + project).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn lanes_of_one_subject_have_what_is_read_in_common() {
    let place = Place::new();
    let queue = place.open();
    queue.open(vec![lane("a", None), lane("b", None)]).await.unwrap();
    append(&queue, (1..=10).map(|id| event(id, None)).collect()).await;
    drop(queue);
    // What was appended before is in the file alone.
    let queue = reopened(&place);
    queue.open(vec![lane("a", None), lane("b", None)]).await.unwrap();
    let taken = queue.take(&[name("a"), name("b")], 20).await.unwrap();
    let order: Vec<_> = taken.iter().map(|message| (message.event.id, message.lane.clone())).collect();
    assert_eq!(order, (1..=10).flat_map(|id| [(id, name("a")), (id, name("b"))]).collect::<Vec<_>>());
    assert!(taken.chunks(2).all(|pair| Arc::ptr_eq(&pair[0].event, &pair[1].event)));
}
