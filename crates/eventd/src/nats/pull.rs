//! Pull requests: what a host asks a consumer for.

use std::time::Duration;

use serde_json::json;

use super::names::GROUP;

/// How many messages one request asks for.
const BATCH: u32 = 8;

/// How long a request waits at the server.
const EXPIRES: Duration = Duration::from_secs(60);

/// The next one is there before the last one is over: else the message goes to another host.
const OVERLAP: Duration = Duration::from_secs(10);

/// How often the server says that a request still waits.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A request that waits at the server, as far as is known.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    /// Tells it from others of the same consumer.
    pub(super) number: u64,
    sent: Duration,
    /// When something was heard of it.
    pub(super) heard: Duration,
    left: u32,
    pub(super) rank: u8,
}

impl Pull {
    /// The next one after another.
    pub(super) fn new(before: Option<&Pull>, now: Duration, rank: u8) -> Pull {
        let number = before.map_or(0, |before| before.number + 1);
        Pull { number, sent: now, heard: now, left: BATCH, rank }
    }

    /// Whether it is time for another one.
    pub(super) fn is_due(&self, now: Duration, rank: u8) -> bool {
        self.left <= BATCH / 4
            || now.saturating_sub(self.sent) >= EXPIRES.saturating_sub(OVERLAP)
            || now.saturating_sub(self.heard) >= HEARTBEAT.mul_f64(2.5)
            || self.rank != rank
    }

    /// A message has come.
    pub(super) fn took(&mut self, now: Duration) {
        self.left = self.left.saturating_sub(1);
        self.heard = now;
    }
}

/// The request, as the server reads it.
pub(super) fn request(rank: u8) -> String {
    let nanos = |time: Duration| time.as_nanos() as u64;
    json!({
        "batch": BATCH, "expires": nanos(EXPIRES), "idle_heartbeat": nanos(HEARTBEAT),
        "group": GROUP, "priority": rank,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_request_is_sent_before_the_last_is_used_up_or_over() {
        let seconds = Duration::from_secs;
        let mut pull = Pull::new(None, seconds(0), 0);
        assert!(!pull.is_due(seconds(1), 0) && pull.is_due(seconds(1), 1));
        pull.heard = seconds(40);
        assert!(!pull.is_due(seconds(49), 0) && pull.is_due(seconds(50), 0));
        for _ in 0..6 {
            assert!(!pull.is_due(seconds(1), 0));
            pull.took(seconds(1));
        }
        assert!(pull.is_due(seconds(1), 0));
        assert_eq!(Pull::new(Some(&pull), seconds(1), 0).number, 1);
    }
}
