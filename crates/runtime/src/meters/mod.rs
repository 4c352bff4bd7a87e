//! Rate limits of tenants: requests per second, concurrent requests, and hook time. Each server counts by itself, in
//! memory, since a shared count would cost every request a round trip.

mod storage;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::context::{Caller, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::quotas::{Quota, Quotas, Reading};

use storage::Storage;

pub use storage::Room;

const SECOND_NS: u64 = 1_000_000_000;
/// Burst of hook time, in seconds' worth of the quota.
const HOOK_BURST_S: u64 = 10;
/// Number of tenants from which idle ones are removed before another is added.
const TIDY_AT: usize = 10_000;

/// Nanoseconds of a monotonic clock.
fn now_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The generic cell rate algorithm (ITU-T I.371). Each use moves a point in time ahead of the clock by its cost, but at
/// most as far as the burst allows. Unlike in the available crates, costs may be charged afterwards.
#[derive(Debug)]
struct Meter {
    /// Maximum distance ahead of the clock, in nanoseconds.
    burst_ns: u64,
    /// The time at which everything used will be paid off.
    paid_off_at_ns: AtomicU64,
}

impl Meter {
    fn new(burst_ns: u64) -> Self {
        Self {
            burst_ns,
            paid_off_at_ns: AtomicU64::new(0),
        }
    }

    /// Time until everything used is paid off.
    fn debt_ns(&self, now_ns: u64) -> u64 {
        self.paid_off_at_ns
            .load(Ordering::Relaxed)
            .saturating_sub(now_ns)
    }

    /// Uses `cost_ns` if the burst allows it; otherwise returns the time to wait until it does.
    fn take(&self, now_ns: u64, cost_ns: u64) -> Result<(), Duration> {
        let taken = self.paid_off_at_ns.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |paid_off_at_ns| {
                let after = paid_off_at_ns.max(now_ns).saturating_add(cost_ns);
                (after - now_ns <= self.burst_ns).then_some(after)
            },
        );
        taken.map(drop).map_err(|paid_off_at_ns| {
            let debt_ns = paid_off_at_ns.saturating_sub(now_ns);
            Duration::from_nanos(
                debt_ns
                    .saturating_add(cost_ns)
                    .saturating_sub(self.burst_ns),
            )
        })
    }

    /// Uses `cost_ns` even if the burst does not allow it.
    fn charge(&self, now_ns: u64, cost_ns: u64) {
        let _always: Result<u64, u64> = self.paid_off_at_ns.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |paid_off_at_ns| Some(paid_off_at_ns.max(now_ns).saturating_add(cost_ns)),
        );
    }
}

/// A tenant's rate meters, under the quotas in force when this was created.
#[derive(Debug)]
struct Pace {
    quotas: Quotas<u64>,
    requests: Meter,
    hook_time: Meter,
}

impl Pace {
    fn new(quotas: Quotas<u64>) -> Self {
        let burst_ns = quotas.request_burst.saturating_mul(request_ns(&quotas));
        Self {
            quotas,
            requests: Meter::new(burst_ns),
            hook_time: Meter::new(HOOK_BURST_S * SECOND_NS),
        }
    }
}

/// Cost of one request.
fn request_ns(quotas: &Quotas<u64>) -> u64 {
    SECOND_NS
        .checked_div(quotas.requests_per_second)
        .map_or(0, |ns| ns.max(1))
}

/// Counters of one tenant. When its quotas change, the rate meters start anew; the other counters remain.
#[derive(Debug, Clone)]
struct Counted {
    pace: Arc<Pace>,
    under_way: Arc<AtomicU64>,
    storage: Arc<Storage>,
}

impl Counted {
    fn new(quotas: Quotas<u64>) -> Self {
        Self {
            pace: Arc::new(Pace::new(quotas)),
            under_way: Arc::default(),
            storage: Arc::default(),
        }
    }

    fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Milliseconds of hook time that are not yet paid off.
    fn hook_ms(&self, now_ns: u64) -> u64 {
        let debt_ns = self.pace.hook_time.debt_ns(now_ns);
        debt_ns.saturating_mul(self.pace.quotas.hook_ms_per_second) / SECOND_NS
    }

    /// Whether the counters can be dropped without effect.
    fn rests(&self, now_ns: u64) -> bool {
        self.under_way() == 0
            && self.pace.requests.debt_ns(now_ns) == 0
            && self.pace.hook_time.debt_ns(now_ns) == 0
    }
}

