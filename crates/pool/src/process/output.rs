//! What workers print and log, as `tracing` events.

use std::collections::VecDeque;

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use serde::Deserialize;
use sgtk_config::keys::{Secrets, begun_at_end, redacted};

use crate::wire::{LogRecord, Received};

/// A line with more bytes than this is emitted in parts.
const LONGEST: usize = 16 * 1024;

/// How many of the last lines errors show, and how many bytes of each.
const REMEMBERED: usize = 20;
const REMEMBERED_BYTES: usize = 500;

/// How many bytes of one pipe are read before another one's turn: as many as a pipe holds on Linux. A process
/// that never stops printing keeps nobody from hearing of the others.
pub(super) const SHARE: usize = 64 * 1024;

/// How much is read at once.
const READ: usize = 16 * 1024;

/// The limit on log records, in bytes. The agent cuts their texts far below it.
const LARGEST_RECORD: usize = 16 * 1024 * 1024;

/// The last lines of a process's output.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
}

impl Tail {
    fn add(&mut self, line: &str) {
        let oldest = if self.lines.len() == REMEMBERED { self.lines.pop_front() } else { None };
        // Used again, as a process may print any number of lines.
        let mut kept = oldest.unwrap_or_default();
        kept.clear();
        let mut end = line.len().min(REMEMBERED_BYTES);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        kept.push_str(line.get(..end).unwrap_or_default());
        if end < line.len() {
            kept.push('…');
        }
        self.lines.push_back(kept);
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Splits bytes into lines. Invalid UTF-8 is replaced, long lines are split.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (text, rest) = bytes.split_at(end);
            self.grow(text, &mut line);
            self.flush(&mut line);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.grow(bytes, &mut line);
    }

    fn grow(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&str)) {
        while self.partial.len() + bytes.len() > LONGEST {
            let (part, rest) = bytes.split_at(LONGEST - self.partial.len());
            self.partial.extend_from_slice(part);
            bytes = rest;
            self.emit_part(line);
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Emits the beginning of a line that continues, without a character or a key that is not complete yet.
    fn emit_part(&mut self, line: &mut impl FnMut(&str)) {
        let last = self.partial.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        let incomplete = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
        let incomplete = if incomplete { last.len() } else { 0 };
        // Nor without the end of a key that begins here; a part that is all beginning goes out as it is.
        let begun = Some(begun_at_end(&self.partial)).filter(|begun| *begun < self.partial.len());
        let kept = self.partial.split_off(self.partial.len() - incomplete.max(begun.unwrap_or(0)));
        self.emit(line);
        self.partial = kept;
    }

    /// Emits the line that has ended.
    fn flush(&mut self, line: &mut impl FnMut(&str)) {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        self.emit(line);
    }

    fn emit(&mut self, line: &mut impl FnMut(&str)) {
        line(&String::from_utf8_lossy(&self.partial));
        self.partial.clear();
    }
}

/// One of the two standard outputs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Out,
    Error,
}

/// A pipe from one of a process's standard outputs.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) pipe: OwnedFd,
    stream: Stream,
    /// What was read and not emitted yet.
    raw: Vec<u8>,
    lines: Lines,
}

/// How many bytes a pipe holds now.
pub(super) fn held(pipe: &OwnedFd) -> usize {
    rustix::io::ioctl_fionread(pipe).map_or(SHARE, |held| usize::try_from(held).unwrap_or(usize::MAX))
}

/// When a pipe may have more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Now,
    Later,
    Never,
}

impl Output {
    pub(super) fn new(pipe: OwnedFd, stream: Stream) -> Self {
        Self { pipe, stream, raw: Vec::new(), lines: Lines::default() }
    }

