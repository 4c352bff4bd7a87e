//! Limits on the number of connections, per peer and in total, and the choice of which ones give way to others.
//!
//! A connection gives way only while it has no request: before its first head is complete, and between a response and
//! the next head. A connection with a request keeps its place until the response is written. Time limits are in
//! [`super::connections`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;

/// Time that a connection has to close before another one is asked to give way.
const TO_GIVE_WAY: Duration = Duration::from_millis(10);
/// Minimum interval between log lines about a peer with too many connections.
const BETWEEN_WARNINGS: Duration = Duration::from_mins(1);
/// Marks a connection that has a request, in place of a time.
const BUSY: u64 = u64::MAX;

/// A network address; for IPv6 the /64 network, since one customer has a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// All connection places of a port.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    max_of_peer: usize,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
    begun: Instant,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
    /// Number of connections per peer, without those that were told to give way.
    of_peers: HashMap<Peer, usize>,
    warned_at: Option<Instant>,
}

impl Places {
    pub(super) fn new(max: usize, max_of_peer: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_of_peer,
            free: Arc::new(Semaphore::new(max)),
            taken: Mutex::default(),
            begun: Instant::now(),
        })
    }

    /// Takes a place. If there is none, closes the connection that has been idle longest; if the peer is at its own
    /// limit, one of that peer. None if the peer is at its limit and all its connections have requests.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        {
            let mut taken = self.taken();
            let own = taken.of_peers.get(&peer).copied().unwrap_or(0);
            if own >= self.max_of_peer && !taken.close_oldest(|connection| connection.peer == peer)
            {
                taken.warn();
                return None;
            }
        }
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.taken().close_oldest(|_| true);
            // A connection that has just begun a request stays, and the next one is told instead.
            if let Ok(permit) = timeout(TO_GIVE_WAY, Arc::clone(&self.free).acquire_owned()).await {
                break permit.ok()?;
            }
        };
        let connection = Arc::new(Connection {
            peer,
            begun: self.begun,
            waiting_since_ms: AtomicU64::new(0),
            is_answered: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            told: Notify::new(),
        });
        connection.wait();
        let mut taken = self.taken();
        let id = taken.next;
        taken.next += 1;
        taken.connections.insert(id, Arc::clone(&connection));
        *taken.of_peers.entry(peer).or_default() += 1;
        drop(taken);
        Some(Place {
            id,
            connection,
            places: Arc::clone(self),
            _permit: permit,
        })
    }

    /// If more than three quarters of the places are taken, closes connections that have been idle for longer than
    /// `patience`.
    pub(super) fn hurry(&self, patience: Duration) {
        let mut taken = self.taken();
        if taken.connections.len() * 4 <= self.max * 3 {
            return;
        }
        let before = milliseconds(self.begun.elapsed().saturating_sub(patience));
        while taken
            .close_oldest(|connection| connection.waiting_since_ms.load(Ordering::Relaxed) < before)
        {
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Tells the connection that has been idle longest to give way. False if there is none.
    fn close_oldest(&mut self, may_close: impl Fn(&Connection) -> bool) -> bool {
        let waiting = self.connections.values().filter(|connection| {
            connection.is_waiting()
                && !connection.is_told.load(Ordering::Relaxed)
                && may_close(connection)
        });
        let oldest =
            waiting.min_by_key(|connection| connection.waiting_since_ms.load(Ordering::Relaxed));
        let Some(oldest) = oldest.map(Arc::clone) else {
            return false;
        };
        oldest.is_told.store(true, Ordering::Relaxed);
        self.leave(oldest.peer);
        oldest.told.notify_one();
        true
    }

    fn leave(&mut self, peer: Peer) {
        if let Some(count) = self.of_peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.of_peers.remove(&peer);
            }
        }
    }

    fn warn(&mut self) {
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() >= BETWEEN_WARNINGS)
        {
            self.warned_at = Some(Instant::now());
            warn!(
                "Connections were refused: their peer has the maximum number of connections with requests under way; raise http.max_connections_per_peer if it is a proxy"
            );
        }
    }
}

/// A connection and its state. Only its own task changes whether it has a request.
#[derive(Debug)]
pub(super) struct Connection {
    peer: Peer,
    begun: Instant,
    /// Time since which it has had no request, or [`BUSY`].
    waiting_since_ms: AtomicU64,
    /// Whether the response is complete and being written to the client.
    is_answered: AtomicBool,
    is_told: AtomicBool,
    told: Notify,
}

