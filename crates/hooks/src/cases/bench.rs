//! Runs a sample repeatedly, to measure its cost. It needs no server and no database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sigpersist_model::decision::{Circumstances, Decision, HookVerdict};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::policy::InForce;
use utoipa::ToSchema;

use super::sample::{Prepared, Sample};
use super::{case_chain, not_judged};
use crate::{Chain, Engine, Plugin};

/// Maximum number of runs of one thread whose times are kept, to bound memory: about a hundred megabytes.
const MAX_RUNS: usize = 10_000_000;

/// A prepared sample and the chain that judges it.
#[derive(Debug)]
pub struct Bench {
    chain: Chain,
    circumstances: Circumstances,
    prepared: Prepared,
    policy: Arc<InForce>,
    first: Decision,
}

/// Costs of the runs. A run is everything that the plugin does for one save or delete, each call on a fresh instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Verdict of the first run.
    pub verdict: HookVerdict,
    /// Cause of the failure, if the first run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Number of runs.
    pub runs: u64,
    /// Runs per second, of all threads together.
    pub runs_per_second: f64,
    /// Duration of a run, in microseconds.
    pub microseconds: Percentiles,
    /// Fuel that the first run used.
    pub fuel: u64,
    /// Peak linear memory of a call in the first run, in bytes.
    pub memory_bytes: u64,
}

/// Percentiles of the costs of many runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BacktestCosts)]
pub struct Percentiles {
    /// The median.
    #[schema(example = 300)]
    pub p50: u64,
    /// The 99th percentile.
    #[schema(example = 900)]
    pub p99: u64,
    /// The maximum.
    #[schema(example = 1500)]
    pub max: u64,
}

impl Percentiles {
    /// Percentiles of these runs; zeros if there are none. Sorts the runs.
    pub fn of(runs: &mut [u64]) -> Self {
        runs.sort_unstable();
        let at = |share: usize| {
            let place = (runs.len() * share / 100).min(runs.len().saturating_sub(1));
            runs.get(place).copied().unwrap_or_default()
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }

    /// The higher one of each.
    #[must_use]
    pub fn higher(self, other: Self) -> Self {
        Self {
            p50: self.p50.max(other.p50),
            p99: self.p99.max(other.p99),
            max: self.max.max(other.max),
        }
    }
}

impl Bench {
    /// Prepares a sample, and runs it once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] if the sample breaks a rule for saves, or the plugin does not judge its operation;
    /// [`Error::SettingsRefused`].
    pub fn new(engine: &Arc<Engine>, plugin: &Arc<Plugin>, sample: &Sample) -> Result<Self> {
        let settings = sample.settings().to_string();
        let issues = plugin.validate_settings(engine, &settings)?;
        if !issues.is_empty() {
            return Err(Error::SettingsRefused(issues));
        }
        let chain = case_chain(engine, plugin, &settings);
        let circumstances = sample.circumstances(None);
        let prepared = sample.prepare()?;
        let policy = sample.policy()?;
        let decisions = prepared.judge(&chain, &circumstances, &policy).decisions;
        let first = decisions
            .into_iter()
            .next()
            .ok_or_else(|| not_judged(plugin, sample.operation))?;
        Ok(Self {
            chain,
            circumstances,
            prepared,
            policy,
            first,
        })
    }

    /// Runs the sample repeatedly on this many threads. Blocks.
    pub fn run(&self, time: Duration, threads: usize) -> Measured {
        let since = Instant::now();
        let mut runs: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| self.runs(since, time)))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_default())
                .collect()
        });
        let seconds = since.elapsed().as_secs_f64();
        Measured {
            verdict: self.first.verdict,
            failure: self.first.failure.clone(),
            runs: runs.len() as u64,
            runs_per_second: runs.len() as f64 / seconds,
            microseconds: Percentiles::of(&mut runs),
            fuel: self.first.fuel,
            memory_bytes: self.first.memory_bytes,
        }
    }

    fn runs(&self, since: Instant, time: Duration) -> Vec<u64> {
        let mut runs = Vec::new();
        while since.elapsed() < time && runs.len() < MAX_RUNS {
            let judged = self
                .prepared
                .judge(&self.chain, &self.circumstances, &self.policy);
            runs.extend(
                judged
                    .decisions
                    .first()
                    .map(|decision| decision.microseconds),
            );
        }
        runs
    }
}
