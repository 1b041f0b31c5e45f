//! What a host says to the server by itself: that it is there, that it works, and what it wants.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::AckKind;
use futures_util::StreamExt as _;
use tokio::time::MissedTickBehavior;

use super::lease::{self, Epoch};
use super::{Inner, LIMIT, names, pull};

/// How long until what nobody here reads is given out again.
const UNREAD: Duration = Duration::from_secs(5);

fn every(time: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(time.max(Duration::from_millis(10)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Sees to it that nothing runs without a lease. It never waits for the connection.
pub(super) async fn watch_lease(inner: Arc<Inner>) {
    let mut interval = every(inner.settings.options.ack_wait / 16);
    let mut last = Epoch::default();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = inner.closed() => return,
        }
        let epoch = inner.lease.epoch(lease::now());
        if epoch == last {
            continue;
        }
        if epoch.lapses != last.lapses {
            tracing::error!(
                server = inner.settings.shown(),
                "the NATS server was silent for too long, or this host was frozen: other hosts may have its \
                 events; calls that run are ended"
            );
        }
        last = epoch;
        inner.drop_old();
    }
}

/// Asks the server for a sign of life, by sending something to itself.
pub(super) async fn ask(inner: Arc<Inner>) {
    let client = inner.server.client.clone();
    let inbox = client.new_inbox();
    let mut answers = match client.subscribe(inbox.clone()).await {
        Ok(answers) => answers,
        Err(error) => {
            tracing::error!(%error, "the NATS client cannot subscribe: this host runs nothing");
            return;
        }
    };
    let reader = Arc::clone(&inner);
    let read = async move {
        while let Some(answer) = answers.next().await {
            let asked = std::str::from_utf8(&answer.payload).ok().and_then(|text| text.parse().ok());
            let held = reader.lease.holds(lease::now()).is_some();
            if let Some(nanos) = asked {
                reader.lease.answered(Duration::from_nanos(nanos), lease::now());
            }
            if !held {
                reader.prod.notify_one();
            }
        }
    };
    let mut interval = every(inner.settings.options.ack_wait / 8);
    let write = async {
        loop {
            interval.tick().await;
            if inner.server.is_connected() {
                let now = lease::now().as_nanos().to_string();
                // Its failure is the answer's absence.
                let _ = client.publish(inbox.clone(), now.into()).await;
                let _ = client.flush().await;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
        () = inner.closed() => {}
    }
}

/// Tells the server what is worked on, gives back what nobody reads, and pulls.
pub(super) async fn work(inner: Arc<Inner>) {
    let mut interval = every(inner.settings.options.ack_wait / 12);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = inner.prod.notified() => {}
            () = inner.closed() => return,
        }
        let now = lease::now();
        if !inner.server.is_connected() || inner.lease.holds(now).is_none() {
            continue;
        }
        let (progress, unread) = {
            let mut table = inner.table();
            (table.progress(now, inner.settings.options.ack_wait / 3), table.unread(now))
        };
        let client = &inner.server.client;
        for reply in progress {
            // Without it the lease ends.
            let _ = client.publish(reply, AckKind::Progress.into()).await;
        }
        for reply in unread {
            let _ = client.publish(reply, AckKind::Nak(Some(UNREAD)).into()).await;
        }
        inner.pull(now).await;
    }
}

impl Inner {
    /// Has pulls have a new inbox: what was asked for by the old one does not count.
    pub(super) fn open_inbox(&self, inbox: &str) {
        *self.inbox.lock() = Some(inbox.to_owned());
        self.table().forget_pulls();
        self.prod.notify_one();
    }

    async fn pull(&self, now: Duration) {
        let unheard = if now < self.awaits_until() { self.hosts.unheard() } else { Vec::new() };
        let is_awaited =
            |key: &str| unheard.iter().any(|other| names::is_before(other, &self.settings.host, key));
        let (due, inbox) = {
            // Both under the table's lock: pulls that are noted belong to this inbox.
            let mut table = self.table();
            let inbox = self.inbox.lock().clone();
            let Some(inbox) = inbox else { return };
            (table.pulls(now, is_awaited), inbox)
        };
        for (consumer, rank, number) in due {
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", names::EVENTS);
            let reply = format!("{inbox}.{consumer}.{number}");
            let sent =
                self.server.client.publish_with_reply(subject, reply, pull::request(rank).into()).await;
            match sent {
                Ok(()) => tracing::debug!(consumer = &*consumer, rank, "events are asked for"),
                Err(error) => {
                    tracing::warn!(%error, consumer = &*consumer, "a pull request cannot be sent");
                    self.table().hold(&consumer, now + Duration::from_secs(1));
                }
            }
        }
    }

    /// Says something about a message, once: if it is lost, the message comes again after `ack_wait`.
    pub(super) fn say(&self, reply: Subject, what: AckKind) {
        let client = self.server.client.clone();
        self.spawn(async move {
            if let Err(error) = client.publish(reply, what.into()).await {
                tracing::debug!(%error, "an acknowledgement cannot be sent");
            }
        });
    }

    /// Says it until the server has heard it. False where it does not within four times `ack_wait`.
    pub(super) async fn insist(&self, reply: &Subject, what: AckKind) -> bool {
        let end = lease::now() + self.settings.options.ack_wait * 4;
        while lease::now() < end {
            let asked = self.server.client.request(reply.clone(), what.into());
            if matches!(tokio::time::timeout(LIMIT, asked).await, Ok(Ok(_))) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// Acknowledges a message beside; `recorded`: what was written down of it is not needed any more.
    pub(super) fn acknowledge(self: &Arc<Self>, consumer: Arc<str>, reply: Subject, recorded: bool) {
        let inner = Arc::clone(self);
        self.spawn(async move {
            if !inner.insist(&reply, AckKind::Ack).await {
                tracing::warn!(
                    consumer = &*consumer,
                    "an acknowledgement was not heard: its event is passed over here when it comes again, \
                     and is done twice when it comes to another host"
                );
            }
            if recorded {
                // One that stays is of a message that does not come again.
                let _ = inner.server.records.purge(&*consumer).await;
            }
        });
    }
}
