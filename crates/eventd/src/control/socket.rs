//! The socket for commands: a request a line, an answer a line, both JSON.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Operator, Request};

/// No request is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Makes the socket, for this user alone.
///
/// # Errors
/// It cannot be made. One that a daemon has left behind is replaced: the state's lock says that there is no
/// other.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() > 100 {
        return Err(io::Error::other(
            "the path is too long for a socket; set [eventd] socket to a shorter one",
        ));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests forever.
pub async fn serve(listener: UnixListener, operator: Arc<Operator>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let operator = Arc::clone(&operator);
                tokio::spawn(async move {
                    // Whoever asked is gone.
                    let _ = converse(stream, &operator).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a command could not be heard");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
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

/// Asks a daemon that runs.
///
/// # Errors
/// There is none, or it says no.
pub async fn ask(path: &Path, request: &Request) -> Result<Value, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no daemon listens at {}: is it running?", path.display())
        }
        _ => format!("cannot ask the daemon at {}: {error}", path.display()),
    };
    let stream = UnixStream::connect(path).await.map_err(told)?;
    let (reader, mut writer) = stream.into_split();
    let line = serde_json::to_string(request).map_err(|error| error.to_string())?;
    writer.write_all(format!("{line}\n").as_bytes()).await.map_err(told)?;
    let mut answer = String::new();
    BufReader::new(reader).read_line(&mut answer).await.map_err(told)?;
    let mut answer: Value =
        serde_json::from_str(&answer).map_err(|_| "the daemon has ended before it answered".to_owned())?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default()),
    }
}
