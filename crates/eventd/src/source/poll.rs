//! Polling the event log of a site, by the studio's own client in a worker.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::trouble::told;
use super::window::{Millis, Query, Window};
use crate::config::Settings;
use crate::event::Event;
use crate::queue::{Batch, Queue, QueueError};
use crate::report::board::Board;
use crate::report::metrics::{Metrics, SiteLabel};
use crate::site::Site;
use crate::workers::{CallError, Worker, Workers};

/// Whoever has to be ready before events are appended.
#[async_trait]
pub trait Readers: Send + Sync {
    /// Events of these projects are about to be appended.
    async fn expect(&self, site: &Arc<str>, projects: Vec<i64>) -> Result<(), QueueError>;
}

/// How long a query may take: the client has time limits of its own, but not on all that can hang.
const LIMIT: Duration = Duration::from_secs(300);

/// Polls one site.
pub struct Poller {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The site.
    pub site: Site,
    /// The workers.
    pub workers: Arc<Workers>,
    /// Where events go.
    pub queue: Arc<dyn Queue>,
    /// Whoever has to be ready for them.
    pub readers: Arc<dyn Readers>,
    /// What is going on.
    pub board: Arc<Board>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Wakes it before its time.
    pub wake: Arc<Notify>,
    /// Whether it is to end.
    pub stop: watch::Receiver<bool>,
    /// The first question, where it was asked ahead.
    pub first: Option<First>,
}

/// The first question to a site, asked of another worker than the site's own.
pub struct First(JoinHandle<FirstAnswer>);

/// The answer to it.
enum FirstAnswer {
    /// Of a site that nothing is known of: its latest event.
    Latest(Result<i64, CallError>),
    /// The events after those that are known.
    Page(Answer),
}

/// What the site has answered.
type Answer = Result<Vec<Box<RawValue>>, CallError>;

/// Asks a site, by the client of a worker, for the events above an id and those of ids and ranges that are
/// missing, up to `limit`.
///
/// # Errors
/// The site, or the worker, has failed.
pub async fn ask(
    workers: &Workers,
    worker: &Worker,
    setup: Value,
    above: Option<i64>,
    missing: (Vec<i64>, Vec<(i64, i64)>),
    limit: usize,
) -> Result<Vec<Box<RawValue>>, CallError> {
    let arguments =
        |call: crate::workers::Call| call.arg(setup).arg(above).arg(missing.0).arg(missing.1).arg(limit);
    // JSON in a text: Python's C code makes it in one go.
    let text = workers.call::<String>(worker, "site:poll", arguments, Some(LIMIT)).await?;
    serde_json::from_str(&text)
        .map_err(|error| CallError::never(format!("the worker's answer is not JSON: {error}")))
}

/// Events by id.
type Events = std::collections::BTreeMap<i64, Event>;

/// Milliseconds that only go on: Unix time when it was made, and from then on as long as it really takes.
#[derive(Debug)]
struct Clock {
    unix: Millis,
    since: Instant,
}

impl Clock {
    fn new() -> Clock {
        Clock { unix: jiff::Timestamp::now().as_millisecond().unsigned_abs(), since: Instant::now() }
    }

    fn now(&self) -> Millis {
        self.unix + self.since.elapsed().as_millis() as u64
    }
}

/// After what silence of a site those who watch are told, at the most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Failed connections in a row.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
}

impl Poller {
    fn worker(&self) -> Worker {
        Worker::Plain(format!("site-{}", self.site.name))
    }

    fn setup(&self) -> Value {
        self.settings.setup(&self.site)
    }

    fn label(&self) -> SiteLabel {
        SiteLabel { site: self.site.name.to_string() }
    }

