//! Events into the stream: one after the other, each until the server has it.
//!
//! The stream is the publisher's only memory: each message says what was seen of the site's ids when it was
//! published. Two publishers do no harm: each goes up in ids, and what is there already is dropped by the
//! server.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::consumers::Wanted;
use super::error::told;
use super::inbox::{LATE, for_lanes};
use super::{Inner, LIMIT, names};
use crate::event::Event;
use crate::queue::{Batch, LaneName, QueueError};
use crate::source::window::Window;

/// What was seen of the site's ids, this event's included.
const WINDOW: &str = "Sgtk-Window";

/// The most missing ranges that are written down; of more the latest.
const RANGES: usize = 2000;

/// What was seen of each site.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<HashMap<Arc<str>, Window>>);

impl Windows {
    fn get(&self, site: &str) -> Option<Window> {
        self.0.lock().get(site).cloned()
    }

    fn set(&self, site: &Arc<str>, window: Window) {
        self.0.lock().insert(Arc::clone(site), window);
    }

    pub(super) fn all(&self) -> BTreeMap<Arc<str>, Window> {
        let windows = self.0.lock();
        windows.iter().map(|(site, window)| (Arc::clone(site), window.clone())).collect()
    }
}

/// Where polling has begun, for as long as the stream has no event.
#[derive(Deserialize, Serialize)]
struct Beginning {
    window: Window,
}

impl Inner {
    fn beginning(site: &str) -> String {
        format!("site-{}", names::token(site))
    }

    /// What was seen of a site, as the stream's last message has it.
    pub(super) async fn window(&self, site: &str) -> Result<Option<Window>, QueueError> {
        let failed = |reason: String| self.refused("the stream SGTK_EV", reason);
        let last = self.server.events.get_last_raw_message_by_subject(&names::site_subjects(site)).await;
        let found = match last {
            Ok(last) => {
                let window = last.headers.get(WINDOW).ok_or_else(|| {
                    failed(format!("its last message, {}, was not published by sgtk-eventd", last.sequence))
                })?;
                Some(serde_json::from_str(window.as_str()).map_err(|error| failed(error.to_string()))?)
            }
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                let found = self.server.records.get(Self::beginning(site)).await;
                let found = found.map_err(|error| failed(told(&error)))?;
                let read = |bytes: bytes::Bytes| serde_json::from_slice::<Beginning>(&bytes);
                let found = found.map(read).transpose().map_err(|error| failed(error.to_string()))?;
                found.map(|beginning| beginning.window)
            }
            Err(error) => return Err(failed(told(&error))),
        };
        if let (Some(site), Some(window)) = (self.sites.iter().find(|one| ***one == *site), &found) {
            self.windows.set(site, window.clone());
        }
        Ok(found)
    }

    /// Has polling begin after an id, where the stream has no event of the site.
    pub(super) async fn begin_after(&self, site: &Arc<str>, id: i64) -> Result<(), QueueError> {
        if let Some(window) = self.window(site).await?
            && self.has_events(site).await?
        {
            let reason = format!(
                "it has events of site '{site}' up to {}: --since is for a stream that has none",
                window.cursor()
            );
            return Err(self.refused("the stream SGTK_EV", reason));
        }
        self.write_beginning(site, &Window::new(id)).await
    }

    async fn has_events(&self, site: &str) -> Result<bool, QueueError> {
        match self.server.events.get_last_raw_message_by_subject(&names::site_subjects(site)).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(false),
            Err(error) => Err(self.refused("the stream SGTK_EV", told(&error))),
        }
    }

    async fn write_beginning(&self, site: &Arc<str>, window: &Window) -> Result<(), QueueError> {
        let failed = |reason: String| self.refused("the bucket SGTK_STATE", reason);
        let beginning = Beginning { window: window.clone() };
        let bytes = serde_json::to_vec(&beginning).map_err(|error| failed(error.to_string()))?;
        let put = self.server.records.put(Self::beginning(site), bytes.into()).await;
        put.map_err(|error| failed(told(&error)))?;
        self.windows.set(site, window.clone());
        Ok(())
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<usize, QueueError> {
        let Batch { site, events, window } = batch;
        let before = self.windows.get(&site);
        if events.is_empty() {
            // What is missing is written down with the next event; where polling begins, at once.
            match before {
                None => self.write_beginning(&site, &window).await?,
                Some(_) => self.windows.set(&site, window),
            }
            return Ok(0);
        }
        let mut seen = before.map_or(i64::MIN, |before| before.cursor());
        let mut new = 0;
        for (index, event) in events.iter().enumerate() {
            seen = seen.max(event.id);
            let ahead = events.iter().skip(index + 1).map(|event| event.id);
            let so_far = window.while_unseen(seen, ahead, RANGES);
            new += usize::from(self.publish(event, &so_far, None).await?);
        }
        self.windows.set(&site, window);
        Ok(new)
    }

    /// Publishes one event. False where it was there already.
    async fn publish(
        &self,
        event: &Event,
        window: &Window,
        only: Option<&[LaneName]>,
    ) -> Result<bool, QueueError> {
        let failed = |reason: String| self.refused("the stream SGTK_EV", reason);
        let text = serde_json::to_string(window).map_err(|error| failed(error.to_string()))?;
        let subject = names::event_subject(&event.site, event.project);
        let mut reason = String::new();
        // The next event must not overtake this one.
        for pause in [200, 400, 800] {
            let mut headers = HeaderMap::new();
            headers.insert(WINDOW, text.as_str());
            match only {
                Some(lanes) => for_lanes(&mut headers, lanes),
                None => headers.insert("Nats-Msg-Id", format!("{}:{}", event.site, event.id).as_str()),
            }
            if event.late {
                headers.insert(LATE, "1");
            }
            let body = event.body.get().to_owned().into();
            let sent = async {
                let sent = self.server.context.publish_with_headers(subject.clone(), headers, body).await?;
                sent.await
            };
            match tokio::time::timeout(LIMIT, sent).await {
                Ok(Ok(acknowledged)) => return Ok(!acknowledged.duplicate),
                Ok(Err(error)) => {
                    reason = told(&error);
                    if matches!(error.kind(), PublishErrorKind::MaxPayloadExceeded) {
                        let bytes = event.body.get().len();
                        reason = format!(
                            "it has {bytes} bytes, which is more than the server takes: raise max_payload \
                             in its configuration; no later event is published before this one"
                        );
                        break;
                    }
                }
                Err(_) => "it does not answer".clone_into(&mut reason),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(failed(format!("{event}: {reason}")))
    }

    /// Publishes an event again, for some lanes alone.
    pub(super) async fn replay(&self, event: &Event, lanes: &[LaneName]) -> Result<(), QueueError> {
        let window = self.window(&event.site).await?.unwrap_or_else(|| Window::new(event.id));
        self.publish(event, &window, Some(lanes)).await.map(drop)
    }

    /// Has consumers of these projects be there, before their first event is, and tells the hosts.
    pub(super) async fn expect(&self, site: &Arc<str>, projects: &[i64]) -> Result<(), QueueError> {
        for project in projects {
            let wanted = Wanted::project(site, *project);
            let made = self.consumers.ensure(&self.server, &self.settings, &wanted).await;
            if made.map_err(|error| self.refused("a consumer", error.to_string()))? {
                // Hosts that do not hear it list the consumers now and then.
                let _ = self.server.client.publish(names::NEW, wanted.name.into()).await;
            }
        }
        Ok(())
    }
}