/// A request in progress. It counts until this is dropped: when it is answered, or its client has hung up.
#[derive(Debug)]
#[must_use]
pub struct UnderWay(Option<Arc<AtomicU64>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(under_way) = &self.0 {
            under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Counters of all tenants on this server.
#[derive(Debug)]
pub struct Meters {
    /// Quotas for tenants without quotas of their own.
    defaults: Quotas<u64>,
    tenants: Mutex<HashMap<TenantId, Counted>>,
}

impl Meters {
    /// Starts with empty counters.
    pub fn new(defaults: Quotas<u64>) -> Self {
        Self {
            defaults,
            tenants: Mutex::default(),
        }
    }

    /// The quotas in force for a tenant with these quotas of its own.
    pub fn in_force(&self, own: Quotas<Option<u64>>) -> Quotas<u64> {
        own.in_force(self.defaults)
    }

    /// Counters of the caller's tenant; none for callers of the platform.
    fn of(&self, caller: &Caller) -> Option<Counted> {
        let tenant = caller.tenant.as_ref()?.id;
        let quotas = self.in_force(caller.quotas);
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= TIDY_AT && !tenants.contains_key(&tenant) {
            let now_ns = now_ns();
            tenants.retain(|_, counted| !counted.rests(now_ns));
        }
        let counted = tenants
            .entry(tenant)
            .or_insert_with(|| Counted::new(quotas));
        if counted.pace.quotas != quotas {
            counted.pace = Arc::new(Pace::new(quotas));
        }
        Some(counted.clone())
    }

    /// Admits a request if its tenant's rate and number of concurrent requests allow it.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] otherwise.
    pub fn admit(&self, caller: &Caller) -> Result<UnderWay> {
        let under_way = self.begin(caller)?;
        self.pace(caller)?;
        Ok(under_way)
    }

    /// Counts a request among those that are under way, if the tenant may have one more.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] otherwise.
    pub fn begin(&self, caller: &Caller) -> Result<UnderWay> {
        let Some(counted) = self.of(caller) else {
            return Ok(UnderWay(None));
        };
        let quotas = counted.pace.quotas;
        let limit = quotas.max_concurrent_requests;
        let begun =
            counted
                .under_way
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |under_way| {
                    (limit == 0 || under_way < limit).then_some(under_way + 1)
                });
        begun.map_err(|used| Error::QuotaExceeded {
            quota: Quota::ConcurrentRequests,
            limit,
            used,
            // The end of a running request cannot be predicted.
            retry_after: Some(Duration::from_secs(1)),
        })?;
        Ok(UnderWay(Some(counted.under_way)))
    }

    /// Takes a request from the tenant's rate, if that allows it now.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] otherwise, with the time to wait.
    pub fn pace(&self, caller: &Caller) -> Result<()> {
        let Some(counted) = self.of(caller) else {
            return Ok(());
        };
        let quotas = counted.pace.quotas;
        if quotas.requests_per_second > 0 {
            let (now_ns, cost_ns) = (now_ns(), request_ns(&quotas));
            let taken = counted.pace.requests.take(now_ns, cost_ns);
            taken.map_err(|wait| Error::QuotaExceeded {
                quota: Quota::Requests,
                limit: quotas.requests_per_second,
                used: counted.pace.requests.debt_ns(now_ns).div_ceil(cost_ns),
                retry_after: Some(wait),
            })?;
        }
        Ok(())
    }

    /// Checks that a tenant's hooks are within their time quota.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] if they are not.
    pub fn check_hook_time(&self, caller: &Caller) -> Result<()> {
        let Some(counted) = self.of(caller) else {
            return Ok(());
        };
        let now_ns = now_ns();
        let taken = counted.pace.hook_time.take(now_ns, 0);
        taken.map_err(|wait| Error::QuotaExceeded {
            quota: Quota::HookTime,
            limit: counted.pace.quotas.hook_ms_per_second,
            used: counted.hook_ms(now_ns),
            retry_after: Some(wait),
        })
    }

    /// Charges a tenant for the run time of its hooks.
    pub fn charge_hook_time(&self, caller: &Caller, microseconds: u64) {
        let Some(counted) = self.of(caller) else {
            return;
        };
        // Time to pay this off at the rate of the quota, in nanoseconds.
        let cost_ns = microseconds
            .saturating_mul(1_000_000)
            .checked_div(counted.pace.quotas.hook_ms_per_second);
        if let Some(cost_ns) = cost_ns {
            counted.pace.hook_time.charge(now_ns(), cost_ns);
        }
    }

    /// This server's view of the tenant's stored data, with the tenant's quotas. None for the platform.
    fn storage(&self, caller: &Caller) -> Option<(Arc<Storage>, Quotas<u64>)> {
        let counted = self.of(caller)?;
        Some((counted.storage, counted.pace.quotas))
    }

    /// Current counts of a tenant.
    pub fn read(&self, tenant: TenantId) -> Reading {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counted) = tenants.get(&tenant) else {
            return Reading::default();
        };
        let now_ns = now_ns();
        let debt_ns = counted.pace.requests.debt_ns(now_ns);
        Reading {
            requests: debt_ns
                .checked_div(request_ns(&counted.pace.quotas))
                .unwrap_or_default(),
            concurrent_requests: counted.under_way(),
            hook_ms: counted.hook_ms(now_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_model::context::Tenancy;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        // Ten per second, three at once.
        let cost_ns = SECOND_NS / 10;
        let meter = Meter::new(3 * cost_ns);
        let mut now_ns = 5 * SECOND_NS;
        for _ in 0..3 {
            assert_eq!(meter.take(now_ns, cost_ns), Ok(()));
        }
        let wait = meter.take(now_ns, cost_ns).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        // A refusal costs nothing, so the time to wait is exact.
        now_ns += cost_ns - 1;
        assert_eq!(meter.take(now_ns, cost_ns), Err(Duration::from_nanos(1)));
        now_ns += 1;
        assert_eq!(meter.take(now_ns, cost_ns), Ok(()));
        assert!(meter.take(now_ns, cost_ns).is_err());
        // Quiet time allows no more than the burst.
        now_ns += 3600 * SECOND_NS;
        let passed = (0..10).filter(|_| meter.take(now_ns, cost_ns).is_ok());
        assert_eq!(passed.count(), 3);
    }

    #[test]
    fn what_is_charged_afterwards_is_paid_off_before_anything_else_passes() {
        let meter = Meter::new(SECOND_NS);
        meter.charge(0, SECOND_NS);
        assert_eq!(meter.take(0, 0), Ok(()));
        meter.charge(0, 4 * SECOND_NS);
        assert_eq!(meter.take(0, 0), Err(Duration::from_secs(4)));
        assert_eq!(meter.debt_ns(SECOND_NS), 4 * SECOND_NS);
        assert_eq!(meter.take(4 * SECOND_NS, 0), Ok(()));
        meter.charge(0, u64::MAX);
        assert!(meter.take(0, u64::MAX).is_err());
    }

    #[test]
    fn threads_that_race_for_a_burst_take_no_more_than_it() {
        let meter = Meter::new(1_000);
        let taken = std::thread::scope(|scope| {
            let racers = [(); 4]
                .map(|()| scope.spawn(|| (0..1_000).filter(|_| meter.take(7, 1).is_ok()).count()));
            racers
                .map(|racer| racer.join().unwrap())
                .iter()
                .sum::<usize>()
        });
        assert_eq!(taken, 1_000);
    }

    fn caller(tenant: i32, quotas: Quotas<Option<u64>>) -> Caller {
        Caller {
            tenant: Some(Tenancy {
                id: TenantId(tenant),
                slug: "t".into(),
            }),
            quotas,
            subject: None,
            key: None,
            scopes: Vec::new(),
            bound_to: None,
            is_command_line: false,
        }
    }

    #[test]
    fn changed_quotas_hold_at_once_and_forget_no_request_under_way() {
        let meters = Meters::new(Quotas::default());
        let at_once = |most| Quotas {
            max_concurrent_requests: Some(most),
            ..Quotas::default()
        };
        let first = meters.admit(&caller(1, at_once(1))).unwrap();
        assert!(meters.admit(&caller(1, at_once(1))).is_err());
        let second = meters.admit(&caller(1, at_once(2))).unwrap();
        assert!(meters.admit(&caller(1, at_once(2))).is_err());
        assert_eq!(meters.read(TenantId(1)).concurrent_requests, 2);
        // Another tenant has counters of its own.
        drop(meters.admit(&caller(2, at_once(1))).unwrap());
        drop((first, second));
        assert_eq!(meters.read(TenantId(1)).concurrent_requests, 0);
        // A change of the quota cancels the debt under the old one.
        let hooks = |ms| Quotas {
            hook_ms_per_second: Some(ms),
            ..Quotas::default()
        };
        meters.charge_hook_time(&caller(1, hooks(1)), 20_000);
        assert_eq!(meters.read(TenantId(1)).hook_ms, 19);
        assert!(meters.check_hook_time(&caller(1, hooks(1))).is_err());
        assert!(meters.check_hook_time(&caller(1, hooks(2))).is_ok());
    }
}
