//! The consumers on the server: one for each project, and one for each plugin that has all events of a site.

use std::collections::{HashMap, HashSet};

use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, PriorityPolicy};
use async_nats::jetstream::stream::ConsumerCreateStrictErrorKind;
use futures_util::TryStreamExt as _;

use super::error::{NatsError, is_consumer_limit, told};
use super::names;
use super::server::Server;
use super::settings::NatsSettings;

/// The consumers that are known to be there and to be as they have to, with their filters.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    known: Mutex<HashMap<String, String>>,
    /// Those that are there, by name alone. To look at each takes the server long where much waits for them.
    listed: Mutex<HashSet<String>>,
}

/// A consumer that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// The subjects whose events it gives out.
    pub(super) filter: String,
    /// Where it is made anew: the time, in nanoseconds of Unix time, after which its events begin. None for
    /// a new one, which is made before the first event that it is for is published.
    pub(super) after: Option<i64>,
}

impl Wanted {
    /// That of a project.
    pub(super) fn project(site: &str, project: i64) -> Wanted {
        let filter = names::event_subject(site, Some(project));
        Wanted { name: names::project_consumer(site, project), filter, after: None }
    }

    /// That of a plugin which has all events of a site.
    pub(super) fn plugin(site: &str, key: &str) -> Wanted {
        Wanted { name: names::plugin_consumer(site, key), filter: names::site_subjects(site), after: None }
    }

    fn begins(&self) -> DeliverPolicy {
        let after = self.after.map(|nanos| DateTime::from_unix_timestamp_nanos(i128::from(nanos) + 1));
        match after {
            Some(Ok(start_time)) => DeliverPolicy::ByStartTime { start_time },
            _ => DeliverPolicy::New,
        }
    }

    fn config(&self, ack_wait: Duration) -> Config {
        Config {
            durable_name: Some(self.name.clone()),
            name: Some(self.name.clone()),
            filter_subject: self.filter.clone(),
            deliver_policy: self.begins(),
            ack_policy: AckPolicy::Explicit,
            ack_wait,
            max_deliver: -1,
            // With more than one, a host's successor would begin behind what the host had not done.
            max_ack_pending: 1,
            priority_policy: PriorityPolicy::Prioritized,
            priority_groups: vec![names::GROUP.to_owned()],
            ..Config::default()
        }
    }
}

impl Consumers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.known.lock()
    }

    /// The names of all consumers on the server. Quick, whatever waits for them.
    pub(super) async fn names(&self, server: &Server) -> Result<Vec<String>, String> {
        let names: Vec<String> =
            server.events.consumer_names().try_collect().await.map_err(|error| told(&error))?;
        *self.listed() = names.iter().cloned().collect();
        Ok(names)
    }

    fn listed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.listed.lock()
    }

    /// Somebody has said that it is there.
    pub(super) fn note(&self, name: &str) {
        self.listed().insert(name.to_owned());
    }

    /// Whether it is there, as it was listed last. Whoever has made it has seen to its settings: the
    /// publisher refuses those of others.
    pub(super) fn is_listed(&self, name: &str) -> bool {
        self.listed().contains(name)
    }

    /// All consumers on the server, with what waits for each: with thousands of them it takes seconds.
    pub(super) async fn list(&self, server: &Server) -> Result<Vec<Info>, String> {
        server.events.consumers().try_collect().await.map_err(|error| told(&error))
    }

    /// Has a consumer be there. True where it is a new one.
    pub(super) async fn ensure(
        &self,
        server: &Server,
        settings: &NatsSettings,
        wanted: &Wanted,
    ) -> Result<bool, NatsError> {
        if self.lock().get(&wanted.name).is_some_and(|filter| *filter == wanted.filter) {
            return Ok(false);
        }
        let config = wanted.config(settings.options.ack_wait);
        let refused = |reason| NatsError::Refused {
            url: settings.shown(),
            what: format!("to make the consumer {}", wanted.name),
            reason,
        };
        let made = match server.events.create_consumer_strict(config.clone()).await {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ConsumerCreateStrictErrorKind::AlreadyExists) => {
                let found = server.events.consumer_info(&wanted.name).await;
                let found = found.map_err(|error| refused(told(&error)))?;
                check(&found, &config)?;
                if found.config.ack_wait != settings.options.ack_wait {
                    let changed = Config { deliver_policy: found.config.deliver_policy, ..config };
                    server.events.update_consumer(changed).await.map_err(|error| refused(told(&error)))?;
                }
                false
            }
            Err(error) => {
                let reason = told(&error);
                let consumer = wanted.name.clone();
                return Err(if is_consumer_limit(&reason) {
                    NatsError::Consumers { consumer, reason }
                } else {
                    refused(reason)
                });
            }
        };
        self.lock().insert(wanted.name.clone(), wanted.filter.clone());
        Ok(made)
    }

    /// It is not there any more.
    pub(super) fn forget(&self, name: &str) {
        self.lock().remove(name);
        self.listed().remove(name);
    }
}

/// Whether a consumer that is there gives what is promised.
fn check(found: &Info, wanted: &Config) -> Result<(), NatsError> {
    let config = &found.config;
    let mut differences = Vec::new();
    let mut compare = |key: &str, found: String, wanted: String, why: &str| {
        if found != wanted {
            differences.push(format!("{key} is {found} and has to be {wanted}{why}"));
        }
    };
    let lower = |text: String| text.to_ascii_lowercase();
    let policies = [
        ("ack_policy", format!("{:?}", config.ack_policy), format!("{:?}", wanted.ack_policy)),
        ("replay_policy", format!("{:?}", config.replay_policy), format!("{:?}", wanted.replay_policy)),
        ("priority_policy", format!("{:?}", config.priority_policy), format!("{:?}", wanted.priority_policy)),
    ];
    for (key, found, wanted) in policies {
        compare(key, lower(found), lower(wanted), "");
    }
    compare("priority_groups", config.priority_groups.join(","), wanted.priority_groups.join(","), "");
    compare("deliver_subject", config.deliver_subject.clone().unwrap_or_default(), String::new(), "");
    let filters = |filter: &str, more: &[String]| {
        more.iter()
            .map(String::as_str)
            .chain([filter])
            .filter(|one| !one.is_empty())
            .collect::<Vec<_>>()
            .join(",")
    };
    compare(
        "filter_subject",
        filters(&config.filter_subject, &config.filter_subjects),
        wanted.filter_subject.clone(),
        "",
    );
    let pending = config.max_ack_pending.to_string();
    compare("max_ack_pending", pending, wanted.max_ack_pending.to_string(), ": else order is lost");
    let most = if config.max_deliver > 0 { config.max_deliver } else { -1 };
    compare("max_deliver", most.to_string(), wanted.max_deliver.to_string(), ": else events are lost");
    let flags = [
        ("headers_only", config.headers_only, ": else events have no content"),
        ("mem_storage", config.memory_storage, ": else what is done is forgotten with the server"),
    ];
    for (key, found, why) in flags {
        compare(key, found.to_string(), "false".to_owned(), why);
    }
    let seconds = format!("{} s", config.inactive_threshold.as_secs());
    compare("inactive_threshold", seconds, "0 s".to_owned(), ": else it is deleted when no host asks");
    compare("backoff", config.backoff.len().to_string(), "0".to_owned(), ": ack_wait is what counts");
    if differences.is_empty() {
        Ok(())
    } else {
        Err(NatsError::OtherConsumer { consumer: found.name.clone(), differences })
    }
}
