//! Numbers for Prometheus.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SiteLabel {
    /// Its name.
    pub site: String,
}

/// A plugin in a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    /// The plugin's name.
    pub plugin: String,
    /// The project's id; empty for plugins of all events.
    pub project: String,
}

/// A callback's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabel {
    /// The plugin's name.
    pub plugin: String,
    /// The project's id; empty for plugins of all events.
    pub project: String,
    /// `done`, `raised`, `never_ran`, `may_have_run`.
    pub outcome: &'static str,
}

type PerLane = Family<LaneLabel, Counter>;
type LaneGauge = Family<LaneLabel, Gauge<i64, AtomicI64>>;
type PerSite = Family<SiteLabel, Counter>;
type SiteGauge = Family<SiteLabel, Gauge<i64, AtomicI64>>;

/// The numbers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Events that came.
    pub events: PerSite,
    /// Events that came late.
    pub late: PerSite,
    /// Ids that never came.
    pub expired: PerSite,
    /// Queries.
    pub polls: PerSite,
    /// Queries that failed.
    pub poll_failures: PerSite,
    /// Ids that are waited for.
    pub missing: SiteGauge,
    /// Callbacks by outcome.
    pub callbacks: Family<CallLabel, Counter>,
    /// How long callbacks took.
    pub seconds: Family<LaneLabel, Histogram, fn() -> Histogram>,
    /// Events that are tried again.
    pub retries: PerLane,
    /// Events that failed for good.
    pub dead: PerLane,
    /// Events that wait.
    pub lag_events: LaneGauge,
    /// Events that are kept, of all hosts.
    pub kept: Gauge,
    /// Dead letters that are kept, of all hosts.
    pub kept_dead: Gauge,
    /// The age of the event that a lane is at.
    pub lag_seconds: LaneGauge,
    /// Whether a lane is parked.
    pub parked: LaneGauge,
    /// Worker processes.
    pub workers: Gauge<i64, AtomicI64>,
}

fn times() -> Histogram {
    // From 1 ms to about an hour.
    Histogram::new(exponential_buckets(0.001, 4.0, 12))
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("sgtk_eventd"),
            events: Family::default(),
            late: Family::default(),
            expired: Family::default(),
            polls: Family::default(),
            poll_failures: Family::default(),
            missing: Family::default(),
            callbacks: Family::default(),
            seconds: Family::new_with_constructor(times),
            retries: Family::default(),
            dead: Family::default(),
            lag_events: Family::default(),
            lag_seconds: Family::default(),
            parked: Family::default(),
            workers: Gauge::default(),
            kept: Gauge::default(),
            kept_dead: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("events", "Events that came", metrics.events.clone());
        registry.register(
            "late_events",
            "Events that came after others with higher ids",
            metrics.late.clone(),
        );
        registry.register("expired_ids", "Missing ids that were given up", metrics.expired.clone());
        registry.register("polls", "Queries of the site", metrics.polls.clone());
        registry.register("poll_failures", "Queries of the site that failed", metrics.poll_failures.clone());
        registry.register("missing_ids", "Ids that are waited for", metrics.missing.clone());
        registry.register("callbacks", "Callbacks by plugin, project and outcome", metrics.callbacks.clone());
        registry.register("callback_seconds", "How long callbacks took", metrics.seconds.clone());
        registry.register("retries", "Events that are tried again", metrics.retries.clone());
        registry.register("dead_letters", "Events that failed for good", metrics.dead.clone());
        registry.register("lag_events", "Events that wait", metrics.lag_events.clone());
        registry.register("lag_seconds", "Age of the event that a lane is at", metrics.lag_seconds.clone());
        registry.register("parked", "Whether a lane waits at a failed event", metrics.parked.clone());
        registry.register("workers", "Worker processes", metrics.workers.clone());
        registry.register("kept_events", "Events that are kept", metrics.kept.clone());
        registry.register("kept_dead_letters", "Dead letters that are kept", metrics.kept_dead.clone());
        metrics
    }
}

impl Metrics {
    /// A callback has ended.
    pub fn called(&self, plugin: &str, project: Option<i64>, outcome: &'static str, took: Option<Duration>) {
        let project = project.map_or_else(String::new, |id| id.to_string());
        let label = LaneLabel { plugin: plugin.to_owned(), project: project.clone() };
        if let Some(took) = took {
            self.seconds.get_or_create(&label).observe(took.as_secs_f64());
        }
        self.callbacks.get_or_create(&CallLabel { plugin: label.plugin, project, outcome }).inc();
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
