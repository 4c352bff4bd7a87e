//! The client of a load: connections of one thread, which send requests in turn and record the time and status of each
//! answer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use super::Answer;
use super::Load;
use super::NUMBER;
use super::Numbers;
use super::Outcome;
use super::Pace;
use super::Target;

/// Time after which a client stops waiting for an answer: longer than the server lets it wait for events.
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum time that due requests wait for a connection. If the queue is full, further requests are not sent at all.
const LATEST: Duration = Duration::from_millis(20);
/// Connections that are opened without a pause, and the pause after them. A listening socket has room for 128 that are not
/// accepted yet; the next one would be tried again after a second.
const AT_ONCE: usize = 64;
const TO_ACCEPT: Duration = Duration::from_millis(4);
/// Interval at which the schedule is checked.
const TICK: Duration = Duration::from_millis(1);

/// State that all connections share.
struct Shared {
    targets: Vec<Prepared>,
    since: Instant,
    end: Option<Instant>,
    /// Number of requests that may still be sent.
    left: Cell<u64>,
    answers: RefCell<Vec<Answer>>,
}

/// A request, split where its number is.
struct Prepared {
    address: String,
    parts: Vec<Vec<u8>>,
    numbers: RefCell<Numbers>,
}

impl Prepared {
    fn new(target: Target) -> Self {
        let parts = target.request.split(NUMBER);
        Self {
            address: target.address,
            parts: parts.map(|part| part.as_bytes().to_vec()).collect(),
            numbers: RefCell::new(target.numbers),
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn write_into(&self, request: &mut Vec<u8>, random: &mut u64) {
        request.clear();
        let [before, after @ ..] = self.parts.as_slice() else {
            return;
        };
        request.extend_from_slice(before);
        if after.is_empty() {
            return;
        }
        let number = match &mut *self.numbers.borrow_mut() {
            Numbers::From(next) => {
                *next += 1;
                *next - 1
            }
            Numbers::Below(bound) => {
                // Xorshift: any numbers will do.
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                *random % *bound
            }
        };
        for part in after {
            write!(request, "{number:010}").unwrap();
            request.extend_from_slice(part);
        }
    }
}

/// Sends requests as the load says, until it ends.
pub(super) async fn offer(load: Load) -> Outcome {
    let targets: Vec<_> = load.targets.into_iter().map(Prepared::new).collect();
    // All connections are open before the first request is due.
    let mut streams = Vec::new();
    for number in 0..load.connections {
        if number % AT_ONCE == AT_ONCE - 1 {
            tokio::time::sleep(TO_ACCEPT).await;
        }
        let mut of_one = Vec::new();
        for target in &targets {
            of_one.push(target.connect().await.ok());
        }
        streams.push(of_one);
    }
    let since = Instant::now();
    let (left, end) = match load.pace {
        Pace::Times(times) => (times, None),
        Pace::Closed | Pace::Open(_) => (
            u64::MAX,
            Some(since + Duration::from_secs_f64(load.seconds)),
        ),
    };
    let shared = Rc::new(Shared {
        targets,
        since,
        end,
        left: Cell::new(left),
        answers: RefCell::default(),
    });
    let line = match load.pace {
        Pace::Closed | Pace::Times(_) => 1.0,
        Pace::Open(rate) => rate * LATEST.as_secs_f64(),
    };
    let (schedule, due) = mpsc::channel(line as usize + 1);
    let due = Rc::new(Mutex::new(due));
    let clients: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, streams)| {
            let mut client = Client::new(Rc::clone(&shared), number, streams);
            let due = match load.pace {
                Pace::Closed | Pace::Times(_) => None,
                Pace::Open(_) => Some(Rc::clone(&due)),
            };
            tokio::task::spawn_local(async move { client.ask_until_the_end(due).await })
        })
        .collect();
    let mut unsent = 0;
    if let (Pace::Open(rate), Some(end)) = (load.pace, end) {
        unsent = arrive(rate, end, &schedule).await;
    }
    drop(schedule);
    if let Some(end) = end.filter(|_| load.hangs_up) {
        tokio::time::sleep_until(end.into()).await;
        clients.iter().for_each(tokio::task::JoinHandle::abort);
    }
    for client in clients {
        // Connections that were closed on purpose did not finish.
        drop(client.await);
    }
    // Late requests for which no connection was free.
    while due.lock().await.try_recv().is_ok() {
        unsent += 1;
    }
    Outcome {
        answers: shared.answers.take(),
        unsent,
    }
}

