//! A network link that can be taken down: what is sent meanwhile waits, as TCP has it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A link to a port of this machine.
pub(crate) struct Link {
    port: u16,
    down: Arc<AtomicBool>,
}

impl Link {
    pub(crate) fn to(port: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link { port: listener.local_addr().unwrap().port(), down: Arc::default() };
        let down = Arc::clone(&link.down);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let down = Arc::clone(&down);
                    std::thread::spawn(move || carry(from, to, &down));
                }
            }
        });
        link
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn take_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, down: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        while down.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}