    /// Reads what was written, up to so many bytes.
    pub(super) fn read(&mut self, most: usize) -> More {
        let mut buffer = [0; READ];
        let mut left = most;
        while left > 0 {
            let room = buffer.get_mut(..left.min(READ)).unwrap_or_default();
            match rustix::io::read(&self.pipe, room) {
                Ok(0) => return More::Never,
                Ok(read) => {
                    left -= read;
                    self.raw.extend_from_slice(buffer.get(..read).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return More::Later,
                Err(_) => return More::Never,
            }
        }
        More::Now
    }

    /// Emits the lines of what was read.
    pub(super) fn emit(&mut self, project: &str, pid: u32, tail: &mut Tail) {
        let stream = self.stream;
        self.lines.feed(&self.raw, |line| emit_line(project, pid, stream, line, tail));
        self.raw.clear();
    }

    /// Emits a last line without a line end.
    pub(super) fn finish(&mut self, project: &str, pid: u32, tail: &mut Tail) {
        if !self.lines.partial.is_empty() {
            let stream = self.stream;
            self.lines.flush(&mut |line: &str| emit_line(project, pid, stream, line, tail));
        }
    }
}

fn emit_line(project: &str, pid: u32, stream: Stream, line: &str, tail: &mut Tail) {
    let line = redacted(line);
    tail.add(&line);
    match stream {
        Stream::Out => tracing::info!(target: "sgtk_pool::worker", project, pid, stream = "stdout", "{line}"),
        Stream::Error => {
            tracing::warn!(target: "sgtk_pool::worker", project, pid, stream = "stderr", "{line}")
        }
    }
}

/// The pipe with a process's log records.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) pipe: OwnedFd,
    received: Received,
    /// Keys that have come up in the process, to be hidden in all that comes from it.
    secrets: Option<Secrets>,
}

/// How a record begins that is a key.
const SECRET: &[u8] = b"{\"secret\":";

#[derive(Deserialize)]
struct Learned {
    secret: String,
}

impl Records {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe, received: Received::default(), secrets: None }
    }

    pub(super) fn into_secrets(self) -> Option<Secrets> {
        self.secrets
    }

    /// Emits the records that were written, up to about so many bytes.
    pub(super) fn read(&mut self, project: &str, pid: u32, most: usize) -> More {
        let mut left = most;
        while left > 0 {
            match self.received.read_from(&self.pipe) {
                Ok(0) => return More::Never,
                Ok(read) => left = left.saturating_sub(read),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return More::Later,
                Err(_) => return More::Never,
            }
            loop {
                match self.received.next(LARGEST_RECORD) {
                    Ok(Some(frame)) if frame.body().starts_with(SECRET) => {
                        if let Ok(Learned { secret }) = serde_json::from_slice(frame.body()) {
                            self.secrets.get_or_insert_with(|| Secrets::in_use([])).learner().learn(&secret);
                        }
                    }
                    Ok(Some(frame)) => match serde_json::from_slice(frame.body()) {
                        Ok(record) => emit_record(project, pid, &record),
                        Err(error) => {
                            tracing::warn!(project, pid, %error, "invalid log record from a worker");
                        }
                    },
                    Ok(None) => break,
                    Err(_) => {
                        tracing::warn!(
                            project,
                            pid,
                            "cannot read more log records of a worker: invalid frame"
                        );
                        return More::Never;
                    }
                }
            }
        }
        More::Now
    }
}

