//! Why a server cannot be used.

/// Why the server cannot be used. Each is for the person who has to do something about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no connection.
    #[error("cannot connect to the NATS server {url}: {reason}")]
    Connect {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A file of the connection cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is too old.
    #[error(
        "the NATS server {url} is version {found} and has to be 2.12 or later: an older one does not know \
         the priority policy 'prioritized', and gives each project to all hosts in turn"
    )]
    TooOld {
        /// Its address.
        url: String,
        /// Its version.
        found: String,
    },
    /// It has no JetStream.
    #[error("the NATS server {url} has no JetStream for this account: {reason}")]
    NoJetStream {
        /// Its address.
        url: String,
        /// What it says.
        reason: String,
    },
    /// It does not write everything at once.
    #[error(
        "the NATS server {url} keeps one copy and does not write it to the disk at once: a power failure \
         loses all events of the last two minutes. Set `jetstream {{ sync_interval: always }}` in its \
         configuration, or [nats] replicas to 3"
    )]
    Unsynced {
        /// Its address.
        url: String,
    },
    /// That cannot be seen.
    #[error(
        "whether the NATS server {url} writes events to the disk at once cannot be seen at {monitor}: \
         {reason}. Name its monitoring with [nats] monitor, or, where `jetstream {{ sync_interval: always \
         }}` is set, say so with [nats] sync = trusted"
    )]
    Unseen {
        /// Its address.
        url: String,
        /// Where it was looked.
        monitor: String,
        /// Why.
        reason: String,
    },
    /// A stream was made by somebody else.
    #[error(
        "the stream {stream} of the NATS server is there already with other settings: {}",
        differences.join("; ")
    )]
    OtherStream {
        /// Its name.
        stream: String,
        /// Where it differs: found and wanted.
        differences: Vec<String>,
    },
    /// A consumer was made by somebody else.
    #[error(
        "the consumer {consumer} of the NATS server is there already with other settings: {}",
        differences.join("; ")
    )]
    OtherConsumer {
        /// Its name.
        consumer: String,
        /// Where it differs: found and wanted.
        differences: Vec<String>,
    },
    /// The account has too few consumers for the stream.
    #[error(
        "the NATS server {url} refuses to make the stream {stream}, whose max_consumers is {most}: {reason}. \
         Raise the number of consumers that the account may have: each project takes one"
    )]
    AccountConsumers {
        /// The server's address.
        url: String,
        /// The stream.
        stream: String,
        /// How many consumers it is to have at most.
        most: i32,
        /// What the server says.
        reason: String,
    },
    /// There is no room for another consumer.
    #[error(
        "the NATS server refuses another consumer for {consumer}: {reason}. Raise max_consumers of the \
         stream SGTK_EV or of the account: each project takes one"
    )]
    Consumers {
        /// The consumer.
        consumer: String,
        /// What it says.
        reason: String,
    },
    /// Something else was refused.
    #[error("the NATS server {url} refuses {what}: {reason}")]
    Refused {
        /// Its address.
        url: String,
        /// What was asked for.
        what: String,
        /// What it says.
        reason: String,
    },
}

/// An error with all its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = cause.source();
    }
    told
}

/// Whether the server refuses because of a limit of consumers: its error 10026.
pub(super) fn is_consumer_limit(reason: &str) -> bool {
    reason.contains("10026") || reason.contains("maximum consumers")
}
