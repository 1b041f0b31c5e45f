//! The file's sections and keys.

/// The sections and keys that have an effect.
pub(super) const KEYS: [(&str, &[&str]); 7] = [
    (
        "daemon",
        &[
            "pidFile",
            "eventIdFile",
            "logMode",
            "logPath",
            "logFile",
            "logging",
            "timing_log",
            "conn_retry_sleep",
            "max_conn_retries",
            "fetch_interval",
            "max_event_batch_size",
        ],
    ),
    ("shotgun", &["server", "name", "key", "proxy_server", "use_session_uuid"]),
    ("plugins", &["paths"]),
    ("emails", &["enabled", "server", "port", "useTLS", "username", "password", "from", "to", "subject"]),
    (
        "sgtk",
        &["configs", "paths", "isolation", "lanes", "max_workers", "idle", "core", "plugin_id", "engine"],
    ),
    (
        "eventd",
        &[
            "state",
            "socket",
            "lanes",
            "callback_timeout",
            "attempts",
            "retry_after",
            "once",
            "missing_timeout",
            "stop_timeout",
            "python",
            "python_paths",
            "socket_timeout",
            "ignore_own_events",
            "http",
            "http_token",
            "webhook_secret",
            "memory_limit",
            "mail_digest",
            "log_format",
        ],
    ),
    ("nats", super::nats::KEYS),
];

/// So many of them are shotgunEvents' own. Their keys may come out of the environment, as there; of others,
/// variables that are called `PYTHON` or `STATE` mean something else.
pub(super) const INHERIT: usize = 4;

/// The section of another site: `[shotgun:london]`.
pub(super) const SITE: &str = "shotgun:";
