//! Limits the examinations of signatures, which need CPU time: a number of permits for all, and fewer for each tenant,
//! so that no tenant keeps others waiting.

use std::convert::Infallible;
use std::sync::Arc;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::SignatureBody;
use sigpersist_verify::pki::{Budget, Issued};

use crate::fair_semaphore::FairSemaphore;

/// Budget of a short examination, in counted nanoseconds: four times what a usual signature with its chain needs.
const SHORT_NS: u64 = 2_000_000;
/// Greatest size of a signature for a short examination, in bytes, because not all work on a large one is counted.
const SHORT_BYTES: usize = 256 * 1024;
/// Concurrent short examinations for each processor: far more than saves alone cause. A thread that waits for a permit
/// of another thread waits until both are scheduled, which takes longer than the examination.
const SHORT_OF_A_PROCESSOR: usize = 8;

/// Permits to examine signatures: many for short examinations, a few for long ones.
#[derive(Debug)]
pub struct Examinations {
    /// Permits for examinations within the short budget. Each one starts here, because its length is not known before.
    pub short: FairSemaphore,
    /// Permits for longer examinations, one for each processor.
    pub long: FairSemaphore,
    /// Pairs of certificates of which one issued the other, from examinations before: most signatures of a tenant come
    /// from a few authorities.
    issued: Arc<Issued>,
}

impl Examinations {
    /// Creates the permits for this many processors. Callers wait for a permit at most `patience_ms` milliseconds.
    pub fn new(processors: usize, patience_ms: u64) -> Self {
        let semaphore = |queue, most| FairSemaphore::new(queue, most, patience_ms);
        Self {
            short: semaphore("short_examinations", processors * SHORT_OF_A_PROCESSOR),
            long: semaphore("examinations", processors),
            issued: Arc::default(),
        }
    }

    /// Examines a signature when the tenant gets a permit. Blocks.
    ///
    /// # Errors
    ///
    /// The errors of [`FairSemaphore::acquire`].
    pub fn look<T>(
        &self,
        tenant: TenantId,
        body: &SignatureBody,
        look: impl Fn(&Budget) -> T,
    ) -> Result<T> {
        self.look_in(body, |semaphore| semaphore.acquire_blocking(tenant), look)
    }

    /// Works like [`Self::look`], but waits for a permit without a time limit. Blocks.
    pub fn look_at_last<T>(
        &self,
        tenant: TenantId,
        body: &SignatureBody,
        look: impl Fn(&Budget) -> T,
    ) -> T {
        let at_last =
            |semaphore: &FairSemaphore| Ok::<_, Infallible>(semaphore.acquire_at_last(tenant));
        let Ok(seen) = self.look_in(body, at_last, look);
        seen
    }

    fn look_in<T, Permit, E>(
        &self,
        body: &SignatureBody,
        acquire: impl Fn(&FairSemaphore) -> Result<Permit, E>,
        look: impl Fn(&Budget) -> T,
    ) -> Result<T, E> {
        if body.bytes.len() <= SHORT_BYTES {
            let _permit = acquire(&self.short)?;
            let budget = Budget::of_ns(SHORT_NS).remembering(&self.issued);
            let seen = look(&budget);
            if !budget.is_exhausted() {
                return Ok(seen);
            }
        }
        let _permit = acquire(&self.long)?;
        Ok(look(&Budget::new().remembering(&self.issued)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use sigpersist_verify::report_within;
    use tokio::runtime::Runtime;

    use super::*;
    use sigpersist_model::error::Error;

    fn signature() -> SignatureBody {
        let text = include_str!("../../../tests/data/first.cms.b64");
        SignatureBody::from_text(text.trim())
    }

    #[test]
    fn what_is_short_waits_for_nothing_long() {
        let (runtime, tenant, body) = (Runtime::new().unwrap(), TenantId(1), signature());
        let examinations = Examinations::new(2, 0);
        let look = |budget: &Budget| {
            report_within(&body.as_sent(), None, budget);
            budget.spent_ns()
        };
        let all = runtime
            .block_on(examinations.long.acquire_alone(tenant))
            .unwrap();
        let _in_runtime = runtime.enter();
        assert!(examinations.look(tenant, &body, look).unwrap() > 0);
        drop(all);
        let _all = runtime
            .block_on(examinations.short.acquire_alone(tenant))
            .unwrap();
        let refused = examinations.look(tenant, &body, look);
        assert!(matches!(refused, Err(Error::RateLimited)));
    }

    #[test]
    fn what_takes_long_is_looked_at_again_in_a_turn_of_its_own() {
        let (runtime, tenant, body) = (Runtime::new().unwrap(), TenantId(1), signature());
        let examinations = Examinations::new(2, 0);
        let spent = RefCell::new(Vec::new());
        let look = |budget: &Budget| {
            while budget.spent_ns() < 2 * SHORT_NS && !budget.is_exhausted() {
                report_within(&body.as_sent(), None, budget);
            }
            spent.borrow_mut().push(budget.spent_ns());
        };
        let _in_runtime = runtime.enter();
        examinations.look(tenant, &body, look).unwrap();
        let [short, long] = spent.take()[..] else {
            panic!("it was looked at so often: {spent:?}");
        };
        assert!(short <= SHORT_NS && long >= 2 * SHORT_NS);
        let large = SignatureBody::from_text(&"x".repeat(SHORT_BYTES + 1));
        examinations.look(tenant, &large, look).unwrap();
        assert_eq!(spent.take().len(), 1);
        let _all = runtime
            .block_on(examinations.long.acquire_alone(tenant))
            .unwrap();
        let refused = examinations.look(tenant, &body, look);
        assert!(matches!(refused, Err(Error::RateLimited)));
        drop(runtime);
    }
}
