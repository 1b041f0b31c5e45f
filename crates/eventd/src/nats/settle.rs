//! From verdicts to acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use serde_json::json;
use sgtk_config::keys::redacted;

use super::error::told;
use super::record::Record;
use super::{Inner, LIMIT, names};
use crate::queue::{Failure, LaneName, Message, QueueError, Verdict};

/// Until when a consumer that is parked rests: forever.
const FOREVER: &str = "2200-01-01T00:00:00Z";

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn not_in_flight(message: &Message) -> QueueError {
    QueueError::NotInFlight { lane: message.lane.to_string(), event: message.event.id }
}

impl Inner {
    pub(super) async fn settle(
        self: &Arc<Self>,
        message: &Message,
        verdict: Verdict,
    ) -> Result<(), QueueError> {
        let revoked = {
            let mut table = self.table();
            let (_, group) = table.at(message).ok_or_else(|| not_in_flight(message))?;
            group.current.as_ref().is_some_and(super::table::Current::is_revoked)
        };
        match verdict {
            Verdict::Done | Verdict::Passed => self.lane_done(message),
            // Another host has it: what it says counts.
            _ if revoked => {
                self.table().release(message);
            }
            Verdict::Dead(failure) => {
                let attempts = message.attempts + 1;
                self.dead_letter(&message.lane, &message.event, message.seq, attempts, failure).await?;
                self.lane_done(message);
            }
            Verdict::Retry { after, failure, counts } => self.retry(message, after, failure, counts).await?,
            Verdict::Park(failure) => self.park(message, failure, true).await?,
        }
        Ok(())
    }

    fn lane_done(self: &Arc<Self>, message: &Message) {
        let finished = self.table().lane_done(message);
        if let Some(finished) = finished {
            self.acknowledge(finished.consumer, finished.reply, finished.recorded);
        }
    }

    /// Nobody here can run it now.
    pub(super) async fn give_back(&self, message: &Message, reason: &str) -> Result<(), QueueError> {
        let failure = Failure { reason: reason.to_owned(), traceback: None };
        self.retry(message, Duration::from_secs(5), failure, false).await
    }

    /// A record of what a message is at.
    fn record_of(&self, message: &Message, failure: Failure) -> Option<(Arc<str>, Record)> {
        let mut table = self.table();
        let (consumer, group) = table.at(message)?;
        let before = group.record.clone().unwrap_or_default();
        let current = group.current.as_ref()?;
        let place = current.arrived.place;
        let same = before.place == place;
        let record = Record {
            place,
            event: message.event.id,
            done: current.done.clone(),
            attempts: current.attempts.clone(),
            begun: current.begun.clone(),
            lane: Some(message.lane.clone()),
            failure: Some(Failure {
                reason: redacted(&failure.reason).into_owned(),
                traceback: failure.traceback.map(|text| redacted(&text).into_owned()),
            }),
            parked: false,
            unrun_since: before.unrun_since.filter(|_| same),
            retry_at: None,
            host: self.settings.host.clone(),
        };
        Some((consumer, record))
    }

    async fn retry(
        &self,
        message: &Message,
        after: Duration,
        failure: Failure,
        counts: bool,
    ) -> Result<(), QueueError> {
        let (consumer, mut record) =
            self.record_of(message, failure.clone()).ok_or_else(|| not_in_flight(message))?;
        let mut after = after;
        if counts {
            *record.attempts.entry(message.lane.clone()).or_default() += 1;
            record.unrun_since = None;
        } else if *self.resting.borrow() {
            // This host ends: the next one has it at once.
            after = Duration::ZERO;
            record.unrun_since = None;
        } else {
            let since = *record.unrun_since.get_or_insert_with(now_ms);
            if now_ms() - since > self.settings.options.park_after.as_millis() as i64 {
                return self.park(message, failure, false).await;
            }
        }
        record.retry_at = Some(now_ms() + after.as_millis() as i64);
        let needed = counts || !record.done.is_empty() || !after.is_zero();
        if needed {
            self.write(&consumer, &record).await?;
        }
        self.nak(message, Some(after)).await;
        Ok(())
    }

    async fn park(&self, message: &Message, failure: Failure, tried: bool) -> Result<(), QueueError> {
        let (consumer, mut record) =
            self.record_of(message, failure).ok_or_else(|| not_in_flight(message))?;
        if tried {
            *record.attempts.entry(message.lane.clone()).or_default() += 1;
        }
        record.parked = true;
        self.write(&consumer, &record).await?;
        self.pause_consumer(&consumer, true).await?;
        self.nak(message, None).await;
        Ok(())
    }

