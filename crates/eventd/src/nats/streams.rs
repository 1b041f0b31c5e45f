//! The streams and the bucket on the server, and whether those that are there can be used.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, kv};

use super::error::{NatsError, is_consumer_limit, told};
use super::names;
use super::settings::NatsSettings;

/// For how long the server tells events apart by their ids, so that none is there twice.
const DUPLICATES: Duration = Duration::from_secs(2 * 24 * 3600);

/// How many consumers the stream may have; the server's own default is 1,000.
const MOST_CONSUMERS: i32 = 10_000;

/// How long events that failed are kept.
const KEEP_FAILED: Duration = Duration::from_secs(90 * 24 * 3600);

fn events_config(settings: &NatsSettings) -> Config {
    Config {
        name: names::EVENTS.to_owned(),
        description: Some("Events of ShotGrid sites, for sgtk-eventd".to_owned()),
        subjects: vec![names::EVENT_SUBJECTS.to_owned()],
        // Not as a work queue: that forgets over a restart which ids it has had.
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_age: settings.options.keep,
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: -1,
        duplicate_window: DUPLICATES.min(settings.options.keep),
        max_consumers: MOST_CONSUMERS,
        num_replicas: settings.options.replicas,
        allow_direct: true,
        ..Config::default()
    }
}

fn failed_config(settings: &NatsSettings) -> Config {
    Config {
        name: names::FAILED.to_owned(),
        description: Some("Events that failed for good, for sgtk-eventd".to_owned()),
        subjects: vec![names::FAILED_SUBJECTS.to_owned()],
        max_age: KEEP_FAILED,
        max_consumers: -1,
        ..events_config(settings)
    }
}

/// The stream of events.
pub(super) async fn events(context: &Context, settings: &NatsSettings) -> Result<Stream, NatsError> {
    stream(context, &settings.shown(), events_config(settings)).await
}

/// That of events that failed for good.
pub(super) async fn failed(context: &Context, settings: &NatsSettings) -> Result<Stream, NatsError> {
    stream(context, &settings.shown(), failed_config(settings)).await
}

async fn stream(context: &Context, url: &str, wanted: Config) -> Result<Stream, NatsError> {
    let refused = |what: &str, reason: String| NatsError::Refused {
        url: url.to_owned(),
        what: format!("{what} the stream {}", wanted.name),
        reason,
    };
    let name = wanted.name.clone();
    match context.get_stream(&name).await {
        Ok(found) => {
            let differences = differences(&found.cached_info().config, &wanted);
            if differences.is_empty() {
                Ok(found)
            } else {
                Err(NatsError::OtherStream { stream: name, differences })
            }
        }
        Err(error) if error.to_string().contains("not found") || told(&error).contains("10059") => {
            let made = context.create_stream(wanted.clone()).await;
            made.map_err(|error| {
                let reason = told(&error);
                // What the stream asks for is more than the account may have.
                if is_consumer_limit(&reason) {
                    let (stream, most) = (wanted.name.clone(), wanted.max_consumers);
                    return NatsError::AccountConsumers { url: url.to_owned(), stream, most, reason };
                }
                refused("to make", reason)
            })
        }
        Err(error) => Err(refused("to show", told(&error))),
    }
}

