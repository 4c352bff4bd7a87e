//! Lets a few things of a tenant through in each stretch of time, and counts the others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::context::TenantId;

/// With more tenants than this, those that are back at the beginning are forgotten.
const KNOWN_TENANTS: usize = 1_000;

/// Lets `most` things of each tenant through in each stretch of time. Which are left out costs no more than a look into a
/// map.
#[derive(Debug)]
pub struct Trickle {
    most: u32,
    stretch: Duration,
    tenants: Mutex<HashMap<TenantId, Stretch>>,
}

/// The present stretch of a tenant.
#[derive(Debug)]
struct Stretch {
    since: Instant,
    passed: u32,
    /// The number of things that were left out since the last one that was let through.
    omitted: u64,
}

impl Trickle {
    /// Lets `most` things of each tenant through in each stretch of time.
    pub fn new(most: u32, stretch: Duration) -> Self {
        Self {
            most,
            stretch,
            tenants: Mutex::default(),
        }
    }

    /// Lets something through, and returns how many were left out before it; none if it is left out itself.
    pub fn pass(&self, tenant: TenantId, now: Instant) -> Option<u64> {
        let mut tenants = self.tenants();
        let is_over = |stretch: &Stretch| now.duration_since(stretch.since) >= self.stretch;
        if tenants.len() >= KNOWN_TENANTS && !tenants.contains_key(&tenant) {
            tenants.retain(|_, stretch| !is_over(stretch) || stretch.omitted > 0);
        }
        let stretch = tenants.entry(tenant).or_insert(Stretch {
            since: now,
            passed: 0,
            omitted: 0,
        });
        if is_over(stretch) {
            (stretch.since, stretch.passed) = (now, 0);
        }
        if stretch.passed >= self.most {
            stretch.omitted += 1;
            return None;
        }
        stretch.passed += 1;
        Some(std::mem::take(&mut stretch.omitted))
    }

    /// Counts things as left out that were let through, and got no further.
    pub fn leave_out(&self, tenant: TenantId, number: u64) {
        if let Some(stretch) = self.tenants().get_mut(&tenant) {
            stretch.omitted += number;
        }
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Stretch>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_pass_and_the_others_are_counted() {
        let trickle = Trickle::new(2, Duration::from_mins(1));
        let (one, two, start) = (TenantId(1), TenantId(2), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(trickle.pass(one, start), Some(0));
        assert_eq!(trickle.pass(one, after(1)), Some(0));
        for second in 2..60 {
            assert_eq!(trickle.pass(one, after(second)), None);
        }
        assert_eq!(trickle.pass(two, after(59)), Some(0));
        assert_eq!(trickle.pass(one, after(60)), Some(58));
        trickle.leave_out(one, 59);
        assert_eq!(trickle.pass(one, after(61)), Some(59));
        assert_eq!(trickle.pass(one, after(62)), None);
        assert_eq!(trickle.pass(one, after(500)), Some(1));
    }

    #[test]
    fn tenants_of_whom_nothing_is_to_be_told_are_forgotten() {
        let trickle = Trickle::new(1, Duration::from_mins(1));
        let start = Instant::now();
        for tenant in 0..2 * i32::try_from(KNOWN_TENANTS).unwrap() {
            let now = start + Duration::from_mins(u64::from(tenant.unsigned_abs()));
            trickle.pass(TenantId(tenant), now);
        }
        assert!(trickle.tenants().len() <= KNOWN_TENANTS);
    }
}
