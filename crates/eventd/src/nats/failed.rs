//! Events that failed for good: a stream of their own.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::DirectGetErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sgtk_config::keys::redacted;

use super::error::told;
use super::{Inner, LIMIT, names};
use crate::event::Event;
use crate::queue::{DeadLetter, Failure, LaneName, QueueError};

/// More are not looked through.
const MOST: usize = 10_000;

/// What is in the stream.
#[derive(Deserialize, Serialize)]
struct Letter {
    site: Arc<str>,
    #[serde(flatten)]
    letter: DeadLetter,
    body: Box<RawValue>,
}

impl Inner {
    /// Keeps an event that failed for good. The same one twice is kept once.
    pub(super) async fn dead_letter(
        &self,
        lane: &LaneName,
        event: &Event,
        seq: i64,
        attempts: u32,
        failure: Failure,
    ) -> Result<(), QueueError> {
        let failed = |reason: String| self.refused("the stream SGTK_FAILED", reason);
        let letter = DeadLetter {
            number: 0,
            lane: lane.clone(),
            event: event.id,
            attempts,
            at: jiff::Timestamp::now().to_string(),
            failure: Failure {
                reason: redacted(&failure.reason).into_owned(),
                traceback: failure.traceback.map(|text| redacted(&text).into_owned()),
            },
        };
        let letter = Letter { site: Arc::clone(&event.site), letter, body: event.body.clone() };
        let body = serde_json::to_vec(&letter).map_err(|error| failed(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{lane} {seq}").as_str());
        let subject = names::failed_subject(&event.site, event.project);
        let sent = async {
            let sent = self.server.context.publish_with_headers(subject, headers, body.into()).await;
            sent.map_err(|error| told(&error))?.await.map_err(|error| told(&error))
        };
        let sent = tokio::time::timeout(LIMIT, sent).await.unwrap_or(Err("it does not answer".to_owned()));
        sent.map(drop).map_err(failed)
    }

    /// The last ones first, with their numbers in the stream.
    async fn letters(&self, most: usize) -> Result<Vec<(u64, Letter)>, QueueError> {
        let failed = |reason: String| self.refused("the stream SGTK_FAILED", reason);
        let info = self.server.failed.get_info().await.map_err(|error| failed(told(&error)))?;
        let mut letters = Vec::new();
        let mut seq = info.state.last_sequence;
        while seq >= info.state.first_sequence.max(1) && letters.len() < most.min(MOST) {
            match self.server.failed.direct_get(seq).await {
                Ok(message) => {
                    if let Ok(letter) = serde_json::from_slice::<Letter>(&message.payload) {
                        letters.push((seq, letter));
                    }
                }
                Err(error) if matches!(error.kind(), DirectGetErrorKind::NotFound) => {}
                Err(error) => return Err(failed(told(&error))),
            }
            seq -= 1;
        }
        Ok(letters)
    }

    pub(super) async fn dead(&self, most: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let letters = self.letters(most).await?;
        let numbered = letters.into_iter().map(|(seq, letter)| DeadLetter {
            number: i64::try_from(seq).unwrap_or(i64::MAX),
            ..letter.letter
        });
        Ok(numbered.collect())
    }

    pub(super) async fn find(&self, site: &str, event: i64) -> Result<Option<Event>, QueueError> {
        let letters = self.letters(MOST).await?;
        let found =
            letters.into_iter().find(|(_, letter)| *letter.site == *site && letter.letter.event == event);
        let Some((_, letter)) = found else { return Ok(None) };
        Ok(Event::new(&letter.site, letter.body).ok())
    }

    pub(super) async fn forget_dead(
        &self,
        event: i64,
        lane: Option<&LaneName>,
    ) -> Result<Vec<LaneName>, QueueError> {
        let mut lanes = Vec::new();
        for (seq, letter) in self.letters(MOST).await? {
            let letter = letter.letter;
            if letter.event != event || lane.is_some_and(|lane| *lane != letter.lane) {
                continue;
            }
            let gone = self.server.failed.delete_message(seq).await;
            gone.map_err(|error| self.refused("the stream SGTK_FAILED", told(&error)))?;
            lanes.push(letter.lane);
        }
        Ok(lanes)
    }

    /// An event by its number in the stream of events.
    pub(super) async fn stored(&self, seq: u64) -> Result<Event, QueueError> {
        let failed = |reason: String| self.refused("the stream SGTK_EV", reason);
        let message = self.server.events.direct_get(seq).await.map_err(|error| failed(told(&error)))?;
        let site = message.subject.as_str().split('.').nth(2).and_then(|token| self.site(token));
        let site = site.ok_or_else(|| failed(format!("message {seq} is of another site")))?;
        let body = serde_json::from_slice(&message.payload).map_err(|error| failed(error.to_string()))?;
        Event::new(site, body).map_err(|error| failed(error.to_string()))
    }

    /// How many there are.
    pub(super) async fn count_dead(&self) -> Result<u64, String> {
        let info = self.server.failed.get_info().await.map_err(|error| told(&error))?;
        Ok(info.state.messages)
    }
}
