//! A connection to one of the vetted addresses, with a deadline for everything that happens on it.
//!
//! The HTTP library is given a connection that exists, and can make no other. Its own deadlines are not used: it reckons
//! the time that is left before it writes a buffer or lets TLS read a record, and each system call on the way may then take
//! that long again (ureq 3.5, `unversioned/transport/tcp.rs` and `tls/rustls.rs`). A peer that takes or sends a byte now and
//! then would hold up a handshake for ever.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::failure::{Failure, Step};
use crate::target::Host;
use crate::tls;

/// Most addresses of a name that are tried.
const MAX_TRIED: usize = 4;
/// Size of each buffer of a connection. The headers of an answer must fit into one twice, so that the library sees that
/// they are too long before the buffer is full.
const BUFFER_BYTES: usize = 2 * crate::exchange::MAX_HEADER_BYTES;

/// Most bytes of an answer beside its body: its headers, and interim answers before them.
const MAX_BESIDE: usize = 4 * crate::exchange::MAX_HEADER_BYTES;
/// Most bytes that a byte of a body takes on the way. A chunk of one byte takes six.
const MAX_FRAMING: usize = 8;

/// A connection of TCP that fails after a deadline, whatever the peer does.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    until: Instant,
}

impl Wire {
    /// Connects to the first address that accepts. Each is given an equal share of the time that is left.
    fn open(addresses: &[SocketAddr], until: Instant) -> Result<Self, Failure> {
        let mut failure = Failure::Connect;
        let tried = addresses.len().min(MAX_TRIED);
        for (address, remaining) in addresses.iter().zip((1..=tried).rev()) {
            let left = until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(remaining).unwrap_or(u32::MAX);
            if share.is_zero() {
                return Err(Failure::Timeout(Step::Connect));
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    // Without it, small requests wait for an acknowledgement. They arrive all the same.
                    drop(stream.set_nodelay(true));
                    return Ok(Self { stream, until });
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    failure = Failure::Timeout(Step::Connect);
                }
                Err(_) => failure = Failure::Connect,
            }
        }
        Err(failure)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// Whether a read or write is repeated. A timeout is, so that [`Wire::left`] decides alone whether the time is over.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(buffer) {
                Err(error) if is_passing(&error) => {}
                other => return other,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(bytes) {
                Err(error) if is_passing(&error) => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection that is ready for one exchange.
pub(crate) struct Line {
    stream: Stream,
    buffers: LazyBuffers,
    /// Number of bytes that may still be received. Interim answers and chunks can make an answer longer without end, although
    /// neither its headers nor its body are too long.
    budget: usize,
}

enum Stream {
    Plain(Wire),
    Tls(Box<StreamOwned<ClientConnection, Wire>>),
}

impl Line {
    /// Connects to one of the addresses until `connected`, for an exchange that ends at `until` and within the bytes that an
    /// answer with `max_answer` bytes of body may take.
    pub(crate) fn open(
        addresses: &[SocketAddr],
        tls: Option<(&Arc<ClientConfig>, &Host)>,
        connected: Instant,
        until: Instant,
        max_answer: usize,
    ) -> Result<Self, Failure> {
        let mut wire = Wire::open(addresses, connected)?;
        let stream = match tls {
            None => {
                wire.until = until;
                Stream::Plain(wire)
            }
            Some((config, host)) => {
                let mut stream = tls::handshake(config, host, wire)?;
                stream.sock.until = until;
                Stream::Tls(Box::new(stream))
            }
        };
        let buffers = LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES);
        let budget = max_answer
            .saturating_mul(MAX_FRAMING)
            .saturating_add(MAX_BESIDE);
        Ok(Self {
            stream,
            buffers,
            budget,
        })
    }
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount);
        let output = output
            .ok_or(io::ErrorKind::InvalidInput)
            .map_err(io::Error::from)?;
        match &mut self.stream {
            Stream::Plain(wire) => wire.write_all(output)?,
            Stream::Tls(stream) => {
                stream.write_all(output)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let amount = match &mut self.stream {
            Stream::Plain(wire) => wire.read(input)?,
            Stream::Tls(stream) => stream.read(input)?,
        };
        let left = self.budget.checked_sub(amount);
        self.budget = left
            .ok_or(io::ErrorKind::FileTooLarge)
            .map_err(io::Error::from)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Nothing is kept for a second exchange.
    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// Gives the HTTP library the one connection that there is. It has no other to ask for.
#[derive(Debug)]
pub(crate) struct Handover(Mutex<Option<Line>>);

impl Handover {
    pub(crate) fn new(line: Line) -> Self {
        Self(Mutex::new(Some(line)))
    }
}

impl Connector for Handover {
    type Out = Line;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Line>, ureq::Error> {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        line.map(Some).ok_or(ureq::Error::ConnectionFailed)
    }
}

/// Resolves nothing: the connection exists.
#[derive(Debug)]
pub(crate) struct Unasked;

impl Resolver for Unasked {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}
