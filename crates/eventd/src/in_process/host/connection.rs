//! What this process says to the daemon.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;
use sgtk_config::keys::redacted;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::in_process::wire::{News, frame};
use crate::report::log::Record;

/// The way to the daemon.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Mutex<UnixStream>,
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> Connection {
        Connection { socket: Mutex::new(socket) }
    }

    /// Says something. A daemon that has ended hears nothing more.
    pub(super) fn send(&self, news: &News) {
        if let Ok(frame) = frame(news) {
            let mut socket = self.socket.lock();
            let _ = socket.write_all(&frame);
        }
    }
}

/// This process's own log, Toolkit's records among it.
pub(super) struct ToDaemon(pub(super) Arc<Connection>);

impl<S: Subscriber> Layer<S> for ToDaemon {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if let Some(mut record) = Record::of(event) {
            record.message = redacted(&record.message).into_owned();
            self.0.send(&News::Logged(record));
        }
    }
}
