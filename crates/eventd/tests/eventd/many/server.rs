//! A NATS server of a test's own, on the loopback interface.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sgtk_host_fixtures::missing;

/// The program, or a note that there is none.
pub(crate) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("SGTK_HOST_NATS_SERVER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file())
    });
    if found.is_none() {
        missing("no nats-server is on the PATH, and SGTK_HOST_NATS_SERVER names none");
    }
    found
}

/// A port that nobody listens at. It is the server's again when that is started anew.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server. It is killed when this value goes.
pub(crate) struct Server {
    program: PathBuf,
    store: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    monitor: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts one that writes everything to the disk at once.
    pub(crate) fn start(program: &Path) -> Server {
        Server::with(program, "sync_interval: always")
    }

    /// Starts one with other lines for JetStream.
    pub(crate) fn with(program: &Path, jetstream: &str) -> Server {
        Server::with_lines(program, jetstream, "")
    }

    /// The same, with other lines of its own.
    pub(crate) fn with_lines(program: &Path, jetstream: &str, lines: &str) -> Server {
        let folder = tempfile::Builder::new().prefix("eventd-nats-").tempdir().unwrap();
        let store = folder.path().join("store");
        Server::new(program, folder, store, jetstream, lines)
    }

    /// The same, with its files in a folder.
    pub(crate) fn at(program: &Path, store: &Path, jetstream: &str, lines: &str) -> Server {
        let folder = tempfile::Builder::new().prefix("eventd-nats-").tempdir().unwrap();
        Server::new(program, folder, store.join("store"), jetstream, lines)
    }

    /// None at all, in the place of one that was taken away.
    pub(crate) fn none() -> Server {
        let folder = tempfile::Builder::new().prefix("eventd-nats-").tempdir().unwrap();
        Server { program: PathBuf::new(), store: PathBuf::new(), folder, port: 0, monitor: 0, child: None }
    }

    fn new(
        program: &Path,
        folder: tempfile::TempDir,
        store: PathBuf,
        jetstream: &str,
        lines: &str,
    ) -> Server {
        let (port, monitor) = (port(), port());
        let text = format!(
            "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\nping_interval: \"1s\"\nping_max: 2\n\
             jetstream {{ store_dir: \"{}\"\n{jetstream} }}\n{lines}\n",
            store.display()
        );
        fs::write(folder.path().join("nats.conf"), text).unwrap();
        let program = program.to_owned();
        let mut server = Server { program, store, folder, port, monitor, child: None };
        server.again();
        server
    }

    /// Starts it again, with what it has on the disk.
    pub(crate) fn again(&mut self) {
        let log =
            fs::OpenOptions::new().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// All that it has on the disk.
    pub(crate) fn store(&self) -> PathBuf {
        self.store.clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its own and that of its monitoring.
    pub(crate) fn ports(&self) -> [u16; 2] {
        [self.port, self.monitor]
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn monitor(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