impl Connection {
    fn wait(&self) {
        let now = milliseconds(self.begun.elapsed());
        self.waiting_since_ms.store(now, Ordering::Relaxed);
    }

    fn is_waiting(&self) -> bool {
        self.waiting_since_ms.load(Ordering::Relaxed) != BUSY
    }

    /// Records that a request begins.
    pub(super) fn begin(&self) {
        self.is_answered.store(false, Ordering::Relaxed);
        self.waiting_since_ms.store(BUSY, Ordering::Relaxed);
    }

    /// Records that the response is ready.
    pub(super) fn answer(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// Records that the request is refused. The rest of its body is only read and discarded, so the connection may give
    /// way.
    pub(super) fn refuse(&self) {
        self.wait();
    }

    /// Records that bytes are being written.
    pub(super) fn write(&self) {
        if self.is_waiting() {
            self.begin();
            self.answer();
        }
    }

    /// Records that everything has been written.
    pub(super) fn flush(&self) {
        if self.is_answered.swap(false, Ordering::Relaxed) {
            self.wait();
        }
    }
}

/// The place of a connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    pub(super) connection: Arc<Connection>,
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Completes when the connection has to give way. Cancel-safe.
    pub(super) async fn given_up(&self) {
        loop {
            self.connection.told.notified().await;
            if self.connection.is_waiting() {
                return;
            }
            let mut taken = self.places.taken();
            self.connection.is_told.store(false, Ordering::Relaxed);
            *taken.of_peers.entry(self.connection.peer).or_default() += 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.connections.remove(&self.id);
        if !self.connection.is_told.load(Ordering::Relaxed) {
            taken.leave(self.connection.peer);
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(BUSY - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_peer_is_a_network_and_one_of_ipv4_is_itself_however_it_is_written() {
        let peer = |address: &str| Peer::new(address.parse().unwrap());
        assert_eq!(peer("[2001:db8::1]:1"), peer("[2001:db8::2:3:4:5]:2"));
        assert_ne!(peer("[2001:db8::1]:1"), peer("[2001:db8:0:1::1]:1"));
        assert_eq!(peer("10.0.0.1:1"), peer("[::ffff:10.0.0.1]:2"));
        assert_ne!(peer("10.0.0.1:1"), peer("10.0.0.2:1"));
    }

    fn peer(number: u8) -> Peer {
        Peer(IpAddr::from([10, 0, 0, number]))
    }

    #[tokio::test]
    async fn the_oldest_without_a_request_gives_way_and_none_with_one() {
        let places = Places::new(3, 3);
        let mut taken = Vec::new();
        for number in 0..3 {
            taken.push(places.take(peer(number)).await.unwrap());
        }
        taken[0].connection.begin();
        let next = places.take(peer(9));
        tokio::pin!(next);
        tokio::select! {
            _ = &mut next => panic!("there is no room yet"),
            () = taken[1].given_up() => {}
        }
        taken.remove(1);
        next.await.unwrap();
        // A connection whose response is being written still counts as busy.
        taken[0].connection.answer();
        assert!(!taken[0].connection.is_waiting());
        taken[0].connection.flush();
        assert!(taken[0].connection.is_waiting());
    }

    #[tokio::test]
    async fn a_peer_with_as_many_as_it_may_have_replaces_its_own_or_is_refused() {
        let places = Places::new(8, 2);
        let (one, two) = (places.take(peer(1)).await, places.take(peer(1)).await);
        let (one, two) = (one.unwrap(), two.unwrap());
        two.connection.begin();
        let other = places.take(peer(2)).await.unwrap();
        let third = places.take(peer(1)).await.unwrap();
        one.given_up().await;
        third.connection.begin();
        assert!(places.take(peer(1)).await.is_none());
        drop((one, two));
        assert!(places.take(peer(1)).await.is_some());
        assert!(other.connection.is_waiting());
    }

    #[tokio::test]
    async fn whoever_begins_a_request_when_told_stays_and_counts_again() {
        let places = Places::new(8, 1);
        let one = places.take(peer(1)).await.unwrap();
        let two = places.take(peer(1)).await.unwrap();
        one.connection.begin();
        two.connection.begin();
        let stays = timeout(TO_GIVE_WAY, one.given_up()).await;
        assert!(stays.is_err());
        assert!(places.take(peer(1)).await.is_none());
        drop(one);
        assert!(places.take(peer(1)).await.is_none());
        drop(two);
        assert!(places.taken().of_peers.is_empty());
    }
}
