//! Runs the lanes of one worker: event by event, plugin by plugin, callback by callback.

mod batch;
mod loading;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::batch::{Item, MOST};
use self::loading::{Incoming, loaded};
use super::table::Loader;
use super::{Orders, Shared, lane_name};
use crate::delivery::{Answer, Outcome, Policy};
use crate::event::Fields;
use crate::plugins::{Callback, Listing, Plugin, PluginFile, Table};
use crate::queue::{Failure, LaneName, Message, Notes, QueueError, Verdict};
use crate::report::timing::Timed;
use crate::site::Site;
use crate::workers::{CallError, Worker};

/// How long until plugins are loaded again that could not be as their worker or the site was away.
const AGAIN: Duration = Duration::from_secs(5);

/// Runs the lanes of one worker.
pub(super) struct Runner {
    shared: Shared,
    site: Site,
    worker: Worker,
    project: Option<i64>,
    /// The one plugin that it is for, where each has a lane of its own.
    only: Option<String>,
    orders: watch::Receiver<Orders>,
    loader: Loader,
    generation: u64,
    /// The next generation, while it is being loaded.
    incoming: Option<JoinHandle<Incoming>>,
    /// The files as they were loaded.
    files: Vec<PluginFile>,
    table: Table,
    /// Why nothing is loaded.
    load_error: Option<String>,
    /// The lanes that can be given events, in the order of the plugins.
    ready: Vec<LaneName>,
    /// Lanes whose event waits for the worker, which was told.
    waiting: HashSet<LaneName>,
    /// Where the worker notes how far it is with events that it was given together.
    notes: Option<Arc<Notes>>,
    begun: bool,
}

impl Runner {
    pub(super) fn new(
        shared: Shared,
        site: Site,
        worker: Worker,
        project: Option<i64>,
        only: Option<String>,
        orders: watch::Receiver<Orders>,
    ) -> Runner {
        let notes = shared.queue.notes(&worker.name()).map(Arc::new);
        Runner {
            shared,
            site,
            worker,
            project,
            only,
            orders,
            loader: Loader::default(),
            generation: 0,
            incoming: None,
            files: Vec::new(),
            table: Table::default(),
            load_error: None,
            ready: Vec::new(),
            waiting: HashSet::new(),
            notes,
            begun: false,
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        // A project's worker is started for its first event, not for nothing.
        if self.project.is_none() {
            self.load().await;
        } else {
            self.know_without_loading().await;
        }
        loop {
            if self.orders.borrow().stop {
                return;
            }
            let retry = self.load_error.is_some() || self.table.wants_another_try();
            let queue = Arc::clone(&self.shared.queue);
            let incoming = self.incoming.as_mut();
            tokio::select! {
                biased;
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if !self.orders.borrow().stop && self.is_stale() {
                        self.follow().await;
                    }
                }
                loaded = loaded(incoming) => self.take_over(loaded).await,
                taken = queue.take(&self.ready, MOST), if !self.ready.is_empty() => match taken {
                    Ok(messages) => self.handle_all(messages).await,
                    Err(QueueError::Closed) => return,
                    Err(error) => {
                        tracing::error!(%error, "the queue gives no events");
                        tokio::time::sleep(AGAIN).await;
                    }
                },
                () = tokio::time::sleep(AGAIN), if retry => self.load().await,
            }
        }
    }

    fn wanted(&self) -> (Vec<PluginFile>, u64) {
        let orders = self.orders.borrow();
        let listing: &Arc<Listing> = if self.project.is_some() { &orders.project } else { &orders.plain };
        let mine = |file: &&PluginFile| self.only.as_ref().is_none_or(|key| *key == file.key);
        (listing.files.iter().filter(mine).cloned().collect(), orders.generation)
    }

    fn is_stale(&self) -> bool {
        let (files, generation) = self.wanted();
        files != self.files || generation != self.generation
    }

    fn lane(&self, file: &PluginFile) -> LaneName {
        lane_name(&self.site.name, &file.key, self.project)
    }

    /// Runs one event of one plugin in a call of its own.
    async fn handle(&mut self, item: &Item) {
        let policy = self.policy(&item.plugin);
        let mut raised = false;
        if let Some(notes) = &self.notes {
            // For the person who reads the log of the next start, where this one is broken off.
            let _ = notes.begin_alone(&item.message);
        }
        let verdict = if policy.once && item.message.begun {
            let reason =
                "the daemon ended while it ran; it may have run, and is not to be run twice".to_owned();
            Verdict::Dead(Failure { reason, traceback: None })
        } else {
            if policy.once && !self.insist(Step::Begin(&item.message)).await {
                return;
            }
            let outcomes = self.call_all(item).await;
            raised = has_raised(&outcomes);
            policy.verdict(item.message.attempts, &outcomes)
        };
        self.settle(item, verdict, raised).await;
        self.rest(0);
    }

