//! Several events in one call of the worker: as many as it can do in a moment.
//!
//! The worker notes how far it is where a crash cannot take it away ([`Notes`]), so that what is run again
//! after one is what was running, as with a call for each event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Runner, Step, has_raised};
use crate::delivery::{Answer, Outcome};
use crate::event::Fields;
use crate::lanes::parts;
use crate::plugins::{Callback, Plugin};
use crate::queue::{Message, Notes, Verdict};
use crate::workers::CallError;

/// How many events are taken at once.
pub(super) const MOST: usize = Notes::MOST;

/// After how long the worker begins no further event of a call.
const BUDGET: Duration = Duration::from_millis(50);

/// A message with what is to be called for it.
pub(super) struct Item {
    pub(super) message: Message,
    pub(super) plugin: Arc<Plugin>,
    pub(super) fields: Fields,
    /// The places of the callbacks that want it.
    wanted: Vec<usize>,
}

impl Item {
    pub(super) fn callbacks(&self) -> impl Iterator<Item = (usize, &Callback)> {
        self.wanted.iter().filter_map(|index| Some((*index, self.plugin.callbacks.get(*index)?)))
    }
}

/// What the worker says of several events.
#[derive(Debug, Deserialize)]
struct Answers {
    /// It has not loaded a plugin as it is now, and has run nothing.
    #[serde(default)]
    stale: bool,
    /// Of each that was done, for each callback: when it began and how long it took; nothing where its own
    /// filter did not let the event through.
    #[serde(default)]
    done: Vec<Vec<Option<(f64, f64)>>>,
    /// Of the one after these, where a callback of it raised.
    #[serde(default)]
    failed: Option<Vec<Answer>>,
}

impl Runner {
    /// Runs events in their order, as many of them as can be run together; the others are taken again.
    pub(super) async fn handle_all(&mut self, messages: Vec<Message>) {
        if !self.begun {
            // The first event of a project.
            self.load().await;
        }
        let Some(first) = messages.first() else { return };
        let (_, key, _) = parts(&first.lane);
        if !self.ready.contains(&first.lane) || self.table.active(key).is_none() {
            self.give_back(first).await;
            return;
        }
        let (messages, items) = self.plan(messages);
        let Some(first) = items.first() else {
            self.insist(Step::SettleAll(&messages, Verdict::Passed)).await;
            return;
        };
        let notes = self.notes.clone().filter(|notes| {
            let all: Vec<_> = items.iter().map(|item| &item.message).collect();
            // Where the disk is full they are run one by one.
            items.len() > 1 && !self.policy(&first.plugin).once && notes.begin(&all).is_ok()
        });
        let Some(notes) = notes else {
            self.insist(Step::SettleAll(before(&messages, Some(first)), Verdict::Passed)).await;
            self.handle(first).await;
            return;
        };
        self.shared.board.begins_all(Arc::clone(&notes), items.iter().map(named).collect());
        let called = self.call_batch(&items, &notes).await;
        self.shared.board.ended_all(&notes);
        match called {
            Ok(answers) if answers.stale => {
                self.load().await;
                self.insist(Step::SettleAll(before(&messages, Some(first)), Verdict::Passed)).await;
                // Alone: where it is stale again, that is told.
                self.handle(first).await;
            }
            Ok(answers) => self.take_answers(&messages, &items, answers).await,
            Err(error) => self.take_loss(&messages, &items, &notes, error).await,
        }
    }

    /// What is to be called for messages: for as many of them as can be run together, of which these are
    /// those with callbacks.
    fn plan(&self, mut messages: Vec<Message>) -> (Vec<Message>, Vec<Item>) {
        let mut items: Vec<Item> = Vec::new();
        let mut count = 0;
        for message in &messages {
            let (_, key, _) = parts(&message.lane);
            let Some(plugin) = self.table.active(key).cloned() else { break };
            let fields = message.event.fields();
            let wanted = self.wanted_callbacks(&plugin, &fields);
            if !wanted.is_empty() {
                // What must not run twice is run alone: that it was begun is written down first.
                let once = self.policy(&plugin).once;
                if once && !items.is_empty() {
                    break;
                }
                items.push(Item { message: message.clone(), plugin, fields, wanted });
                if once {
                    break;
                }
            }
            count += 1;
        }
        if items.last().is_some_and(|last| self.policy(&last.plugin).once) {
            count += 1;
        }
        messages.truncate(count);
        (messages, items)
    }

