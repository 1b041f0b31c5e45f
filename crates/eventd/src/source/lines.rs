//! Events from a file of JSON lines, in a site's place: for trying plugins, and for giving a log out again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};

use super::poll::Readers;
use super::window::Window;
use crate::event::Event;
use crate::queue::{Batch, Queue, QueueError};

/// How many lines are appended at once.
const BATCH: usize = 500;

/// Why the lines cannot be read to their end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinesError {
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: String,
        /// Why. It is part of the message.
        cause: std::io::Error,
    },
    /// A line is no event.
    #[error("{path}, line {line}: {cause}")]
    Line {
        /// The file.
        path: String,
        /// Its number, from 1.
        line: usize,
        /// Why. It is part of the message.
        cause: serde_json::Error,
    },
    /// They cannot be appended.
    #[error(transparent)]
    Queue {
        /// Why.
        #[from]
        source: QueueError,
    },
}

/// Appends the events of a file, `-` for standard input, in its order. `told` hears how many lines were read
/// so far. Returns how many events were new: those that were given out before, by their ids, are left out.
///
/// # Errors
/// The file cannot be read, or a line of it is no event; what stands before it is appended.
pub async fn feed(
    path: &Path,
    site: &Arc<str>,
    queue: &dyn Queue,
    readers: &dyn Readers,
    told: impl Fn(usize) + Send,
) -> Result<usize, LinesError> {
    let name = path.display().to_string();
    let read = |cause| LinesError::Read { path: name.clone(), cause };
    let mut source: Box<dyn AsyncBufRead + Unpin + Send> = if name == "-" {
        Box::new(BufReader::new(tokio::io::stdin()))
    } else {
        Box::new(BufReader::new(tokio::fs::File::open(path).await.map_err(read)?))
    };
    let known = queue.window(site).await?;
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    let mut window = known.clone().unwrap_or_else(|| Window::new(0));
    let above = known.map_or(0, |window| window.cursor());
    let (mut line, mut number, mut new) = (String::new(), 0, 0);
    let mut batch = Vec::new();
    loop {
        line.clear();
        let more = source.read_line(&mut line).await.map_err(read)? > 0;
        if more {
            number += 1;
            if line.trim().is_empty() {
                continue;
            }
            let bad = |cause| LinesError::Line { path: name.clone(), line: number, cause };
            let body = serde_json::from_str::<Box<RawValue>>(line.trim()).map_err(bad)?;
            let event = Event::new(site, body).map_err(bad)?;
            if event.id > above && seen.insert(event.id) {
                batch.push(event);
            }
        }
        if batch.len() >= BATCH || !more && !batch.is_empty() {
            let events = std::mem::take(&mut batch);
            readers.expect(site, events.iter().filter_map(|event| event.project).collect()).await?;
            // The file is all that there is: nothing in it is waited for.
            window = Window::new(events.iter().map(|event| event.id).fold(window.cursor(), i64::max));
            new += queue.append(Batch { site: Arc::clone(site), events, window: window.clone() }).await?;
        }
        told(number);
        if !more {
            return Ok(new);
        }
    }
}