    /// Polls until it is told to stop.
    pub async fn run(mut self) {
        let clock = Clock::new();
        let first = match self.first.take() {
            None => None,
            Some(First(asked)) => tokio::select! {
                answer = self.told_of(asked) => answer.ok(),
                () = stopped(self.stop.clone()) => return,
            },
        };
        let (latest, mut next_page) = match first {
            None => (None, None),
            Some(FirstAnswer::Latest(latest)) => (Some(latest), None),
            Some(FirstAnswer::Page(page)) => {
                self.count_poll();
                (None, Some(page))
            }
        };
        let Some(mut window) = self.begin(&clock, latest).await else { return };
        let mut failures = Failures::default();
        let (mut turn, mut behind, mut odd) = (0, false, false);
        loop {
            let answer = match next_page.take() {
                Some(answer) => Some(answer),
                None => self.ask(&window, turn).await,
            };
            let Some(answer) = answer else { return };
            turn += 1;
            let full = answer.as_ref().is_ok_and(|found| found.len() >= self.settings.batch);
            let events = match answer.and_then(|found| self.events_of(found, &mut odd)) {
                Ok(events) => events,
                Err(error) => {
                    if !self.failed(&mut failures, &error).await {
                        return;
                    }
                    continue;
                }
            };
            self.connected(&mut failures);
            let batch = self.sorted_out(&mut window, events, &clock);
            if full {
                // Behind: the next page at once, while this one is written.
                let asked = async {
                    let latest = self.board.site(&self.site.name).latest;
                    // What was the latest is behind it, and there is more.
                    let passed = latest.is_some_and(|latest| latest <= window.cursor());
                    if !std::mem::replace(&mut behind, true) || passed {
                        self.look_ahead().await;
                    }
                    self.ask(&window, turn).await
                };
                let (appended, next) = tokio::join!(self.append(batch), asked);
                if !appended || next.is_none() {
                    return;
                }
                next_page = next;
                continue;
            }
            if std::mem::take(&mut behind) {
                self.board.note_site(&self.site.name, |note| note.latest = None);
            }
            if !self.append(batch).await {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.fetch_interval) => {}
                () = self.wake.notified() => {}
                () = stopped(self.stop.clone()) => return,
            }
        }
    }

    /// Asks for what is above a window, and missing in it. None where it is to stop.
    async fn ask(&self, window: &Window, turn: usize) -> Option<Answer> {
        let Query { above, ids, ranges } = window.query(turn);
        let (worker, limit) = (self.worker(), self.settings.batch);
        let call = ask(&self.workers, &worker, self.setup(), Some(above), (ids, ranges), limit);
        let answer = tokio::select! {
            answer = self.told_of(call) => answer,
            () = stopped(self.stop.clone()) => return None,
        };
        self.count_poll();
        Some(answer)
    }

    /// Waits for the answer to a question. Where it takes long, those who watch are told: the client says
    /// nothing for a minute.
    async fn told_of<T>(&self, question: impl Future<Output = T>) -> T {
        let patience = self.settings.socket_timeout.map_or(PATIENCE, |time| PATIENCE.min(time / 2));
        let (mut question, since) = (pin!(question), Instant::now());
        if let Ok(answer) = tokio::time::timeout(patience, &mut question).await {
            return answer;
        }
        // After the first failure, the next ones say enough.
        if self.board.site(&self.site.name).error.is_none() {
            tracing::warn!(
                site = &*self.site.name,
                server = self.site.server,
                after = ?patience,
                "the site has taken a question and does not answer; it is waited for"
            );
        }
        self.board.note_site(&self.site.name, |note| note.silent_since = Some(since));
        let answer = question.await;
        self.board.note_site(&self.site.name, |note| note.silent_since = None);
        answer
    }

    fn count_poll(&self) {
        self.metrics.polls.get_or_create(&self.label()).inc();
        self.board.note_site(&self.site.name, |note| note.polls += 1);
    }

    /// Asks the first question ahead, of a worker that is there already, before whatever that is asked next:
    /// the site's own is then started while the first events are run. To be called before [`run`](Self::run).
    pub async fn ask_first(&mut self, worker: Worker) {
        // Where the queue cannot be read, `run` says so.
        let Ok(known) = self.queue.window(&self.site.name).await else { return };
        let (workers, setup, limit) = (Arc::clone(&self.workers), self.setup(), self.settings.batch);
        let mut question = Box::pin(async move {
            let Some(window) = known else {
                let latest = workers.call(&worker, "site:latest", |call| call.arg(setup), Some(LIMIT)).await;
                return FirstAnswer::Latest(latest);
            };
            let Query { above, ids, ranges } = window.query(0);
            FirstAnswer::Page(ask(&workers, &worker, setup, Some(above), (ids, ranges), limit).await)
        });
        // Once it was polled, it is on its way.
        let asked = tokio::select! {
            biased;
            answer = &mut question => tokio::spawn(std::future::ready(answer)),
            () = std::future::ready(()) => tokio::spawn(question),
        };
        self.first = Some(First(asked));
    }

    /// Asks for the site's latest event. None where it is to stop.
    async fn ask_latest(&self) -> Option<Result<i64, CallError>> {
        let (worker, setup) = (self.worker(), self.setup());
        let call = self.workers.call(&worker, "site:latest", |call| call.arg(setup), Some(LIMIT));
        tokio::select! {
            latest = self.told_of(call) => Some(latest),
            () = stopped(self.stop.clone()) => None,
        }
    }

    /// Notes how far the site is, for those who watch.
    async fn look_ahead(&self) {
        // Where the site fails, the next page says so.
        let latest = self.ask_latest().await.and_then(Result::ok);
        self.board.note_site(&self.site.name, |note| note.latest = latest);
    }

    /// Where to begin: where the queue is, else at the site's latest event, which may be known already.
    async fn begin(&mut self, clock: &Clock, mut asked: Option<Result<i64, CallError>>) -> Option<Window> {
        let known = match self.queue.window(&self.site.name).await {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(%error, "the site is not polled");
                return None;
            }
        };
        let patience = self.settings.missing_timeout.as_millis() as u64;
        if let Some(mut window) = known {
            window.not_later_than(clock.now() + patience);
            tracing::info!(
                site = &*self.site.name,
                event = window.cursor(),
                missing = window.missing(),
                "polling goes on"
            );
            return Some(window);
        }
        let mut failures = Failures::default();
        loop {
            let latest = match asked.take() {
                Some(latest) => latest,
                None => self.ask_latest().await?,
            };
            match latest {
                Ok(latest) => {
                    self.connected(&mut failures);
                    tracing::info!(
                        site = &*self.site.name,
                        event = latest,
                        "polling begins after the site's latest event"
                    );
                    let window = Window::new(latest);
                    let batch = Batch {
                        site: Arc::clone(&self.site.name),
                        events: Vec::new(),
                        window: window.clone(),
                    };
                    return self.append(Some(batch)).await.then_some(window);
                }
                Err(error) => {
                    if !self.failed(&mut failures, &error).await {
                        return None;
                    }
                }
            }
        }
    }

    /// The events of an answer by id. What is none is left out, which is told once; where there is nothing
    /// else, it is not the site that has answered.
    fn events_of(&self, found: Vec<Box<RawValue>>, odd: &mut bool) -> Result<Events, CallError> {
        let (mut events, mut wrong) = (Events::new(), None);
        for body in found {
            match Event::new(&self.site.name, body) {
                Ok(event) => drop(events.insert(event.id, event)),
                Err(error) => wrong = Some(error),
            }
        }
        let before = std::mem::replace(odd, wrong.is_some());
        let Some(error) = wrong else { return Ok(events) };
        if events.is_empty() {
            return Err(CallError::not_the_sites(format!("what came has no event in it: {error}")));
        }
        if !before {
            let site = &*self.site.name;
            tracing::error!(site, %error, "the site sent something that is not an event: it is left out");
        }
        Ok(events)
    }

    /// What an answer has in it that is new, if anything.
    fn sorted_out(&self, window: &mut Window, mut events: Events, clock: &Clock) -> Option<Batch> {
        let site = &self.site.name;
        let now = clock.now();
        let mut after = window.clone();
        let patience = self.settings.missing_timeout.as_millis() as u64;
        let taken = after.take(events.keys().copied(), now + patience);
        for (first, last) in &taken.missed {
            tracing::info!(
                site = &**site,
                first,
                last,
                "event ids are missing; they are asked for until they come or expire"
            );
        }
        for (first, last) in after.expire(now) {
            let count = (last - first + 1).unsigned_abs();
            tracing::warn!(site = &**site, first, last, "missing event ids have not come and are given up");
            self.metrics.expired.get_or_create(&self.label()).inc_by(count);
        }
        self.metrics.missing.get_or_create(&self.label()).set(after.missing().cast_signed());
        if after == *window {
            return None;
        }
        let mut new = Vec::with_capacity(taken.new.len());
        for (id, late) in taken.new {
            if let Some(mut event) = events.remove(&id) {
                event.late = late;
                if late {
                    self.metrics.late.get_or_create(&self.label()).inc();
                    tracing::info!(site = &**site, event = id, "an event that was missing has come");
                }
                new.push(event);
            }
        }
        self.metrics.events.get_or_create(&self.label()).inc_by(new.len() as u64);
        if let (Some(first), Some(last)) = (new.first(), new.last()) {
            tracing::debug!(
                site = &**site,
                first = first.id,
                last = last.id,
                count = new.len(),
                "events came"
            );
        }
        *window = after.clone();
        Some(Batch { site: Arc::clone(site), events: new, window: after })
    }

    /// Appends, as often as it takes: the disk may be full. False where it is to stop.
    async fn append(&self, batch: Option<Batch>) -> bool {
        let Some(batch) = batch else { return true };
        let projects: std::collections::BTreeSet<i64> =
            batch.events.iter().filter_map(|event| event.project).collect();
        let mut told = false;
        loop {
            // It may ask the site.
            let ready = tokio::select! {
                ready = self.readers.expect(&batch.site, projects.iter().copied().collect()) => ready,
                () = stopped(self.stop.clone()) => return false,
            };
            let copy = Batch {
                site: Arc::clone(&batch.site),
                events: batch.events.clone(),
                window: batch.window.clone(),
            };
            let appended = match ready {
                Ok(()) => self.queue.append(copy).await.map(drop),
                Err(error) => Err(error),
            };
            match appended {
                Ok(()) => {
                    if told {
                        tracing::info!(site = &*batch.site, "events can be written again");
                        self.board.note_site(&batch.site, |note| note.error = None);
                    }
                    return true;
                }
                Err(QueueError::Closed) => return false,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(%error, "events cannot be written; tried again each second");
                    }
                    let reason = format!("events cannot be written: {error}");
                    self.board.note_site(&batch.site, |note| note.error = Some(reason));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = stopped(self.stop.clone()) => return false,
            }
        }
    }

    fn connected(&self, failures: &mut Failures) {
        if failures.count > 0 {
            tracing::info!(site = &*self.site.name, "the site answers again");
        }
        *failures = Failures::default();
        self.board.note_site(&self.site.name, |note| (note.failures, note.error) = (0, None));
    }

    /// Tells of a failure, as an error (which is mailed) each time that there were so many, and waits. False
    /// where it is to stop.
    async fn failed(&self, failures: &mut Failures, error: &CallError) -> bool {
        failures.count += 1;
        self.metrics.poll_failures.get_or_create(&self.label()).inc();
        let reason = told(error);
        self.board.note_site(&self.site.name, |note| {
            note.failures = failures.count;
            note.error = Some(format!("does not answer: {reason}"));
        });
        let (site, server, most) = (&*self.site.name, &self.site.server, self.settings.max_retries);
        let attempt = (failures.count - 1) % most + 1;
        let pause = if attempt == most {
            tracing::error!(site, server, attempt, of = most, reason, "the site cannot be asked for events");
            self.settings.retry_sleep
        } else {
            tracing::warn!(site, server, attempt, of = most, reason, "the site cannot be asked for events");
            // shotgunEvents tries again at once, which a site that is overloaded does not want.
            Duration::from_secs(1).min(self.settings.retry_sleep)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stopped(self.stop.clone()) => false,
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Whoever could say so is gone: it is the end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
