use serde_json::value::RawValue;

use super::*;
use crate::event::Event;
use crate::queue::Start;

const NOW: Duration = Duration::from_secs(100);

fn lane(key: &str) -> LaneName {
    crate::lanes::lane_name("s", key, Some(7))
}

/// One project with two lanes.
fn table() -> (Table, Arc<str>, Vec<LaneName>) {
    let mut table = Table::default();
    let consumer: Arc<str> = Arc::from("p-s-7");
    let lanes = vec![lane("/one.py"), lane("/two.py")];
    for name in &lanes {
        let lane = Lane { name: name.clone(), site: Arc::from("s"), project: Some(7), start: Start::Now };
        let opening = Opening { key: "s/7".to_owned(), rank: 0, begins: NOW, stamp: 0 };
        table.open(&consumer, &lane, opening);
    }
    (table, consumer, lanes)
}

/// No other host is awaited.
fn nobody(_: &str) -> bool {
    false
}

fn event(id: i64) -> Arc<Event> {
    let body = RawValue::from_string(format!("{{\"id\": {id}, \"project\": {{\"id\": 7}}}}")).unwrap();
    Arc::new(Event::new(&Arc::from("s"), body).unwrap())
}

fn arrived(seq: u64, epoch: Epoch) -> Arrived {
    let place = Place { seq, stamp: seq as i64 };
    let event = event(seq as i64);
    Arrived { place, reply: Subject::from(format!("ack.{seq}")), event, only: None, epoch, record: None }
}

fn given(table: &mut Table, lanes: &[LaneName], epoch: Epoch) -> Option<Message> {
    table.give(lanes, Some(epoch), NOW)
}

#[test]
fn a_message_is_done_when_all_its_lanes_are_and_is_not_run_again() {
    let (mut table, consumer, lanes) = table();
    let epoch = Epoch::default();
    assert!(matches!(table.arrive(&consumer, arrived(5, epoch), NOW), Arrival::Kept));
    let first = given(&mut table, &lanes, epoch).unwrap();
    assert_eq!((first.seq, &first.lane), (5, &lanes[0]));
    assert!(table.lane_done(&first).is_none());
    let second = given(&mut table, &lanes, epoch).unwrap();
    assert_eq!(second.lane, lanes[1]);
    let finished = table.lane_done(&second).unwrap();
    assert_eq!(finished.reply.as_str(), "ack.5");
    assert!(table.lane_done(&second).is_none());
    // Its acknowledgement was lost: it is acknowledged again, not run again.
    assert!(matches!(table.arrive(&consumer, arrived(5, epoch), NOW), Arrival::Done { .. }));
    assert!(given(&mut table, &lanes, epoch).is_none());
}

#[test]
fn a_stream_that_was_made_anew_is_not_taken_for_what_is_done() {
    let (mut table, consumer, lanes) = table();
    let epoch = Epoch::default();
    table.arrive(&consumer, arrived(5, epoch), NOW);
    for _ in 0..2 {
        let message = given(&mut table, &lanes, epoch).unwrap();
        table.lane_done(&message);
    }
    let new = Arrived { place: Place { seq: 1, stamp: 900 }, ..arrived(1, epoch) };
    assert!(matches!(table.arrive(&consumer, new, NOW), Arrival::Kept));
}

#[test]
fn what_was_pulled_before_a_lapse_is_not_begun_and_what_runs_is_revoked() {
    let (mut table, consumer, lanes) = table();
    let (before, after) = (Epoch::default(), Epoch { lapses: 1, connections: 0 });
    table.arrive(&consumer, arrived(5, before), NOW);
    assert!(table.give(&lanes, None, NOW).is_none(), "the lease does not hold");
    assert!(given(&mut table, &lanes, after).is_none());
    let running = given(&mut table, &lanes, before).unwrap();
    let revocation = table.revocation(&running).unwrap();
    table.drop_old(after);
    assert!(*revocation.borrow());
    // It comes again before the first run of it has ended.
    table.arrive(&consumer, arrived(5, after), NOW);
    assert!(table.revocation(&running).is_some());
    let again = given(&mut table, &lanes, after).unwrap();
    assert_eq!((again.seq, &again.lane), (5, &lanes[0]));
    assert!(!*table.revocation(&again).unwrap().borrow());
}

#[test]
fn what_is_begun_goes_on_over_a_connection_that_was_lost_and_what_waits_does_not() {
    let (mut table, consumer, lanes) = table();
    let (before, after) = (Epoch::default(), Epoch { lapses: 0, connections: 1 });
    table.arrive(&consumer, arrived(5, before), NOW);
    let first = given(&mut table, &lanes, before).unwrap();
    table.drop_old(after);
    assert!(!*table.revocation(&first).unwrap().borrow());
    table.lane_done(&first);
    let second = given(&mut table, &lanes, after).unwrap();
    assert!(table.lane_done(&second).is_some());
    table.arrive(&consumer, arrived(6, before), NOW);
    table.drop_old(after);
    assert!(given(&mut table, &lanes, after).is_none());
}

