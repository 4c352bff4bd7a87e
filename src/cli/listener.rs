//! Listening on the addresses of the settings.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// The most connections that wait until they are accepted; the operating system may allow fewer. Many come at once when
/// clients that wait for events come back. With a short queue, those that find it full try again after a second.
const BACKLOG: u32 = 4096;

/// Listens on an address; `setting` is where people choose another one.
pub(super) async fn bind(address: &str, setting: &str) -> anyhow::Result<TcpListener> {
    check_host(address)?;
    listen(address)
        .await
        .with_context(|| format!("Can't listen on {address}; choose another {setting}"))
}

/// The line that scripts wait for.
pub(super) fn listening_line(listener: &TcpListener) -> anyhow::Result<String> {
    Ok(format!(
        "Sigpersist is listening on http://{}",
        listener.local_addr()?
    ))
}

/// Refuses a port without an address: some programs take it for every address, others for this machine alone.
fn check_host(address: &str) -> anyhow::Result<()> {
    match address.strip_prefix(':') {
        Some(port) if !port.contains(':') => bail!(
            "`{address}` is a port without an address: use `127.0.0.1:{port}` for this machine only, or `0.0.0.0:{port}` (IPv4) or `[::]:{port}` (IPv6) for all."
        ),
        _ => Ok(()),
    }
}

/// Listens on the first of the name's addresses that can be had.
async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(cause) => failure = cause,
        }
    }
    Err(failure)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A server that is started again may listen while old connections still end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// Connects as often as fits into the queue, while nobody accepts.
    #[tokio::test]
    async fn many_connections_may_wait_until_they_are_accepted() {
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let most = most.map_or(128, |most| most.trim().parse().unwrap());
        let listener = bind("127.0.0.1:0", "--listen").await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting: Vec<_> = (0..most.min(500))
            .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(500)).unwrap())
            .collect();
        assert!(!waiting.is_empty());
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told_with_what_to_do() {
        let taken = bind("127.0.0.1:0", "--listen").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = bind(&address, "http.watch_listen").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Can't listen on {address}; choose another http.watch_listen")
        );
        assert!(bind(":8080", "--listen").await.is_err());
    }
}
