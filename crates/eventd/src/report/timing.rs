//! The timing log: a line for each callback, with the fields of shotgunEvents.

use std::path::PathBuf;

use parking_lot::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::log::Rotating;

/// The timing log.
#[derive(Debug)]
pub struct Timing {
    file: Mutex<Rotating>,
}

/// What is said of a callback.
#[derive(Clone, Copy, Debug)]
pub struct Timed<'a> {
    /// The event.
    pub event: i64,
    /// When it happened.
    pub created: Option<Timestamp>,
    /// `plugin.callback`.
    pub callback: &'a str,
    /// When the callback began, Unix time in seconds.
    pub begun: f64,
    /// How long it took.
    pub took: Duration,
    /// Whether it raised.
    pub failed: bool,
}

impl Timing {
    /// A timing log in a file.
    #[must_use]
    pub fn new(path: PathBuf) -> Timing {
        Timing { file: Mutex::new(Rotating::new(path)) }
    }

    /// Writes a line.
    pub fn write(&self, timed: Timed<'_>) {
        let zone = TimeZone::system();
        let iso = |at: Timestamp| iso(at, &zone);
        let begun = Timestamp::from_microsecond((timed.begun * 1e6) as i64).unwrap_or_default();
        let ended = begun.checked_add(timed.took).unwrap_or(begun);
        let created = timed.created.unwrap_or(begun);
        let delay = Duration::try_from(begun.duration_since(created)).unwrap_or_default();
        let now = Timestamp::now().to_zoned(zone.clone());
        let line = format!(
            "{},{:03} - timing - INFO - event_id={} created_at={} callback={} start={} end={} duration={} \
             error={} delay={}",
            now.strftime("%Y-%m-%d %H:%M:%S"),
            now.millisecond(),
            timed.event,
            iso(created),
            timed.callback,
            iso(begun),
            iso(ended),
            clock(timed.took),
            if timed.failed { "True" } else { "False" },
            clock(delay),
        );
        self.file.lock().write(&line);
    }
}

/// As Python's `isoformat` has it: without microseconds where there are none.
fn iso(at: Timestamp, zone: &TimeZone) -> String {
    let whole = at.as_microsecond() % 1_000_000 == 0;
    let format = if whole { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%dT%H:%M:%S%.6f%:z" };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

/// `00:00:00:01.000250`: days, hours, minutes, seconds, microseconds.
fn clock(time: Duration) -> String {
    let (days, seconds) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{days:02}:{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_python_writes_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let at = |micros| iso(Timestamp::from_microsecond(micros).unwrap(), &zone);
        assert_eq!(at(1_700_000_000_000_000), "2023-11-14T17:13:20-05:00");
        assert_eq!(at(1_700_000_000_000_250), "2023-11-14T17:13:20.000250-05:00");
    }

    #[test]
    fn times_have_days_and_microseconds() {
        assert_eq!(clock(Duration::from_micros(250)), "00:00:00:00.000250");
        assert_eq!(clock(Duration::from_secs(2 * 86_400 + 3 * 3600 + 4 * 60 + 5)), "02:03:04:05.000000");
    }
}