/// Emits one record. A level between two of `tracing` counts as the lower one, as in `sgtk-host`.
fn emit_record(project: &str, worker: u32, record: &LogRecord) {
    let (logger, thread) = (record.logger.as_str(), record.thread.as_str());
    let message = match &record.exc {
        Some(traceback) => format!("{}\n{}", record.message, traceback.trim_end()),
        None => record.message.clone(),
    };
    let message = redacted(&message);
    // A process that a plugin has forked logs over the same pipe.
    let pid = if record.pid == 0 { i64::from(worker) } else { record.pid };
    match record.level {
        ..10 => tracing::trace!(target: "sgtk", project, pid, logger, thread, "{message}"),
        10..20 => tracing::debug!(target: "sgtk", project, pid, logger, thread, "{message}"),
        20..30 => tracing::info!(target: "sgtk", project, pid, logger, thread, "{message}"),
        30..40 => tracing::warn!(target: "sgtk", project, pid, logger, thread, "{message}"),
        _ => tracing::error!(target: "sgtk", project, pid, logger, thread, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for part in parts {
            lines.feed(part, |line| found.push(line.to_owned()));
        }
        if !lines.partial.is_empty() {
            lines.flush(&mut |line: &str| found.push(line.to_owned()));
        }
        found
    }

    #[test]
    fn lines_are_emitted_without_their_ends() {
        assert_eq!(lines(&[b"a\r\n\nb", b"c\n", b"d"]), ["a", "", "bc", "d"]);
    }

    #[test]
    fn a_long_line_comes_in_parts_and_nothing_of_it_is_lost() {
        let long = vec![b'x'; 3 * LONGEST + 5];
        let found = lines(&[&long, b"\nafter\n"]);
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, LONGEST, 5, 5]);
    }

    #[test]
    fn a_long_line_is_split_between_characters_and_a_binary_one_anywhere() {
        for (text, ends) in
            [("x".to_owned() + &"é".repeat(LONGEST), "é"), ("ab".to_owned() + &"😀".repeat(LONGEST), "😀")]
        {
            let found = lines(&[text.as_bytes(), b"\n"]);
            assert!(
                found.len() > 2 && found.concat() == text && found.iter().all(|part| part.ends_with(ends))
            );
        }
        let found = lines(&[&[0xe2; 2 * LONGEST], b"\n"]);
        assert_eq!(found.concat().chars().count(), 2 * LONGEST);
    }

    #[test]
    fn a_key_in_a_long_line_is_hidden_wherever_the_line_is_split() {
        let key = "key-é-where-a-line-is-split";
        let _secrets = Secrets::in_use([key.to_owned().into()]);
        for before in LONGEST - key.len() - 1..=LONGEST + 1 {
            let text = "x".repeat(before) + key + &"y".repeat(LONGEST) + key;
            let found = lines(&[text.as_bytes(), b"\n"]);
            assert_eq!(found.concat(), text);
            let shown = found.iter().map(|line| redacted(line)).collect::<String>();
            assert!(!shown.contains("key-") && !shown.contains("split"), "{before}");
        }
    }

    #[test]
    fn the_tail_keeps_the_last_lines_and_cuts_long_ones_between_characters() {
        let mut tail = Tail::default();
        for number in 0..25 {
            tail.add(&format!("{number}"));
        }
        tail.add(&"é".repeat(400));
        let text = tail.text();
        let kept: Vec<_> = text.lines().collect();
        assert_eq!((kept.len(), kept[0]), (20, "6"));
        assert_eq!(kept[19], format!("{}…", "é".repeat(250)));
    }

    #[test]
    fn no_more_of_a_pipe_is_read_than_its_share_and_at_the_end_what_it_holds() {
        let (pipe, writer) = crate::process::child::pipe().unwrap();
        crate::process::child::set_nonblocking(&pipe).unwrap();
        rustix::io::write(&writer, b"one\ntwo\nthree").unwrap();
        let mut output = Output::new(pipe, Stream::Out);
        let mut tail = Tail::default();
        assert_eq!(output.read(4), More::Now);
        output.emit("p", 1, &mut tail);
        assert_eq!(tail.text(), "one");
        let rest = held(&output.pipe);
        assert_eq!(rest, 9);
        rustix::io::write(&writer, b" and more").unwrap();
        assert_eq!(output.read(rest), More::Now);
        output.emit("p", 1, &mut tail);
        output.finish("p", 1, &mut tail);
        assert_eq!(tail.text(), "one\ntwo\nthree");
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines_wherever_reads_end(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), cut in 0usize..200,
        ) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(lines(&[first, second]), lines(&[&bytes]));
        }
    }
}
