//! What workers print and log. Each test listens to `tracing` in a process of its own.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sgtk_host_fixtures::{isolated, misbehaving_plugins};
use sgtk_pool::{Call, WorkerPool};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::{Studio, until};

/// An event, its fields as text.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    level: String,
    target: String,
    message: String,
    fields: std::collections::BTreeMap<&'static str, String>,
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name(), text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<Mutex<Vec<Heard>>>);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::DEBUG {
            let mut heard = Heard {
                level: metadata.level().to_string(),
                target: metadata.target().to_owned(),
                ..Heard::default()
            };
            event.record(&mut heard);
            self.0.lock().unwrap().push(heard);
        }
    }
}

impl Listener {
    pub(crate) fn install() -> Listener {
        let listener = Listener::default();
        tracing_subscriber::registry().with(listener.clone()).init();
        listener
    }

    /// All that was heard so far, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }

    /// The messages of all warnings and errors so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let loud = heard.iter().filter(|one| ["WARN", "ERROR"].contains(&one.level.as_str()));
        loud.map(|one| one.message.clone()).collect()
    }

    fn with_target(&self, target: &str) -> Vec<Heard> {
        self.0.lock().unwrap().iter().filter(|heard| heard.target == target).cloned().collect()
    }

    /// The lines of a stream so far.
    fn lines(&self, stream: &str) -> Vec<Heard> {
        let mut lines = self.with_target("sgtk_pool::worker");
        lines.retain(|heard| heard.fields.get("stream").is_some_and(|found| found == stream));
        lines
    }
}

/// Runs a test in a process of its own, for workers that were started and for such as were forked.
fn listening(name: &str, test: impl Fn(&Listener, &WorkerPool)) {
    isolated(&format!("output::{name}"), || {
        let listener = Listener::install();
        for templates in [false, true] {
            let studio = Studio::of(&["a"]);
            let options = studio.options().plugin_path(misbehaving_plugins()).templates(templates);
            let pool = options.build().unwrap();
            pool.prewarm(["a"])[0].1.as_ref().unwrap();
            listener.0.lock().unwrap().clear();
            test(&listener, &pool);
        }
    });
}

fn pid(pool: &WorkerPool) -> String {
    pool.stats().projects[0].pid.unwrap().to_string()
}

#[test]
fn what_is_printed_comes_line_by_line_with_project_and_pid() {
    listening("what_is_printed_comes_line_by_line_with_project_and_pid", |listener, pool| {
        let call = Call::new("told:say").arg("one\ntwo \u{e9}").arg("three");
        pool.call::<Value>("a", call).unwrap();
        until("the lines", || listener.lines("stdout").len() == 2 && listener.lines("stderr").len() == 1);
        let lines = listener.lines("stdout");
        let texts: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(texts, ["one", "two \u{e9}"]);
        assert_eq!((&lines[0].fields["project"], &lines[0].fields["pid"]), (&"a".to_owned(), &pid(pool)));
        assert_eq!(listener.lines("stderr")[0].message, "three");
    });
}

#[test]
fn megabytes_of_output_all_arrive_and_hold_up_no_call() {
    listening("megabytes_of_output_all_arrive_and_hold_up_no_call", |listener, pool| {
        let count: u64 = pool.call("a", Call::new("bad_prints:megabytes").arg(2)).unwrap();
        assert_eq!(count, 2);
        until("all lines", || {
            listener.lines("stdout").len() == 16384 && listener.lines("stderr").len() == 16384
        });
        assert!(listener.lines("stdout").iter().all(|line| line.message == "x".repeat(63)));
    });
}

#[test]
fn binary_and_endless_lines_are_told_as_text() {
    listening("binary_and_endless_lines_are_told_as_text", |listener, pool| {
        assert_eq!(pool.call::<u64>("a", Call::new("bad_prints:binary").arg(100)).unwrap(), 100);
        assert_eq!(pool.call::<u64>("a", Call::new("bad_prints:one_long_line").arg(1)).unwrap(), 1);
        pool.call::<Value>("a", Call::new("told:say").arg("\nthe end")).unwrap();
        until("the last line", || listener.lines("stdout").iter().any(|line| line.message == "the end"));
        let lines = listener.lines("stdout");
        let long: usize = lines.iter().map(|line| line.message.matches('y').count()).sum();
        // 100 of them are from the binary ones.
        assert_eq!(long, (1 << 20) + 100);
        assert!(lines.iter().any(|line| line.message.contains('\u{fffd}')));
    });
}

#[test]
fn log_records_are_events_with_their_level_and_logger() {
    listening("log_records_are_events_with_their_level_and_logger", |listener, pool| {
        for (logger, level) in
            [("sgtk.core.api", 10), ("sgtk", 20), ("my.plugin", 30), ("sgtk.env", 40), ("sgtk", 50)]
        {
            let call = Call::new("told:log").arg(logger).arg(level).arg(format!("at {level}"));
            pool.call::<Value>("a", call).unwrap();
        }
        pool.call::<Value>("a", Call::new("told:log_exception").arg("sgtk.core")).unwrap();
        until("the records", || listener.with_target("sgtk").len() >= 6);
        let heard = listener.with_target("sgtk");
        let told: Vec<(&str, &str, &str)> = heard
            .iter()
            .map(|heard| (&*heard.level, &*heard.fields["logger"], heard.message.lines().next().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                ("DEBUG", "sgtk.core.api", "at 10"),
                ("INFO", "sgtk", "at 20"),
                ("WARN", "my.plugin", "at 30"),
                ("ERROR", "sgtk.env", "at 40"),
                ("ERROR", "sgtk", "at 50"),
                ("ERROR", "sgtk.core", "it failed: here"),
            ]
        );
        assert!(heard[5].message.contains("KeyError: 'logged'"), "{}", heard[5].message);
        assert!(heard.iter().all(|heard| heard.fields["pid"] == pid(pool) && heard.fields["project"] == "a"));
    });
}

#[test]
fn the_last_lines_are_in_the_error_of_a_death() {
    listening("the_last_lines_are_in_the_error_of_a_death", |_, pool| {
        pool.call::<Value>("a", Call::new("told:say").arg("before it died")).unwrap();
        let error = pool.call::<Value>("a", Call::new("bad_exits:at_once").arg(3)).unwrap_err();
        let sgtk_pool::PoolError::WorkerLost { output, how, .. } = &error else { panic!("{error:?}") };
        // The second one without an end of line.
        assert!(output.contains("before it died") && output.contains("about to leave"), "{output}");
        assert!(how.contains("status 3"), "{how}");
        let error = pool.call::<Value>("a", Call::new("bad_exits:by_null_pointer")).unwrap_err();
        assert!(error.to_string().contains("in by_null_pointer"), "{error}");
    });
}

#[test]
fn a_plugin_may_close_or_take_away_the_streams() {
    listening("a_plugin_may_close_or_take_away_the_streams", |_, pool| {
        for (function, expected) in [("closes_the_streams", "closed"), ("replaces_the_streams", "gone")] {
            let result: Value = pool.call("a", Call::new(format!("bad_prints:{function}"))).unwrap();
            assert_eq!(result, json!(expected));
        }
        assert_eq!(pool.call::<u32>("a", Call::new("told:echo").arg(1)).unwrap(), 1);
    });
}
