//! What a host tells by `tracing`, kept for tests.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What was told, as texts by the names of the fields; `span` or `event` says which it was.
pub(crate) type Told = BTreeMap<String, String>;

/// Keeps all of it.
#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<Mutex<Vec<Told>>>);

struct Fields<'a>(&'a mut Told);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut told = Told::from([("span".to_owned(), attributes.metadata().name().to_owned())]);
        attributes.record(&mut Fields(&mut told));
        self.0.lock().unwrap().push(told);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut told = Told::from([
            ("target".to_owned(), metadata.target().to_owned()),
            ("level".to_owned(), metadata.level().to_string()),
        ]);
        event.record(&mut Fields(&mut told));
        self.0.lock().unwrap().push(told);
    }
}

impl Listener {
    /// Begins, for the process.
    pub(crate) fn listening() -> Self {
        let listener = Self::default();
        tracing_subscriber::registry().with(listener.clone()).init();
        listener
    }

    /// All that was told with this value of this field.
    pub(crate) fn with(&self, field: &str, value: &str) -> Vec<Told> {
        let told = self.0.lock().unwrap();
        told.iter().filter(|one| one.get(field).is_some_and(|told| told == value)).cloned().collect()
    }

    /// The only one with this value of this field.
    #[track_caller]
    pub(crate) fn one(&self, field: &str, value: &str) -> Told {
        let found = self.with(field, value);
        assert_eq!(found.len(), 1, "{field} {value} among {:#?}", self.0.lock().unwrap());
        found.into_iter().next().unwrap()
    }
}
