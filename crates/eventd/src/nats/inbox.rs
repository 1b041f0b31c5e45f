//! What the server sends: messages, and what becomes of pull requests.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use async_nats::{HeaderMap, Message, StatusCode};
use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use super::consumers::Wanted;
use super::lease::{self, Epoch};
use super::record::{Place, Record};
use super::table::{Arrival, Arrived};
use super::{Inner, LIMIT};
use crate::event::Event;
use crate::queue::LaneName;

/// The lanes that a message is for.
pub(super) const LANES: &str = "Sgtk-Lanes";
/// Whether it came after events with higher ids.
pub(super) const LATE: &str = "Sgtk-Late";

/// How long until a consumer is pulled again that could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// Receives until the queue is closed. Each connection, and each lapse of the lease, has a subscription of
/// its own: what comes by an older one is not run.
pub(super) async fn receive(inner: Arc<Inner>) {
    let mut connections = inner.connections.clone();
    loop {
        inner.drop_old();
        let epoch = inner.lease.epoch(lease::now());
        connections.mark_unchanged();
        let inbox = inner.server.client.new_inbox();
        let mut subscription = match inner.server.client.subscribe(format!("{inbox}.*.*")).await {
            Ok(subscription) => subscription,
            Err(error) => {
                tracing::error!(%error, "the NATS client cannot subscribe");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        inner.open_inbox(&inbox);
        loop {
            let rests = tokio::select! {
                message = subscription.next() => match message {
                    Some(message) if inner.lease.epoch(lease::now()) == epoch => {
                        inner.take(message, epoch);
                        continue;
                    }
                    _ => false,
                },
                changed = connections.changed() => changed.is_err(),
                () = inner.has_ended(epoch) => false,
                () = inner.rests() => true,
                () = inner.closed() => return,
            };
            if rests {
                // What is on its way is for others at once.
                let _ = subscription.drain().await;
                while let Some(message) = subscription.next().await {
                    inner.take(message, epoch);
                }
                return;
            }
            break;
        }
    }
}

impl Inner {
    /// Takes one message.
    fn take(self: &Arc<Self>, message: Message, epoch: Epoch) {
        if let Some(status) = message.status {
            self.take_status(&message, status);
            return;
        }
        let message = jetstream::Message { message, context: self.server.context.clone() };
        let (Some(reply), Ok(info)) = (message.reply.clone(), message.info()) else { return };
        let consumer: Arc<str> = Arc::from(info.consumer);
        let stamp = i64::try_from(info.published.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        let place = Place { seq: info.stream_sequence, stamp };
        let again = info.delivered > 1;
        let Some(event) = self.event(&message) else {
            tracing::error!(
                subject = %message.subject, seq = place.seq,
                "a message of the stream is no event; it is passed over"
            );
            self.say(reply, AckKind::Term);
            return;
        };
        let only = message
            .headers
            .as_ref()
            .and_then(|headers| serde_json::from_str::<Vec<LaneName>>(headers.get(LANES)?.as_str()).ok());
        let arrived = Arrived { place, reply, event: Arc::new(event), only, epoch, record: None };
        if let Some(pull) = self.table().groups.get_mut(&consumer).and_then(|group| group.pull.as_mut()) {
            let now = lease::now();
            pull.took(now);
            if pull.is_due(now, pull.rank) {
                self.prod.notify_one();
            }
        }
        if again {
            // What other hosts know of it.
            let inner = Arc::clone(self);
            self.spawn(async move { inner.arrive_again(&consumer, arrived).await });
        } else {
            self.arrive(&consumer, arrived);
        }
    }

    async fn arrive_again(self: &Arc<Self>, consumer: &Arc<str>, mut arrived: Arrived) {
        loop {
            match self.record(consumer).await {
                Ok(record) => {
                    arrived.record = record;
                    return self.arrive(consumer, arrived);
                }
                // It comes again anyway.
                Err(_) if self.lease.epoch(lease::now()) != arrived.epoch => return,
                Err(error) => {
                    tracing::warn!(
                        %error, consumer = &**consumer,
                        "what is known of a message cannot be read"
                    );
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn arrive(self: &Arc<Self>, consumer: &Arc<str>, arrived: Arrived) {
        let arrival = self.table().arrive(consumer, arrived, lease::now());
        match arrival {
            Arrival::Kept => {}
            Arrival::Done { reply, recorded } => self.acknowledge(Arc::clone(consumer), reply, recorded),
            Arrival::Back(reply) => self.say(reply, AckKind::Nak(None)),
        }
    }

    fn event(&self, message: &Message) -> Option<Event> {
        let token = message.subject.as_str().strip_prefix("sgtk.ev.")?.split('.').next()?;
        let site = self.site(token)?;
        let body: Box<RawValue> = serde_json::from_slice(&message.payload).ok()?;
        let mut event = Event::new(site, body).ok()?;
        event.late = message.headers.as_ref().is_some_and(|headers| headers.get(LATE).is_some());
        Some(event)
    }

    /// Takes what the server says of a pull request, whose inbox is `….CONSUMER.NUMBER`.
    fn take_status(self: &Arc<Self>, message: &Message, status: StatusCode) {
        let mut parts = message.subject.as_str().rsplit('.');
        let number = parts.next().and_then(|number| number.parse::<u64>().ok());
        let (Some(number), Some(consumer)) = (number, parts.next()) else { return };
        let now = lease::now();
        let mut table = self.table();
        let Some(group) = table.groups.get_mut(consumer) else { return };
        let Some(pull) = group.pull.as_mut().filter(|pull| pull.number == number) else { return };
        match status {
            StatusCode::IDLE_HEARTBEAT => pull.heard = now,
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => group.pull = None,
            _ => {
                let reason = message.description.as_deref().unwrap_or("the server does not know it");
                tracing::debug!(consumer, %status, reason, "a pull request has ended");
                if status == StatusCode::NO_RESPONDERS || reason.contains("Deleted") {
                    self.make_again(consumer, group);
                }
                table.hold(consumer, now + AGAIN);
            }
        }
        drop(table);
        self.prod.notify_one();
    }

    /// The consumer may be gone, with its stream perhaps: it is made anew, and begins behind what this host
    /// has had of it.
    fn make_again(self: &Arc<Self>, consumer: &str, group: &super::table::Group) {
        let wanted = match (group.project, group.lanes.first()) {
            (Some(project), _) => Wanted::project(&group.site, project),
            (None, Some(lane)) => Wanted::plugin(&group.site, crate::lanes::parts(lane).1),
            (None, None) => return,
        };
        let wanted = Wanted { after: Some(group.had_until()), ..wanted };
        self.consumers.forget(consumer);
        let inner = Arc::clone(self);
        self.spawn(async move {
            match inner.consumers.ensure(&inner.server, &inner.settings, &wanted).await {
                Ok(false) => {}
                Ok(true) => tracing::error!(
                    consumer = wanted.name,
                    "the consumer was gone and was made anew: its events are those after the last that this \
                     host has done"
                ),
                Err(error) => tracing::warn!(%error, "a consumer that is gone cannot be made anew; tried \
                                                      again"),
            }
        });
    }

    /// What hosts know of a consumer's message.
    pub(super) async fn record(&self, consumer: &str) -> Result<Option<Record>, crate::queue::QueueError> {
        let found = tokio::time::timeout(LIMIT, self.server.records.get(consumer)).await;
        let failed = |reason: String| self.refused("the bucket SGTK_STATE", reason);
        let found = found.map_err(|_| failed("it does not answer".to_owned()))?;
        let Some(bytes) = found.map_err(|error| failed(super::error::told(&error)))? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string()))
    }
}

/// The lanes of a message, as a header.
pub(super) fn for_lanes(headers: &mut HeaderMap, lanes: &[LaneName]) {
    headers.insert(LANES, serde_json::json!(lanes).to_string().as_str());
}