    /// Nothing is running any more.
    fn rest(&self, done: usize) {
        if let Some(notes) = &self.notes {
            notes.rest(done);
        }
    }

    /// Tells what has become of an event, and writes it down.
    async fn settle(&mut self, item: &Item, verdict: Verdict, raised: bool) {
        self.told(&item.plugin, &item.message, &verdict, raised);
        self.insist(Step::Settle(&item.message, verdict)).await;
    }

    /// Its plugin is not loaded: it waits, for another host as well.
    async fn give_back(&self, message: &Message) {
        let reason = self.load_error.as_deref().unwrap_or("the plugin is not loaded");
        self.shared.queue.give_back(message, reason).await;
    }

    fn policy(&self, plugin: &Plugin) -> Policy {
        let settings = &self.shared.settings;
        let once = settings.once.iter().any(|name| *name == plugin.name || *name == plugin.key);
        Policy { attempts: settings.attempts, retry_after: settings.retry_after, once }
    }

    /// The places of the callbacks that want the event.
    fn wanted_callbacks(&self, plugin: &Plugin, fields: &Fields) -> Vec<usize> {
        if self.shared.settings.ignore_own && self.is_own(plugin, fields) {
            return Vec::new();
        }
        let subject = fields.subject();
        let callbacks = plugin.callbacks.iter().enumerate();
        callbacks
            .filter(|(_, callback)| callback.opaque || callback.filter.wants(&subject))
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether the event was caused by a script of the daemon's: its own user, or one that a plugin has
    /// registered with.
    fn is_own(&self, plugin: &Plugin, fields: &Fields) -> bool {
        let Some(user) = fields.user.as_ref().filter(|user| user.kind.as_deref() == Some("ApiUser")) else {
            return false;
        };
        let scripts = self.table.iter().flat_map(|plugin| &plugin.scripts).chain(&plugin.scripts);
        let mut scripts = scripts.map(String::as_str).chain([self.site.script.as_str()]);
        user.name.as_deref().is_some_and(|name| scripts.any(|script| script == name))
    }

    /// Calls the callbacks one after the other, up to one that stops the plugin or has to be tried again.
    async fn call_all(&mut self, item: &Item) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let lane = &item.message.lane;
        for (index, callback) in item.callbacks() {
            self.shared.board.begins(lane, item.message.event.id, &callback.name);
            let called = self.call(&item.plugin, index, &item.message).await;
            self.shared.board.ended(lane);
            self.measure(item, callback, &called);
            let lost = called.as_ref().is_err_and(|error| error.lost);
            let outcome = Outcome::new(&callback.name, called, callback.stop_on_error);
            let last = matches!(outcome, Outcome::Stop(_) | Outcome::NeverRan(_) | Outcome::MayHaveRun(..));
            outcomes.push(outcome);
            if lost {
                // What the others had loaded is gone with it.
                self.load().await;
            }
            if last {
                break;
            }
        }
        outcomes
    }

    async fn call(&mut self, plugin: &Plugin, index: usize, message: &Message) -> Result<Answer, CallError> {
        let limit = self.shared.settings.callback_timeout;
        for second in [false, true] {
            let stamp = self.files.iter().find(|file| file.key == plugin.key).map(|file| file.stamp.clone());
            let stamp = stamp.unwrap_or_default();
            let loads = self.loads();
            let arguments = |call: crate::workers::Call| {
                call.arg(&plugin.key).arg(stamp).arg(index).arg(&message.event.body).arg(&loads)
            };
            let revoked = self.shared.queue.revoked(message);
            let workers = &self.shared.workers;
            let answer =
                workers.call_unless::<Answer>(&self.worker, "plugins:run", arguments, limit, revoked).await?;
            if !answer.stale || second {
                return if answer.stale { Err(self.not_loaded(plugin)) } else { Ok(answer) };
            }
            // The worker was replaced between two calls, for a new core or for its memory.
            self.load().await;
        }
        Err(self.not_loaded(plugin))
    }

    fn not_loaded(&self, plugin: &Plugin) -> CallError {
        let reason = self.load_error.clone().unwrap_or_else(|| "the worker has not loaded it".to_owned());
        CallError::never(format!("plugin '{}' cannot be called: {reason}", plugin.name))
    }

