//! A receiver of webhooks on one thread, which takes every call and records when it came.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A call that was answered.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The path of the webhook's URL.
    pub(crate) path: String,
    pub(crate) document: String,
    pub(crate) at: Instant,
}

/// A running receiver. It ends with the process.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Its address and port.
    pub(crate) address: String,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    document: String,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let deliveries = Arc::default();
        let taken = Arc::clone(&deliveries);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, receive(listener, &taken));
        });
        Self {
            address,
            deliveries,
        }
    }

    /// The number of calls since they were last taken.
    pub(crate) fn count(&self) -> usize {
        self.deliveries.lock().unwrap().len()
    }

    pub(crate) fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries.lock().unwrap())
    }
}

async fn receive(listener: std::net::TcpListener, taken: &Arc<Mutex<Vec<Delivery>>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let taken = Arc::clone(taken);
        tokio::task::spawn_local(async move {
            let delivery = answer(&stream).await.unwrap();
            taken.lock().unwrap().push(delivery);
        });
    }
}

async fn answer(stream: &TcpStream) -> Result<Delivery> {
    let (mut request, mut space) = (Vec::new(), [0; 8 * 1024]);
    let (head, body) = loop {
        stream.readable().await?;
        match stream.try_read(&mut space) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => request.extend_from_slice(&space[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if split(&request).is_some() {
            break split(&request).unwrap();
        }
    };
    let at = Instant::now();
    let body: Body = serde_json::from_slice(body).map_err(Error::other)?;
    stream.writable().await?;
    // So few bytes always fit into the socket's buffer.
    stream.try_write(TAKEN)?;
    Ok(Delivery {
        path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        document: body.data.document,
        at,
    })
}

/// The head and the body of a request; none until it is complete.
fn split(request: &[u8]) -> Option<(&str, &[u8])> {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(request.get(..end)?).ok()?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let body = request.get(end + 4..)?;
    (body.len() >= length.parse().ok()?).then_some((head, body))
}
