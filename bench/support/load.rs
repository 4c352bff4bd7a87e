//! Many connections that save without a pause.

use std::time::{Duration, Instant};

use super::support::{connect, save};

/// Connections that save at once.
pub(crate) const CONNECTIONS: usize = 16;

/// First versions of new threads a second, over connections that are kept open; tenants' tokens go round the connections.
pub(crate) fn saves_per_second(
    address: &str,
    tokens: &[String],
    name: &str,
    tags: &str,
    seconds: u64,
) -> f64 {
    let since = Instant::now();
    let end = since + Duration::from_secs(seconds);
    let saved: u32 = std::thread::scope(|scope| {
        let connections: Vec<_> = tokens
            .iter()
            .cycle()
            .take(CONNECTIONS)
            .enumerate()
            .map(|(connection, token)| {
                scope.spawn(move || {
                    let mut stream = connect(address);
                    let mut saved = 0;
                    while Instant::now() < end {
                        let document = format!("{name}-{connection}-{saved}");
                        assert_eq!(save(&mut stream, token, &document, tags), 201);
                        saved += 1;
                    }
                    saved
                })
            })
            .collect();
        connections
            .into_iter()
            .map(|connection| connection.join().unwrap())
            .sum()
    });
    f64::from(saved) / since.elapsed().as_secs_f64()
}