/// Makes requests due on schedule. Returns how many found the queue for connections full.
async fn arrive(rate: f64, end: Instant, schedule: &mpsc::Sender<Instant>) -> u64 {
    let step = Duration::from_secs_f64(1.0 / rate);
    let mut next = Instant::now();
    let mut unsent = 0;
    while next < end {
        tokio::time::sleep(TICK).await;
        let now = Instant::now().min(end);
        while next < now {
            if schedule.try_send(next).is_err() {
                unsent += 1;
            }
            next += step;
        }
    }
    unsent
}

/// One connection to each target.
struct Client {
    shared: Rc<Shared>,
    streams: Vec<Option<TcpStream>>,
    next: usize,
    random: u64,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn new(shared: Rc<Shared>, number: usize, streams: Vec<Option<TcpStream>>) -> Self {
        Self {
            shared,
            streams,
            next: number,
            random: 0x9E37_79B9_7F4A_7C15 ^ ((number as u64 + 1) << 20),
            request: Vec::new(),
            buffer: Vec::new(),
        }
    }

    async fn ask_until_the_end(&mut self, due: Option<Rc<Mutex<mpsc::Receiver<Instant>>>>) {
        loop {
            let scheduled = match &due {
                None => Instant::now(),
                Some(due) => match due.lock().await.recv().await {
                    Some(scheduled) => scheduled,
                    None => return,
                },
            };
            let left = self.shared.left.get();
            let over = self.shared.end.is_some_and(|end| scheduled >= end);
            if left == 0 || (due.is_none() && over) {
                return;
            }
            self.shared.left.set(left - 1);
            self.ask(scheduled).await;
        }
    }

    async fn ask(&mut self, due: Instant) {
        let target = self.next % self.streams.len();
        self.next += 1;
        let since = self.shared.since;
        let micros = |at: Instant| u64::try_from((at - since).as_micros()).unwrap_or(u64::MAX);
        let mut answer = Answer {
            target,
            status: 0,
            retry_after: false,
            due: micros(due),
            sent: 0,
            answered: 0,
        };
        let exchanged = tokio::time::timeout(PATIENCE, self.exchange(target)).await;
        match exchanged {
            Ok(Ok((sent, status, retry_after))) => {
                answer.sent = micros(sent);
                answer.status = status;
                answer.retry_after = retry_after;
            }
            Ok(Err(_)) | Err(_) => self.streams[target] = None,
        }
        answer.answered = micros(Instant::now());
        self.shared.answers.borrow_mut().push(answer);
    }

    async fn exchange(&mut self, target: usize) -> Result<(Instant, u16, bool)> {
        let prepared = &self.shared.targets[target];
        if self.streams[target].is_none() {
            self.streams[target] = Some(prepared.connect().await?);
        }
        let stream = self.streams[target]
            .as_mut()
            .ok_or(ErrorKind::NotConnected)?;
        prepared.write_into(&mut self.request, &mut self.random);
        let mut left = self.request.as_slice();
        while !left.is_empty() {
            match stream.try_write(left) {
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        let sent = Instant::now();
        let (status, retry_after) = read_answer(stream, &mut self.buffer).await?;
        Ok((sent, status, retry_after))
    }
}

/// Reads a whole answer: its status, and whether it has `Retry-After`.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, bool)> {
    let mut filled = 0;
    let mut head = None;
    loop {
        if buffer.len() < filled + 4096 {
            buffer.resize(filled + 32 * 1024, 0);
        }
        let mut space = ReadBuf::new(&mut buffer[filled..]);
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut space)).await?;
        match space.filled().len() {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        if head.is_none() {
            head = Head::read(&buffer[..filled])?;
        }
        if let Some(head) = &head
            && filled >= head.length
        {
            // Thousands of connections must not keep the buffers for large answers.
            buffer.truncate(64 * 1024);
            return Ok((head.status, head.retry_after));
        }
    }
}

struct Head {
    status: u16,
    retry_after: bool,
    /// Bytes of the answer, including its body.
    length: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(Error::other)?;
        let mut head = Self {
            status: text
                .get(9..12)
                .and_then(|status| status.parse().ok())
                .ok_or(ErrorKind::InvalidData)?,
            retry_after: false,
            length: end + 4,
        };
        for line in text.lines().skip(1) {
            match line.split_once(": ") {
                Some(("content-length", length)) => {
                    head.length += length.parse::<usize>().map_err(Error::other)?;
                }
                Some(("retry-after", _)) => head.retry_after = true,
                _ => {}
            }
        }
        Ok(Some(head))
    }
}