    /// Gives the message to the server again.
    async fn nak(&self, message: &Message, after: Option<Duration>) {
        let Some(reply) = self.table().release(message) else { return };
        let asked =
            self.server.client.request(reply, AckKind::Nak(after.filter(|after| !after.is_zero())).into());
        if !matches!(tokio::time::timeout(LIMIT, asked).await, Ok(Ok(_))) {
            tracing::debug!(event = message.event.id, "the server did not hear that an event is given back");
        }
        self.prod.notify_one();
    }

    pub(super) async fn begin(&self, message: &Message) -> Result<(), QueueError> {
        let (consumer, record) = {
            let (consumer, mut record) =
                self.record_of(message, Failure::default()).ok_or_else(|| not_in_flight(message))?;
            record.failure = None;
            record.begun.insert(message.lane.clone());
            (consumer, record)
        };
        self.write(&consumer, &record).await?;
        let mut table = self.table();
        if let Some((_, group)) = table.at(message)
            && let Some(current) = &mut group.current
        {
            current.begun.insert(message.lane.clone());
        }
        Ok(())
    }

    /// Writes down what is known of a consumer's message.
    pub(super) async fn write(&self, consumer: &str, record: &Record) -> Result<(), QueueError> {
        let failed = |reason: String| self.refused("the bucket SGTK_STATE", reason);
        let bytes = serde_json::to_vec(record).map_err(|error| failed(error.to_string()))?;
        let written = tokio::time::timeout(LIMIT, self.server.records.put(consumer, bytes.into())).await;
        let written = written.map_err(|_| failed("it does not answer".to_owned()))?;
        written.map_err(|error| failed(told(&error)))?;
        if let Some(group) = self.table().groups.get_mut(consumer) {
            group.record = Some(record.clone());
        }
        Ok(())
    }

    /// Has the server give out nothing of a consumer, or go on.
    pub(super) async fn pause_consumer(&self, consumer: &str, paused: bool) -> Result<(), QueueError> {
        let failed = |reason: String| self.refused(&format!("the consumer {consumer}"), reason);
        let subject = format!("CONSUMER.PAUSE.{}.{consumer}", names::EVENTS);
        let body = if paused { json!({ "pause_until": FOREVER }) } else { json!({}) };
        let asked = self.server.context.request::<_, _, serde_json::Value>(subject, &body);
        let answer = tokio::time::timeout(LIMIT, asked).await;
        let answer = answer.map_err(|_| failed("it does not answer".to_owned()))?;
        let answer = answer.map_err(|error| failed(told(&error)))?;
        match answer.get("error") {
            Some(error) => Err(failed(error.to_string())),
            None => Ok(()),
        }
    }

    pub(super) async fn resume(
        &self,
        lane: &LaneName,
        event: Option<i64>,
        skip: bool,
    ) -> Result<bool, QueueError> {
        let consumer = self.consumer_of(lane)?;
        let Some(mut record) = self.record(&consumer).await? else { return Ok(false) };
        let is_it = record.failure.is_some() && record.lane.as_ref() == Some(lane);
        if !is_it || event.is_some_and(|event| event != record.event) {
            return Ok(false);
        }
        let parked = record.parked;
        if skip {
            let failure = record.failure.clone().unwrap_or_default();
            let failure = Failure { reason: format!("skipped by hand; {}", failure.reason), ..failure };
            let attempts = record.attempts.get(lane).copied().unwrap_or(0);
            let event = self.stored(record.place.seq).await?;
            let seq = i64::try_from(record.place.seq).unwrap_or(i64::MAX);
            self.dead_letter(lane, &event, seq, attempts, failure).await?;
            record.done.insert(lane.clone());
        }
        record.attempts.remove(lane);
        (record.parked, record.failure, record.unrun_since, record.retry_at) = (false, None, None, None);
        self.write(&consumer, &record).await?;
        if parked {
            self.pause_consumer(&consumer, false).await?;
        }
        Ok(true)
    }

    pub(super) async fn pause(&self, lane: &LaneName, paused: bool) -> Result<(), QueueError> {
        let consumer = self.consumer_of(lane)?;
        let parked = self.record(&consumer).await?.is_some_and(|record| record.parked);
        // One that is parked rests already, and goes on when it is resumed.
        if parked { Ok(()) } else { self.pause_consumer(&consumer, paused).await }
    }

    fn consumer_of(&self, lane: &LaneName) -> Result<Arc<str>, QueueError> {
        let unknown = || QueueError::Unknown { what: "lane", name: lane.to_string() };
        self.table().consumer(lane).ok_or_else(unknown)
    }
}
