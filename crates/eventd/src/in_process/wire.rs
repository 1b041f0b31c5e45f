//! What the daemon and the process of the projects say to each other: JSON behind its length.

use std::io::{self, Read};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::projects::Bootstrapped;
use crate::report::log::Record;

/// The command by which the daemon starts the process. Nobody else gives it.
pub(crate) const COMMAND: &str = "host-projects";

/// More than this is no frame.
const LARGEST: usize = 256 << 20;

/// How many bytes say a frame's length.
const LENGTH: usize = 4;

/// The first frame: how projects are to be hosted.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Setup {
    /// The folder of the daemon's Python files.
    pub(super) home: PathBuf,
    /// The Python whose packages are used. None: the linked one.
    pub(super) python: Option<PathBuf>,
    /// The folder of the pipeline configurations.
    pub(super) configs: PathBuf,
    /// How many projects are in memory at a time.
    pub(super) most: Option<usize>,
    /// After how many seconds without work a project is dropped.
    pub(super) idle: Option<f64>,
}

/// A call of a function of the daemon's Python files.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Request {
    pub(super) id: u64,
    /// Whose plugins: each worker by name has plugins of its own.
    pub(super) worker: String,
    /// The folder of the project's configuration, or the name of a bootstrap.
    pub(super) project: String,
    pub(super) bootstrap: Option<Bootstrapped>,
    /// The function of `plugins.py`.
    pub(super) function: String,
    pub(super) arguments: Vec<Box<RawValue>>,
}

/// What the daemon wants.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Order {
    Call(Box<Request>),
    /// Break off a call.
    Abort(u64),
    /// The worker of this name starts anew with its next call.
    Forget(String),
    /// Take no more calls, and end.
    End,
}

/// What the process says.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum News {
    /// It takes calls; the version of its Python.
    Ready(String),
    /// It cannot: why. It ends.
    Unfit(String),
    /// A call's function is called now.
    Began(u64),
    Done(u64, Box<RawValue>),
    Failed(u64, Failed),
    /// A key that has come up, to be hidden.
    Secret(String),
    Logged(Record),
    /// A record of a plugin's logger, as `records.py` has it.
    Record(String),
}

/// Why a call has no result.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Failed {
    pub(super) how: How,
    pub(super) message: String,
    pub(super) classes: Vec<String>,
    pub(super) traceback: Option<String>,
}

/// What has become of the function.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum How {
    /// It was not called.
    NeverRan,
    /// It raised.
    Raised,
    /// It was broken off; what its worker had loaded is dropped.
    Interrupted,
}

/// A frame of a value.
pub(super) fn frame(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; LENGTH];
    serde_json::to_writer(&mut frame, value)?;
    let length = u32::try_from(frame.len() - LENGTH).map_err(io::Error::other)?;
    frame.splice(..LENGTH, length.to_le_bytes());
    Ok(frame)
}

/// Waits for a frame. None at the end.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; LENGTH];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = sized(length)?;
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

fn sized(length: [u8; LENGTH]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > LARGEST { Err(io::Error::other("what came is no frame")) } else { Ok(length) }
}

/// Bytes that have come so far.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
}

impl Received {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the frames that are complete.
    pub(super) fn take(&mut self) -> io::Result<Vec<News>> {
        let mut news = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<LENGTH>() {
            let Some((body, behind)) = after.split_at_checked(sized(*length)?) else { break };
            news.push(serde_json::from_slice(body)?);
            rest = behind;
        }
        let taken = self.bytes.len() - rest.len();
        self.bytes.drain(..taken);
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_in_any_pieces() {
        let value = RawValue::from_string("[1,\n 2]".to_owned()).unwrap();
        let sent = [News::Began(7), News::Done(7, value), News::Record("{}".to_owned())];
        let bytes: Vec<u8> = sent.iter().flat_map(|news| frame(news).unwrap()).collect();
        let told = |news: &[News]| news.iter().map(|news| format!("{news:?}")).collect::<Vec<_>>();
        for size in [1, 3, 1000] {
            let mut received = Received::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                received.add(piece);
                got.extend(received.take().unwrap());
            }
            assert_eq!(told(&got), told(&sent));
        }
        let mut all = bytes.as_slice();
        let first: Option<News> = read(&mut all).unwrap();
        assert_eq!(told(&[first.unwrap()]), told(&sent[..1]));
        let mut noise = Received::default();
        noise.add(&[0xff; 10]);
        assert!(noise.take().is_err());
    }
}