    fn measure(&self, item: &Item, callback: &Callback, called: &Result<Answer, CallError>) {
        let (plugin, fields) = (&item.plugin, &item.fields);
        let (outcome, took) = match called {
            Ok(answer) if answer.skipped => return,
            Ok(answer) => {
                let took = Duration::try_from_secs_f64(answer.seconds).unwrap_or_default();
                let failed = answer.error.is_some();
                if let Some(timing) = &self.shared.timing {
                    let name = format!("{}.{}", plugin.name, callback.name);
                    let (event, created) = (fields.id, fields.created());
                    timing.write(Timed {
                        event,
                        created,
                        callback: &name,
                        begun: answer.begun,
                        took,
                        failed,
                    });
                }
                (if failed { "raised" } else { "done" }, Some(took))
            }
            Err(error) if error.delivery == sgtk_pool::Delivery::NeverRan => ("never_ran", None),
            Err(_) => ("may_have_run", None),
        };
        self.shared.metrics.called(&plugin.name, self.project, outcome, took);
    }

    /// Tells what has become of an event, where it was not simply done. What a callback has raised its own
    /// logger has told as an error, and mailed: that its plugin has stopped is no second one.
    fn told(&mut self, plugin: &Plugin, message: &Message, verdict: &Verdict, raised: bool) {
        if let Verdict::Retry { failure, counts: false, .. } = verdict {
            if self.waiting.insert(message.lane.clone()) {
                let (event, plugin, project) = (message.event.id, &plugin.name, self.project);
                let reason = &failure.reason;
                tracing::warn!(
                    event,
                    plugin,
                    project,
                    reason,
                    "the worker cannot be had; the event waits for it"
                );
            }
        } else if self.waiting.remove(&message.lane) {
            let (event, plugin, project) = (message.event.id, &plugin.name, self.project);
            tracing::info!(event, plugin, project, "the worker is there again");
        }
        let label = || crate::report::metrics::LaneLabel {
            plugin: plugin.name.clone(),
            project: self.project.map_or_else(String::new, |id| id.to_string()),
        };
        let (event, plugin_name, project) = (message.event.id, &plugin.name, self.project);
        match verdict {
            Verdict::Done if message.event.late => {
                tracing::info!(event, plugin = plugin_name, project, "an event that came late was processed");
            }
            Verdict::Done | Verdict::Passed | Verdict::Retry { counts: false, .. } => {}
            Verdict::Retry { after, failure, .. } => {
                self.shared.metrics.retries.get_or_create(&label()).inc();
                let attempt = message.attempts + 1;
                tracing::warn!(
                    event,
                    plugin = plugin_name,
                    project,
                    attempt,
                    ?after,
                    reason = failure.reason,
                    "the event is tried again"
                );
            }
            Verdict::Dead(failure) => {
                self.shared.metrics.dead.get_or_create(&label()).inc();
                tracing::warn!(
                    event,
                    plugin = plugin_name,
                    project,
                    reason = failure.reason,
                    "the event failed and is kept as a dead letter"
                );
            }
            Verdict::Park(failure) => {
                const WORDS: &str = "the plugin has stopped at this event; it goes on when its file changes, \
                                     when the daemon is restarted, or by `sgtk-eventd retry` or `skip`";
                let reason = &failure.reason;
                if raised {
                    tracing::warn!(event, plugin = plugin_name, project, reason, "{WORDS}");
                } else {
                    tracing::error!(event, plugin = plugin_name, project, reason, "{WORDS}");
                }
            }
        }
    }

    /// Settles the message, or writes down that it is begun; where the disk is full, as often as it takes.
    /// False where the queue is closed.
    async fn insist(&self, step: Step<'_>) -> bool {
        let mut told = false;
        loop {
            let (queue, event) = (&self.shared.queue, step.event());
            let written = match &step {
                Step::Begin(message) => queue.begin(message).await,
                Step::Settle(message, verdict) => queue.settle(message, verdict.clone()).await,
                Step::SettleAll(messages, verdict) => queue.settle_all(messages, verdict.clone()).await,
            };
            match written {
                Ok(()) => return true,
                // By hand, meanwhile: a person has skipped it.
                Err(QueueError::NotInFlight { .. } | QueueError::Closed) => return false,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            %error, event,
                            "what has become of an event cannot be written; tried again each second"
                        );
                    }
                    let mut orders = self.orders.clone();
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_secs(1)) => {}
                        _ = orders.wait_for(|orders| orders.stop) => return false,
                    }
                }
            }
        }
    }
}

/// What is written down of messages.
enum Step<'a> {
    Begin(&'a Message),
    Settle(&'a Message, Verdict),
    SettleAll(&'a [Message], Verdict),
}

impl Step<'_> {
    fn event(&self) -> Option<i64> {
        match self {
            Step::Begin(message) | Step::Settle(message, _) => Some(message.event.id),
            Step::SettleAll(messages, _) => messages.first().map(|message| message.event.id),
        }
    }
}

/// Whether a callback has raised, and so has told it.
fn has_raised(outcomes: &[Outcome]) -> bool {
    outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Stop(_)))
}
