//! Asks for the addresses of a name, but not for longer than there is time.
//!
//! `getaddrinfo` can't be interrupted, so it runs in a thread that is abandoned when the time is over. The number of such
//! threads is limited: names of strangers whose DNS never answers must not take all memory.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use crate::failure::{Failure, Step};

/// Most lookups at once, with abandoned ones.
const MAX_LOOKUPS: usize = 128;

type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// A resolver of names, and the number of its lookups.
pub(crate) struct Names {
    resolver: Arc<Resolver>,
    lookups: Arc<AtomicUsize>,
}

impl Names {
    pub(crate) fn new(
        resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            resolver: Arc::new(resolver),
            lookups: Arc::default(),
        }
    }

    /// The addresses of a name, at least one.
    pub(crate) fn addresses(&self, name: &str, until: Instant) -> Result<Vec<IpAddr>, Failure> {
        let lookup = Lookup::begin(&self.lookups).ok_or(Failure::Dns)?;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || {
                let found = resolver(&name);
                drop(lookup);
                // Nobody listens after the deadline.
                drop(sender.send(found));
            })
            .map_err(|_| Failure::Dns)?;
        let left = until.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Err(RecvTimeoutError::Timeout) => Err(Failure::Timeout(Step::Lookup)),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(Failure::Dns),
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// The addresses that the system knows for a name.
pub(crate) fn of_system(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

/// One of [`MAX_LOOKUPS`].
struct Lookup(Arc<AtomicUsize>);

impl Lookup {
    fn begin(running: &Arc<AtomicUsize>) -> Option<Self> {
        let lookup = Self(Arc::clone(running));
        let before = running.fetch_add(1, Ordering::Relaxed);
        (before < MAX_LOOKUPS).then_some(lookup)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lookup_that_hangs_is_abandoned_and_counted() {
        let (release, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let names = Names::new(move |_| {
            assert!(wait.lock().unwrap().recv().is_err());
            Ok(vec![])
        });
        let soon = || Instant::now() + Duration::from_millis(5);
        for _ in 0..MAX_LOOKUPS {
            let found = names.addresses("slow.example", soon());
            assert_eq!(found, Err(Failure::Timeout(Step::Lookup)));
        }
        assert_eq!(
            names.addresses("one-more.example", soon()),
            Err(Failure::Dns)
        );
        assert_eq!(names.lookups.load(Ordering::Relaxed), MAX_LOOKUPS);
        drop(release);
        while names.lookups.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        let later = Instant::now() + Duration::from_secs(5);
        assert_eq!(names.addresses("again.example", later), Err(Failure::Dns));
    }

    #[test]
    fn a_resolver_that_panics_finds_nothing() {
        let names = Names::new(|_| panic!("resolver"));
        let later = Instant::now() + Duration::from_secs(5);
        assert_eq!(names.addresses("x.example", later), Err(Failure::Dns));
        assert_eq!(names.lookups.load(Ordering::Relaxed), 0);
    }
}
