//! The queue that the daemon knows, by way of the server.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_trait::async_trait;
use tokio::sync::Notify;

use super::consumers::Wanted;
use super::table::Opening;
use super::{Inner, NatsQueue, lease};
use crate::event::Event;
use crate::lanes::parts;
use crate::queue::{Batch, DeadLetter, Lane, LaneName, Message, Queue, QueueError, State, Verdict};
use crate::source::window::Window;

/// How long what is on its way is waited for at the end.
const END: Duration = Duration::from_secs(10);

/// Tells the table that lanes are read, as long as it lives.
struct Reading<'a> {
    inner: &'a Inner,
    lanes: &'a [LaneName],
    reader: Arc<Notify>,
}

impl<'a> Reading<'a> {
    fn new(inner: &'a Inner, lanes: &'a [LaneName], reader: &Arc<Notify>) -> Reading<'a> {
        if inner.table().reads(lanes, reader, true, lease::now()) {
            inner.prod.notify_one();
        }
        Reading { inner, lanes, reader: Arc::clone(reader) }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.inner.table().reads(self.lanes, &self.reader, false, lease::now());
    }
}

impl NatsQueue {
    /// Has consumers of these projects be there: before their first event is published.
    ///
    /// # Errors
    /// The server refuses one.
    pub async fn expect(&self, site: &Arc<str>, projects: &[i64]) -> Result<(), QueueError> {
        self.inner.expect(site, projects).await
    }

    /// Has polling begin after an id, for a stream that was lost.
    ///
    /// # Errors
    /// The stream has events of the site still.
    pub async fn begin_after(&self, site: &Arc<str>, id: i64) -> Result<(), QueueError> {
        self.inner.begin_after(site, id).await
    }
}

#[async_trait]
impl Queue for NatsQueue {
    async fn window(&self, site: &str) -> Result<Option<Window>, QueueError> {
        self.inner.window(site).await
    }

    async fn append(&self, batch: Batch) -> Result<usize, QueueError> {
        self.inner.append(batch).await
    }

    async fn open(&self, lanes: Vec<Lane>) -> Result<(), QueueError> {
        let inner = &self.inner;
        for lane in lanes {
            let (site, key, _) = parts(&lane.name);
            let (wanted, key) = match lane.project {
                Some(project) => (Wanted::project(&lane.site, project), format!("{site}/{project}")),
                None => {
                    let wanted = Wanted::plugin(&lane.site, key);
                    let key = if inner.together { format!("{site}/") } else { wanted.name.clone() };
                    (wanted, key)
                }
            };
            if lane.project.is_none() || !inner.consumers.is_listed(&wanted.name) {
                let made = inner.consumers.ensure(&inner.server, &inner.settings, &wanted).await;
                made.map_err(|error| inner.refused("a consumer", error.to_string()))?;
            }
            let rank = inner.rank(&key);
            let begins = inner.begins(rank);
            let stamp = jiff::Timestamp::now().as_nanosecond();
            let stamp = i64::try_from(stamp).unwrap_or(i64::MAX);
            let opening = Opening { key, rank, begins, stamp };
            inner.table().open(&Arc::from(wanted.name), &lane, opening);
        }
        inner.prod.notify_one();
        Ok(())
    }

    async fn close(&self, lanes: &[LaneName]) -> Result<(), QueueError> {
        for lane in lanes {
            let finished = self.inner.table().close(lane);
            if let Some(finished) = finished {
                self.inner.acknowledge(finished.consumer, finished.reply, finished.recorded);
            }
        }
        Ok(())
    }

    async fn next(&self, lanes: &[LaneName]) -> Result<Message, QueueError> {
        let inner = &*self.inner;
        let reader = Arc::new(Notify::new());
        let reading = Reading::new(inner, lanes, &reader);
        loop {
            if *inner.closed.borrow() {
                return Err(QueueError::Closed);
            }
            let now = lease::now();
            let epoch = inner.lease.holds(now);
            let given = inner.table().give(lanes, epoch, now);
            if let Some(message) = given {
                // Not before: whoever is given something reads on.
                drop(reading);
                inner.table().engage(&message, lanes);
                return Ok(message);
            }
            tokio::select! {
                () = reader.notified() => {}
                () = inner.closed() => {}
            }
        }
    }

    async fn begin(&self, message: &Message) -> Result<(), QueueError> {
        self.inner.begin(message).await
    }

    async fn progress(&self, _message: &Message) -> Result<(), QueueError> {
        Ok(())
    }

    async fn revoked(&self, message: &Message) {
        let revocation = self.inner.table().revocation(message);
        if let Some(mut revocation) = revocation {
            // Whoever could say so is gone: so is the message.
            let _ = revocation.wait_for(|revoked| *revoked).await;
        }
    }

    async fn give_back(&self, message: &Message, reason: &str) {
        if let Err(error) = self.inner.give_back(message, reason).await {
            tracing::warn!(
                %error, event = message.event.id,
                "an event cannot be given back; it comes again by itself"
            );
        }
    }

    async fn rest(&self) {
        self.inner.table().resting = true;
        self.inner.resting.send_replace(true);
        let unbegun = self.inner.table().unbegun();
        for reply in unbegun {
            self.inner.say(reply, AckKind::Nak(None));
        }
        self.inner.say_beat().await;
    }

    async fn settle(&self, message: &Message, verdict: Verdict) -> Result<(), QueueError> {
        self.inner.settle(message, verdict).await
    }

    async fn resume(&self, lane: &LaneName, event: Option<i64>, skip: bool) -> Result<bool, QueueError> {
        let resumed = self.inner.resume(lane, event, skip).await?;
        self.inner.last.forget();
        Ok(resumed)
    }

    async fn pause(&self, lane: &LaneName, paused: bool) -> Result<(), QueueError> {
        self.inner.pause(lane, paused).await?;
        self.inner.last.forget();
        Ok(())
    }

    async fn replay(&self, event: Event, lanes: &[LaneName]) -> Result<(), QueueError> {
        self.inner.replay(&event, lanes).await
    }

    async fn find(&self, site: &str, event: i64) -> Result<Option<Event>, QueueError> {
        self.inner.find(site, event).await
    }

    async fn dead(&self, most: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.inner.dead(most).await
    }

    async fn forget_dead(&self, event: i64, lane: Option<&LaneName>) -> Result<Vec<LaneName>, QueueError> {
        self.inner.forget_dead(event, lane).await
    }

    async fn projects(&self) -> Result<Vec<(Arc<str>, i64)>, QueueError> {
        Ok(self.inner.projects().await)
    }

    async fn state(&self) -> Result<State, QueueError> {
        self.inner.state().await
    }

    async fn shut_down(&self) -> Result<(), QueueError> {
        let mut acks = std::mem::take(&mut *self.inner.acks());
        let all = async { while acks.join_next().await.is_some() {} };
        if tokio::time::timeout(END, all).await.is_err() {
            tracing::warn!("acknowledgements were not heard by the server: their events come again");
        }
        self.inner.closed.send_replace(true);
        self.inner.table().wake_all();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        // What was said last is on its way.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.inner.server.client.flush()).await;
        Ok(())
    }
}
