//! A plugin as a tenant has bound it, and how it fares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::plugin::Plugin;
use crate::config::HooksConfig;
use crate::plugins::model::{Limits, Mode, OnFailure, Operation};

/// A plugin with its settings: what runs.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// What it reads as its configuration, as JSON text.
    pub settings: Arc<str>,
}

/// A hook, ready to run.
#[derive(Debug)]
pub struct Bound {
    /// The hook's name.
    pub name: Arc<str>,
    /// Which of its bindings this is.
    pub binding: u32,
    /// What runs.
    pub guest: Guest,
    /// What runs beside it on the same input, and decides nothing.
    pub shadow: Option<Guest>,
    /// What it judges.
    pub operations: Vec<Operation>,
    /// Whether it decides.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What one call may take.
    pub limits: Limits,
    /// Why it refuses everything without running, where it does.
    pub refuses: Option<String>,
    /// How it fares, on this server.
    pub health: Arc<Health>,
    /// How its shadow fares.
    pub shadow_health: Arc<Health>,
}

impl Bound {
    /// A hook that enforces whatever its plugin judges, bound by nobody: for trials.
    pub fn unbound(name: &str, guest: Guest, limits: Limits) -> Self {
        Self {
            name: name.into(),
            binding: 0,
            guest,
            shadow: None,
            operations: vec![Operation::Save, Operation::Delete],
            mode: Mode::Enforce,
            on_failure: OnFailure::Reject,
            limits,
            refuses: None,
            health: Arc::default(),
            shadow_health: Arc::default(),
        }
    }

    /// Whether it keeps failing where it judges and decides, so that its tenant's hooks should run one at a time.
    pub(super) fn is_failing(&self, operation: Operation) -> bool {
        self.judges(operation)
            && self.refuses.is_none()
            && self.mode == Mode::Enforce
            && self.health.gives_way()
    }

    /// Whether it has anything to say to an operation.
    pub(super) fn judges(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
            && (self.guest.plugin.judges(operation)
                || self
                    .shadow
                    .as_ref()
                    .is_some_and(|shadow| shadow.plugin.judges(operation)))
    }

    /// Whether it asks for the version that is signed over.
    pub(super) fn imports_previous(&self) -> bool {
        let shadow = self.shadow.as_ref();
        self.guest.plugin.imports_previous()
            || shadow.is_some_and(|shadow| shadow.plugin.imports_previous())
    }

    /// The same, with a health of its own: for a trial, which must not count.
    pub fn for_trial(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            binding: self.binding,
            guest: self.guest.clone(),
            shadow: self.shadow.clone(),
            operations: self.operations.clone(),
            mode: self.mode,
            on_failure: self.on_failure,
            limits: self.limits,
            refuses: self.refuses.clone(),
            health: Arc::default(),
            shadow_health: Arc::default(),
        }
    }
}

/// A hook that has failed too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sick {
    /// The hook's name.
    pub hook: Arc<str>,
    /// The binding that failed.
    pub binding: u32,
    /// How often, in a sentence.
    pub reason: String,
}

/// Failures in a row from which a hook gives way to others.
const GIVES_WAY_FROM: u32 = 2;
/// Of how many runs one is made where a hook keeps failing and decides nothing.
const ONE_OF: u32 = 16;

/// Counts the failures of one binding on this server.
#[derive(Debug, Default)]
pub struct Health {
    in_a_row: AtomicU32,
    left_out: AtomicU32,
    runs: AtomicU32,
    failures: AtomicU32,
}

impl Health {
    /// Whether it keeps failing, so that it must leave time to others.
    pub(super) fn gives_way(&self) -> bool {
        self.in_a_row.load(Ordering::Relaxed) >= GIVES_WAY_FROM
    }

    /// Whether a run is left out, since it keeps failing and decides nothing.
    pub(super) fn leaves_out(&self) -> bool {
        self.gives_way()
            && !self
                .left_out
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(ONE_OF)
    }

    /// Begins anew, where it was set aside and is not any more.
    pub fn recover(&self, config: &HooksConfig) {
        if config.quarantine_failures > 0
            && self.in_a_row.load(Ordering::Relaxed) >= config.quarantine_failures
        {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a run; says why the hook should be set aside, where it should.
    pub(super) fn count(&self, failed: bool, config: &HooksConfig) -> Option<String> {
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
            let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
            if config.quarantine_failures > 0 && in_a_row.is_multiple_of(config.quarantine_failures)
            {
                return Some(format!("It failed {in_a_row} times in a row."));
            }
        } else if self.in_a_row.load(Ordering::Relaxed) > 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        let runs = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if runs < config.quarantine_window {
            return None;
        }
        self.runs.store(0, Ordering::Relaxed);
        let failures = self.failures.swap(0, Ordering::Relaxed);
        let too_many = config.quarantine_percent > 0
            && u64::from(failures) * 100 >= u64::from(runs) * u64::from(config.quarantine_percent);
        too_many.then(|| format!("It failed in {failures} of {runs} runs."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_sick_after_failures_in_a_row_or_too_many_of_a_window() {
        let config = HooksConfig {
            quarantine_failures: 3,
            quarantine_window: 10,
            quarantine_percent: 50,
            ..HooksConfig::default()
        };
        let health = Health::default();
        let runs = |failures: &[u8]| {
            failures
                .iter()
                .map(|failed| health.count(*failed == 1, &config).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            runs(&[1, 1, 0, 1, 1, 0]),
            [false; 6],
            "never three in a row"
        );
        assert_eq!(
            runs(&[0, 0, 0, 1]),
            [false, false, false, true],
            "five of ten"
        );
        assert_eq!(runs(&[1, 1]), [false, true], "three in a row");
        assert_eq!(runs(&[1, 1]), [false; 2], "and it starts anew");
    }

    #[test]
    fn a_hook_that_keeps_failing_gives_way_until_it_succeeds_or_is_released() {
        let config = HooksConfig {
            quarantine_failures: 3,
            ..HooksConfig::default()
        };
        let health = Health::default();
        health.count(true, &config);
        assert!(!health.gives_way());
        assert!(!health.leaves_out());
        health.count(true, &config);
        assert!(health.gives_way());
        let made = (0..64).filter(|_| !health.leaves_out()).count();
        assert_eq!(made, 4);
        health.count(false, &config);
        assert!(!health.gives_way());
        for _ in 0..2 {
            health.count(true, &config);
        }
        // It was not set aside yet, so there is nothing to recover from.
        health.recover(&config);
        assert!(health.gives_way());
        health.count(true, &config);
        health.recover(&config);
        assert!(!health.gives_way());
    }
}