/// What in a stream that is there keeps this daemon from keeping its promises. How long it keeps events is
/// its owner's affair.
fn differences(found: &Config, wanted: &Config) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |key: &str, found: String, wanted: String, is_well: bool| {
        if !is_well {
            differences.push(format!("{key} is {found} and has to be {wanted}"));
        }
    };
    let lower = |text: String| text.to_ascii_lowercase();
    let retention = |config: &Config| lower(format!("{:?}", config.retention));
    let storage = |config: &Config| lower(format!("{:?}", config.storage));
    compare("retention", retention(found), retention(wanted), found.retention == wanted.retention);
    compare("storage", storage(found), storage(wanted), found.storage == wanted.storage);
    compare(
        "subjects",
        found.subjects.join(","),
        wanted.subjects.join(","),
        found.subjects == wanted.subjects,
    );
    for (key, value) in [
        ("max_msgs", found.max_messages),
        ("max_bytes", found.max_bytes),
        ("max_msgs_per_subject", found.max_messages_per_subject),
    ] {
        // Each of them would drop events that nobody has had.
        compare(key, value.to_string(), "-1".to_owned(), value <= 0);
    }
    let (consumers, room) =
        (found.max_consumers, found.max_consumers <= 0 || found.max_consumers >= wanted.max_consumers);
    let most = if wanted.max_consumers > 0 { wanted.max_consumers.to_string() } else { "-1".to_owned() };
    compare("max_consumers", consumers.to_string(), most, room);
    let hours = |time: Duration| format!("{} s", time.as_secs());
    let window = found.duplicate_window >= wanted.duplicate_window.min(Duration::from_secs(3600));
    compare("duplicate_window", hours(found.duplicate_window), hours(wanted.duplicate_window), window);
    let (copies, wanted_copies) = (found.num_replicas, wanted.num_replicas);
    compare(
        "num_replicas",
        copies.to_string(),
        format!("{wanted_copies}, as [nats] replicas says"),
        copies == wanted_copies,
    );
    // With it the server acknowledges what it has not written, whatever sync_interval says.
    let mode = |config: &Config| lower(format!("{:?}", config.persist_mode.unwrap_or_default()));
    compare("persist_mode", mode(found), mode(wanted), mode(found) == mode(wanted));
    compare("no_ack", found.no_ack.to_string(), "false".to_owned(), !found.no_ack);
    compare("sealed", found.sealed.to_string(), "false".to_owned(), !found.sealed);
    compare("allow_direct", found.allow_direct.to_string(), "true".to_owned(), found.allow_direct);
    compare("mirror", "set".to_owned(), "none".to_owned(), found.mirror.is_none());
    differences
}

/// The bucket of records: a stream as well, so what is asked of one is asked of it.
pub(super) async fn records(context: &Context, settings: &NatsSettings) -> Result<kv::Store, NatsError> {
    let replicas = settings.options.replicas;
    let config = kv::Config {
        bucket: names::RECORDS.to_owned(),
        description: "What sgtk-eventd knows of its consumers".to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: replicas,
        ..kv::Config::default()
    };
    if let Ok(found) = context.get_key_value(names::RECORDS).await {
        let differences = bucket_differences(&found.stream.cached_info().config, replicas);
        if differences.is_empty() {
            return Ok(found);
        }
        return Err(NatsError::OtherStream { stream: found.stream_name, differences });
    }
    context.create_key_value(config).await.map_err(|error| NatsError::Refused {
        url: settings.shown(),
        what: format!("to make the bucket {}", names::RECORDS),
        reason: told(&error),
    })
}

/// The same of a bucket.
fn bucket_differences(found: &Config, replicas: usize) -> Vec<String> {
    let wanted = Config {
        subjects: vec![format!("$KV.{}.>", names::RECORDS)],
        storage: StorageType::File,
        num_replicas: replicas,
        max_consumers: -1,
        duplicate_window: Duration::ZERO,
        ..Config::default()
    };
    // Of each record the last one is enough; how many are kept is its owner's affair.
    let found = Config { max_messages_per_subject: -1, ..found.clone() };
    let mut differences = differences(&found, &wanted);
    if !found.max_age.is_zero() {
        let age = found.max_age.as_secs();
        differences.push(format!("max_age is {age} s and has to be 0: records would be forgotten"));
    }
    differences
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PersistenceMode;

    use super::*;
    use crate::config::NatsOptions;

    fn config() -> Config {
        let settings = NatsSettings {
            url: "nats://a".to_owned(),
            host: "a".to_owned(),
            options: NatsOptions::default(),
        };
        events_config(&settings)
    }

    #[test]
    fn what_would_break_a_promise_is_told_and_the_rest_is_the_owners_affair() {
        let mut found = config();
        found.max_age = Duration::from_secs(3600);
        found.max_consumers = 0;
        assert_eq!(differences(&found, &config()), Vec::<String>::new());
        found.retention = RetentionPolicy::WorkQueue;
        found.max_consumers = 1000;
        found.max_bytes = 1 << 20;
        found.persist_mode = Some(PersistenceMode::Async);
        let told = differences(&found, &config()).join("; ");
        for words in [
            "retention is workqueue and has to be limits",
            "max_bytes is 1048576",
            "max_consumers is 1000 and",
            "persist_mode is async and has to be default",
        ] {
            assert!(told.contains(words), "{told}");
        }
    }
}