#[test]
fn a_lane_that_is_done_with_a_message_has_it_no_second_time_when_it_comes_again() {
    let (mut table, consumer, lanes) = table();
    let epoch = Epoch::default();
    table.arrive(&consumer, arrived(5, epoch), NOW);
    let first = given(&mut table, &lanes, epoch).unwrap();
    table.lane_done(&first);
    let second = given(&mut table, &lanes, epoch).unwrap();
    assert!(table.release(&second).is_some());
    table.arrive(&consumer, arrived(5, epoch), NOW);
    assert_eq!(given(&mut table, &lanes, epoch).unwrap().lane, lanes[1]);
    // Nor where another host has written it down.
    let (mut other, consumer, lanes) = self::table();
    let done = BTreeSet::from([lanes[0].clone()]);
    let record = Record { place: Place { seq: 5, stamp: 5 }, done, ..Record::default() };
    other.arrive(&consumer, Arrived { record: Some(record), ..arrived(5, epoch) }, NOW);
    assert_eq!(given(&mut other, &lanes, epoch).unwrap().lane, lanes[1]);
}

#[test]
fn what_nobody_reads_is_for_other_hosts_and_what_runs_is_not() {
    let (mut table, consumer, lanes) = table();
    let reader = Arc::new(Notify::new());
    let epoch = Epoch::default();
    table.arrive(&consumer, arrived(5, epoch), NOW);
    table.reads(&lanes, &reader, true, NOW);
    assert_eq!(table.unread(NOW * 2), []);
    let message = given(&mut table, &lanes, epoch).unwrap();
    table.reads(&lanes, &reader, false, NOW);
    assert_eq!(table.unread(NOW * 2), [], "it runs, however long");
    table.release(&message);
    table.arrive(&consumer, arrived(5, epoch), NOW);
    assert_eq!(table.unread(NOW + PATIENCE / 2), []);
    assert_eq!(table.unread(NOW + PATIENCE).len(), 1);
    assert_eq!(table.pulls(NOW + PATIENCE, nobody), [], "nobody wants it");
    table.reads(&lanes, &reader, true, NOW + PATIENCE);
    assert_eq!(table.pulls(NOW + PATIENCE, nobody).len(), 1);
}

#[test]
fn a_host_that_rests_pulls_nothing_and_gives_back_what_was_not_begun() {
    let (mut table, consumer, lanes) = table();
    let reader = Arc::new(Notify::new());
    let epoch = Epoch::default();
    table.reads(&lanes, &reader, true, NOW);
    table.arrive(&consumer, arrived(5, epoch), NOW);
    table.resting = true;
    assert_eq!(table.unbegun().len(), 1);
    assert_eq!(table.pulls(NOW, nobody), []);
    assert!(matches!(table.arrive(&consumer, arrived(5, epoch), NOW), Arrival::Back(_)));
    assert!(given(&mut table, &lanes, epoch).is_none());
}

#[tokio::test]
async fn lanes_of_one_project_that_are_read_apart_have_a_message_one_after_the_other() {
    let (mut table, consumer, lanes) = table();
    let epoch = Epoch::default();
    let (one, two) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    table.reads(&lanes[..1], &one, true, NOW);
    table.reads(&lanes[1..], &two, true, NOW);
    table.arrive(&consumer, arrived(5, epoch), NOW);
    one.notified().await;
    two.notified().await;
    let first = given(&mut table, &lanes[..1], epoch).unwrap();
    assert!(given(&mut table, &lanes[1..], epoch).is_none(), "one has it");
    table.lane_done(&first);
    two.notified().await;
    let second = given(&mut table, &lanes[1..], epoch).unwrap();
    assert!(table.lane_done(&second).is_some());
}

#[test]
fn what_is_left_to_another_host_is_asked_for_as_soon_as_that_one_is_heard() {
    let (mut table, consumer, lanes) = table();
    table.reads(&lanes, &Arc::default(), true, NOW);
    assert_eq!(table.pulls(NOW, |key| key == "s/7"), []);
    assert_eq!(table.pulls(NOW, nobody), [(Arc::clone(&consumer), 0, 0)]);
    // One that is asked for stays so, whoever is awaited.
    for place in 1..=6 {
        table.groups.get_mut(&consumer).unwrap().pull.as_mut().unwrap().took(NOW);
        assert_eq!(table.pulls(NOW, |_| true).len(), usize::from(place == 6));
    }
}