    async fn call_batch(&self, items: &[Item], notes: &Notes) -> Result<Answers, CallError> {
        let mut stamps: BTreeMap<&str, &str> = BTreeMap::new();
        let mut events: Vec<&RawValue> = Vec::new();
        let mut places: BTreeMap<i64, usize> = BTreeMap::new();
        let mut what: Vec<(usize, &str, &[usize])> = Vec::new();
        for item in items {
            let key = item.plugin.key.as_str();
            let file = self.files.iter().find(|file| file.key == key);
            stamps.insert(key, file.map_or("", |file| &file.stamp));
            let place = *places.entry(item.message.seq).or_insert_with(|| {
                events.push(&item.message.event.body);
                events.len() - 1
            });
            what.push((place, key, &item.wanted));
        }
        let path = notes.path().to_string_lossy();
        let arguments = |call: crate::workers::Call| {
            call.arg(&path).arg(BUDGET.as_secs_f64()).arg(&stamps).arg(&events).arg(&what).arg(self.loads())
        };
        // A callback has its full time even where it is the last that is begun.
        let limit = self.shared.settings.callback_timeout.map(|limit| limit + BUDGET);
        self.shared.workers.call(&self.worker, "plugins:run_all", arguments, limit).await
    }

    async fn take_answers(&mut self, messages: &[Message], items: &[Item], answers: Answers) {
        for (item, times) in items.iter().zip(&answers.done) {
            for ((_, callback), time) in item.callbacks().zip(times) {
                if let Some((begun, seconds)) = *time {
                    let answer = Answer { begun, seconds, ..Answer::default() };
                    self.measure(item, callback, &Ok(answer));
                }
            }
        }
        self.done(messages, items, answers.done.len()).await;
        let (Some(item), Some(failed)) = (items.get(answers.done.len()), answers.failed) else { return };
        let mut outcomes = Vec::new();
        for ((_, callback), answer) in item.callbacks().zip(failed) {
            let called = Ok(answer);
            self.measure(item, callback, &called);
            outcomes.push(Outcome::new(&callback.name, called, callback.stop_on_error));
        }
        let verdict = self.policy(&item.plugin).verdict(item.message.attempts, &outcomes);
        self.settle(item, verdict, has_raised(&outcomes)).await;
        self.rest(answers.done.len());
    }

    /// There is no answer: the worker's notes say how far it was.
    async fn take_loss(&mut self, messages: &[Message], items: &[Item], notes: &Notes, error: CallError) {
        let progress = notes.end();
        let lost = error.lost;
        self.done(messages, items, progress.done).await;
        let never = error.delivery == sgtk_pool::Delivery::NeverRan;
        if !lost && !never {
            // The daemon's own code in the worker has raised, not a callback: alone it is told what.
            if let Some(item) = items.get(progress.done) {
                self.handle(item).await;
            }
            return;
        }
        if let Some(item) = items.get(progress.done).filter(|_| never || progress.begun > progress.done) {
            let callbacks: Vec<_> = item.callbacks().map(|(_, callback)| callback).collect();
            let at = if never { 0 } else { progress.callback.min(callbacks.len().saturating_sub(1)) };
            let mut outcomes = vec![Outcome::Done; at];
            if let Some(callback) = callbacks.get(at) {
                let called = Err(error);
                self.measure(item, callback, &called);
                outcomes.push(Outcome::new(&callback.name, called, callback.stop_on_error));
            }
            let verdict = self.policy(&item.plugin).verdict(item.message.attempts, &outcomes);
            self.settle(item, verdict, false).await;
            self.rest(progress.done);
        }
        if lost {
            // What the others had loaded is gone with it.
            self.load().await;
        }
    }

    /// Settles the first `count` items, and the messages before the next one.
    async fn done(&mut self, messages: &[Message], items: &[Item], count: usize) {
        for item in items.iter().take(count) {
            if item.message.event.late || !self.waiting.is_empty() {
                self.told(&item.plugin, &item.message, &Verdict::Done, false);
            }
        }
        let verdict = if count == 0 { Verdict::Passed } else { Verdict::Done };
        self.insist(Step::SettleAll(before(messages, items.get(count)), verdict)).await;
    }
}

/// The messages before an item's, or all.
fn before<'a>(messages: &'a [Message], item: Option<&Item>) -> &'a [Message] {
    let is_its =
        |message: &Message, item: &Item| message.seq == item.message.seq && message.lane == item.message.lane;
    let end = item.and_then(|item| messages.iter().position(|message| is_its(message, item)));
    messages.get(..end.unwrap_or(messages.len())).unwrap_or_default()
}

/// What the board says while it runs.
fn named(item: &Item) -> (crate::queue::LaneName, i64, Vec<String>) {
    let callbacks = item.callbacks().map(|(_, callback)| callback.name.clone()).collect();
    (item.message.lane.clone(), item.message.event.id, callbacks)
}
