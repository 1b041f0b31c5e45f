//! A network of its own for a host: two network namespaces and a link between them. While it is down packets
//! vanish; no connection is closed. Needs `ip` and the right to make namespaces.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use sgtk_host_fixtures::missing;

/// Where the ports of this machine are reached from the other side of the link.
pub(crate) const NEAR: &str = "10.77.0.1";
const FAR: &str = "10.77.0.2";

/// Takes connections to ports of this end of the link to sockets in a folder, which are in reach of all
/// namespaces. It ends with its standard input.
const RELAY: &str = "
import os, socket, sys, threading

def carry(a, b):
    try:
        data = a.recv(1 << 16)
        while data:
            b.sendall(data)
            data = a.recv(1 << 16)
    except OSError:
        pass
    for one in (a, b):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def accept(listener, path):
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(path)
        for pair in ((near, far), (far, near)):
            threading.Thread(target=carry, args=pair, daemon=True).start()

for port in sys.argv[3:]:
    listener = socket.socket()
    listener.bind((sys.argv[1], int(port)))
    listener.listen(64)
    path = os.path.join(sys.argv[2], port)
    threading.Thread(target=accept, args=(listener, path), daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
os._exit(0)
";

/// A process that is ended when this value goes.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Held {
    /// Starts one, and waits for its first line. None where it ends before.
    fn start(command: &mut Command) -> Option<Held> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let mut out: BufReader<ChildStdout> = BufReader::new(child.stdout.take()?);
        let held = Held(child);
        let mut line = String::new();
        out.read_line(&mut line).ok()?;
        (!line.is_empty()).then_some(held)
    }
}

/// What keeps a namespace: it ends with the test, however that ends.
const KEEP: [&str; 3] = ["sh", "-c", "echo made; exec cat >/dev/null"];

pub(crate) struct Network {
    near: Held,
    far: Held,
    _relay: Held,
    /// Whether its namespaces are in one of a user's own.
    is_users: bool,
}

impl Network {
    /// One from which these ports of the loopback interface are in reach at `NEAR`. None, with a word, where
    /// there can be none; `python` carries what goes over the link.
    pub(crate) fn new(python: &Path, folder: &Path, ports: &[u16]) -> Option<Network> {
        let made = Self::try_new(python, folder, ports);
        if let Err(reason) = &made {
            missing(&format!("a network of its own cannot be made here: {reason}"));
        }
        made.ok()
    }

    fn try_new(python: &Path, folder: &Path, ports: &[u16]) -> Result<Network, String> {
        let unshare = |arguments: &[&str]| {
            let mut command = Command::new("unshare");
            command.args(arguments).args(KEEP).stderr(Stdio::null());
            Held::start(&mut command)
        };
        let (near, is_users) = match unshare(&["--net"]) {
            Some(near) => (near, false),
            None => match unshare(&["--user", "--map-root-user", "--net"]) {
                Some(near) => (near, true),
                None => return Err("'unshare --net' is not allowed, or is not there".to_owned()),
            },
        };
        let mut second = Command::new(if is_users { "nsenter" } else { "unshare" });
        if is_users {
            let pid = near.0.id().to_string();
            second.args(["--target", &pid, "--user", "--preserve-credentials", "unshare"]);
        }
        let far = Held::start(second.arg("--net").args(KEEP)).ok_or("there is no second namespace")?;
        let pid = far.0.id().to_string();
        let ip = |held: &Held, words: &str| {
            let output = enter(held, is_users).arg("ip").args(words.split(' ')).output();
            let output = output.map_err(|error| format!("nsenter: {error}"))?;
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(format!("ip {words}: {told}")) }
        };
        ip(&near, &format!("link add near type veth peer name far netns {pid}"))?;
        for (held, device, address) in [(&near, "near", NEAR), (&far, "far", FAR)] {
            ip(held, &format!("address add {address}/24 dev {device}"))?;
            ip(held, &format!("link set {device} up"))?;
            ip(held, "link set lo up")?;
        }
        fs::create_dir(folder).map_err(|error| error.to_string())?;
        for port in ports {
            listen(folder, *port).map_err(|error| error.to_string())?;
        }
        let mut relay = enter(&near, is_users);
        relay.arg(python).args(["-c", RELAY, NEAR]).arg(folder).args(ports.iter().map(u16::to_string));
        let relay = Held::start(&mut relay).ok_or("nothing carries what goes over the link")?;
        Ok(Network { near, far, _relay: relay, is_users })
    }

    /// Takes the link down, or up again.
    pub(crate) fn take_down(&self, down: bool) {
        let state = if down { "down" } else { "up" };
        let mut ip = enter(&self.near, self.is_users);
        assert!(ip.args(["ip", "link", "set", "near", state]).status().unwrap().success());
    }

    /// What runs a command on the other side of the link.
    pub(crate) fn far_side(&self) -> Command {
        enter(&self.far, self.is_users)
    }
}

fn enter(held: &Held, is_users: bool) -> Command {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(held.0.id().to_string()).arg("--net");
    if is_users {
        command.args(["--user", "--preserve-credentials"]);
    }
    command
}

/// Takes connections to a socket in a folder to a port of the loopback interface.
fn listen(folder: &Path, port: u16) -> io::Result<()> {
    let listener = UnixListener::bind(folder.join(port.to_string()))?;
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
            std::thread::spawn(move || carry(&near_too, &far_too, &near_too, &far_too));
            std::thread::spawn(move || carry(&far, &near, &near, &far));
        }
    });
    Ok(())
}

fn carry(mut from: impl io::Read, mut to: impl io::Write, near: &UnixStream, far: &TcpStream) {
    // Its end is the connection's, whatever the reason.
    let _ = io::copy(&mut from, &mut to);
    let _ = near.shutdown(Shutdown::Both);
    let _ = far.shutdown(Shutdown::Both);
}
