//! The socket for commands: a request a line, an answer a line, both JSON.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Operator, Request};

/// No request is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// So long may a socket's path be, everywhere.
const LONGEST_PATH: usize = 100;

/// A path for a socket, which is used while the file that comes with it is open: one that is too long is
/// walked by way of its folder.
fn reachable(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= LONGEST_PATH {
        return Ok((path.to_owned(), None));
    }
    let too_long =
        || io::Error::other("the path is too long for a socket; set [eventd] socket to a shorter one");
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(too_long()) };
    if !cfg!(target_os = "linux") || name.len() > LONGEST_PATH / 2 {
        return Err(too_long());
    }
    let folder = File::open(folder)?;
    let by_way_of = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((by_way_of, Some(folder)))
}

/// Makes the socket, for this user alone.
///
/// # Errors
/// It cannot be made. One that a daemon has left behind is replaced: the state's lock says that there is no
/// other. Anything else that is there stays.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("there is something there that is no socket"));
        }
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let (reachable, _folder) = reachable(path)?;
    let listener = UnixListener::bind(reachable)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// How often it is looked whether the socket is there still.
const LOOK: Duration = Duration::from_secs(5);

/// Answers requests forever. A socket that somebody has removed, as programs do that clean up, is made again.
pub async fn serve(mut listener: UnixListener, path: PathBuf, operator: Arc<Operator>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = look.tick() => {
                if matches!(path.try_exists(), Ok(false)) {
                    match listen(&path) {
                        Ok(new) => {
                            tracing::warn!(socket = %path.display(), "the socket was removed, and is made again");
                            listener = new;
                        }
                        Err(error) => tracing::debug!(%error, "the socket cannot be made again"),
                    }
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let operator = Arc::clone(&operator);
                tokio::spawn(async move {
                    // Whoever asked is gone.
                    let _ = converse(stream, &operator).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a command could not be heard");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, operator: &Operator) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LONGEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => match operator.handle(request).await {
                Ok(answer) => json!({ "ok": answer }),
                Err(error) => json!({ "error": error.to_string() }),
            },
            Err(error) => json!({ "error": format!("the request cannot be read: {error}") }),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

/// Why a daemon does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// None runs.
    #[error("no daemon listens at {}: is it running?", path.display())]
    Absent {
        /// Where it was asked.
        path: PathBuf,
    },
    /// It says no, or cannot be asked.
    #[error("{reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
}

impl AskError {
    /// Whether no daemon runs.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, AskError::Absent { .. })
    }

    fn refused(reason: impl Into<String>) -> AskError {
        AskError::Refused { reason: reason.into() }
    }
}

/// Asks a daemon that runs.
///
/// # Errors
/// There is none, or it says no.
pub async fn ask(path: &Path, request: &Request) -> Result<Value, AskError> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::Absent { path: path.to_owned() }
        }
        io::ErrorKind::PermissionDenied => {
            let words = "it is for the daemon's own user";
            AskError::refused(format!("cannot ask the daemon at {}: {words}", path.display()))
        }
        _ => AskError::refused(format!("cannot ask the daemon at {}: {error}", path.display())),
    };
    let (reachable, _folder) = reachable(path).map_err(told)?;
    let stream = UnixStream::connect(reachable).await.map_err(told)?;
    let (reader, mut writer) = stream.into_split();
    let line = serde_json::to_string(request).map_err(|error| AskError::refused(error.to_string()))?;
    writer.write_all(format!("{line}\n").as_bytes()).await.map_err(told)?;
    let mut answer = String::new();
    BufReader::new(reader).read_line(&mut answer).await.map_err(told)?;
    let mut answer: Value = serde_json::from_str(&answer)
        .map_err(|_| AskError::refused("the daemon has ended before it answered"))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(AskError::refused(error)),
        None => Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default()),
    }
}
