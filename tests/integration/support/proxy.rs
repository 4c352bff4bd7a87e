//! A TCP proxy between a server and its Postgres that simulates network failures.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Treatment of connections and their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// All connections are closed, new ones immediately.
    Cut,
    /// Connections are accepted and stay open, but nothing passes in either direction.
    Stall,
    /// Each piece of an answer is delayed by this time.
    Slow(Duration),
}

/// A running proxy, stopped when it is dropped.
pub(crate) struct Proxy {
    /// A URL of the database behind the proxy, for libpq.
    pub(crate) url: String,
    port: u16,
    state: Arc<State>,
}

struct State {
    socket: PathBuf,
    network: Mutex<Network>,
    changed: Condvar,
}

struct Network {
    mode: Mode,
    /// Nothing passes on connections with a lower index than this.
    oldest: usize,
    connections: Vec<(TcpStream, UnixStream)>,
    stopped: bool,
}

impl Proxy {
    /// Starts a proxy for a database whose URL names a Unix socket.
    pub(crate) fn before(url: &str) -> Self {
        let (folder, rest) = url
            .strip_prefix("host='")
            .and_then(|url| url.split_once('\''))
            .expect("the tests' Postgres listens on a Unix socket");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            socket: PathBuf::from(folder).join(".s.PGSQL.5432"),
            network: Mutex::new(Network {
                mode: Mode::Pass,
                oldest: 0,
                connections: Vec::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || accepting.accept(&listener));
        Self {
            // If a keyword is repeated, libpq takes the last value.
            url: format!("{} host=127.0.0.1 port={port}", rest.trim_start()),
            port,
            state,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut network = self.state.network();
        network.mode = mode;
        if mode == Mode::Cut {
            network.close();
        }
        self.state.changed.notify_all();
    }

    /// Lets nothing pass on the existing connections any more, without closing them. New connections work.
    pub(crate) fn forget_connections(&self) {
        let mut network = self.state.network();
        network.oldest = network.connections.len();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut network = self.state.network();
        network.stopped = true;
        network.close();
        drop(network);
        self.state.changed.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Network {
    fn close(&mut self) {
        for (client, server) in &self.connections {
            // They may be closed already.
            drop(client.shutdown(Shutdown::Both));
            drop(server.shutdown(Shutdown::Both));
        }
    }
}

impl State {
    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            let mut network = self.network();
            if network.stopped {
                return;
            }
            let (Ok(client), Mode::Pass | Mode::Stall | Mode::Slow(_)) = (client, network.mode)
            else {
                continue;
            };
            // The database itself may be down.
            let Ok(server) = UnixStream::connect(&self.socket) else {
                continue;
            };
            client.set_nodelay(true).unwrap();
            let number = network.connections.len();
            let (asking, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let (answering, answered) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            network.connections.push((client, server));
            drop(network);
            let (there, back) = (Arc::clone(&self), Arc::clone(&self));
            std::thread::spawn(move || there.pump(number, false, asking, asked));
            std::thread::spawn(move || back.pump(number, true, answering, answered));
        }
    }

    /// Copies data from one side to the other, as the mode allows.
    fn pump(&self, number: usize, answers: bool, mut from: impl Stream, mut to: impl Stream) {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if !self.passes(number, answers) || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // Passes the close on to the other side, unless the network lets nothing pass.
        if self.passes(number, false) {
            drop(to.close());
            drop(from.close());
        }
    }

    /// Waits until data may pass. Returns false if the connection is closed.
    fn passes(&self, number: usize, answers: bool) -> bool {
        let mut network = self.network();
        loop {
            let forgotten = number < network.oldest;
            match network.mode {
                _ if network.stopped => return false,
                Mode::Cut => return false,
                Mode::Pass if !forgotten => return true,
                Mode::Slow(time) if !forgotten => {
                    drop(network);
                    if answers {
                        std::thread::sleep(time);
                    }
                    return true;
                }
                _ => {
                    network = self
                        .changed
                        .wait(network)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Common interface of both kinds of socket.
trait Stream: std::io::Read + std::io::Write {
    fn close(&self) -> std::io::Result<()>;
}

impl Stream for TcpStream {
    fn close(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Both)
    }
}

impl Stream for UnixStream {
    fn close(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Both)
    }
}
