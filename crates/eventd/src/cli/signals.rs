//! The signals of a daemon, which mean the same from its first moment to its last.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Handles SIGTERM, SIGINT and SIGHUP from when it is made, and keeps what came until it is asked for.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end.
    End,
    /// To load all plugins anew.
    Reload,
}

impl Signals {
    /// Has the process handle them.
    ///
    /// # Errors
    /// The system's, where it does not let it.
    pub(super) fn handle() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Does some work, unless a signal ends the process meanwhile: then the work is dropped, and there is no
    /// result. SIGHUP is kept for later.
    pub(super) async fn unless_ended<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = work => Some(result),
            _ = self.terminate.recv() => None,
            _ = self.interrupt.recv() => None,
        }
    }
}
