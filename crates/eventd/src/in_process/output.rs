//! What is printed in the process of the projects.

use std::collections::VecDeque;
use std::io;

use sgtk_config::keys::redacted;
use tokio::net::unix::pipe;

/// A line with more bytes than this is told in parts.
const LONGEST: usize = 16 * 1024;

/// How many of the last lines of output an error shows.
const REMEMBERED: usize = 20;

/// How many reads at a time, at most: as many as empty a pipe that is as large as a user may make one.
pub(super) const WHOLE: usize = 16;

/// One of the standard outputs.
pub(super) struct Output {
    pipe: pipe::Receiver,
    is_error: bool,
    pub(super) is_open: bool,
    bytes: Vec<u8>,
}

impl Output {
    pub(super) fn new(pipe: pipe::Receiver, is_error: bool) -> Output {
        Output { pipe, is_error, is_open: true, bytes: Vec::new() }
    }

    pub(super) async fn readable(&self) {
        // What is wrong with it is found by reading.
        let _ = self.pipe.readable().await;
    }

    /// Reads what is there, up to as much as a pipe holds: who never stops printing keeps nobody waiting.
    pub(super) fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        match self.pipe.try_read(&mut buffer) {
            Ok(0) => self.is_open = false,
            Ok(count) => self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.is_open = false,
        }
    }

    /// Tells the lines that are complete.
    pub(super) fn tell(&mut self, pid: u32, tail: &mut VecDeque<String>) {
        loop {
            let end = self.bytes.iter().take(LONGEST).position(|byte| *byte == b'\n');
            let Some(end) = end.or_else(|| (self.bytes.len() > LONGEST).then_some(LONGEST)) else { return };
            let line: Vec<u8> = self.bytes.drain(..end).collect();
            if self.bytes.first() == Some(&b'\n') {
                self.bytes.remove(0);
            }
            self.tell_line(&line, pid, tail);
        }
    }

    /// Tells a last line without an end.
    pub(super) fn finish(&mut self, pid: u32, tail: &mut VecDeque<String>) {
        for _ in 0..WHOLE {
            self.read();
        }
        self.tell(pid, tail);
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() {
            self.tell_line(&line, pid, tail);
        }
    }

    fn tell_line(&self, line: &[u8], pid: u32, tail: &mut VecDeque<String>) {
        let line = String::from_utf8_lossy(line);
        let line = redacted(line.trim_end_matches('\r'));
        if tail.len() == REMEMBERED {
            tail.pop_front();
        }
        tail.push_back(line.chars().take(500).collect());
        if self.is_error {
            tracing::warn!(pid, stream = "stderr", "{line}");
        } else {
            tracing::info!(pid, stream = "stdout", "{line}");
        }
    }
}
