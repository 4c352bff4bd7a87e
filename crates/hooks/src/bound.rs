//! A plugin bound to a tenant as a hook, and its health: the count of its failures.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigpersist_model::plugin::{CallLimits, Mode, OnFailure, Operation};

use super::plugin::Plugin;
use crate::HooksConfig;

/// A plugin with its settings.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Settings that the plugin reads, as JSON text.
    pub settings: Arc<str>,
}

/// A hook, ready to run.
#[derive(Debug)]
pub struct Bound {
    /// The hook's name.
    pub name: Arc<str>,
    /// Number of the hook's binding.
    pub binding: u32,
    /// Plugin and settings that decide.
    pub guest: Guest,
    /// Shadow: plugin and settings that run on the same input, without effect.
    pub shadow: Option<Guest>,
    /// Operations that the hook judges.
    pub operations: Vec<Operation>,
    /// Mode: enforce, or monitor without effect.
    pub mode: Mode,
    /// Effect of a failure: refuse the request, or let it pass.
    pub on_failure: OnFailure,
    /// Limits of one call.
    pub limits: CallLimits,
    /// Reason why the hook refuses everything without running, if it does.
    pub refuses: Option<String>,
    /// Failures of the hook on this server.
    pub health: Arc<Health>,
    /// Failures of the shadow on this server.
    pub shadow_health: Arc<Health>,
}

impl Bound {
    /// An enforcing hook for all operations that its plugin judges. It belongs to no tenant: for trials.
    pub fn unbound(name: &str, guest: Guest, limits: CallLimits) -> Self {
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

    /// Whether the hook keeps failing and its decisions have an effect. Its tenant's hooks should then run one request
    /// at a time.
    pub(super) fn is_failing(&self, operation: Operation) -> bool {
        self.judges(operation)
            && self.refuses.is_none()
            && self.mode == Mode::Enforce
            && self.health.gives_way()
    }

    /// Whether the hook or its shadow judges this operation.
    pub(super) fn judges(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
            && (self.guest.plugin.judges(operation)
                || self
                    .shadow
                    .as_ref()
                    .is_some_and(|shadow| shadow.plugin.judges(operation)))
    }

    /// Whether the hook or its shadow reads the version that is signed over.
    pub(super) fn imports_previous(&self) -> bool {
        let shadow = self.shadow.as_ref();
        self.guest.plugin.imports_previous()
            || shadow.is_some_and(|shadow| shadow.plugin.imports_previous())
    }

    /// Whether the hook or its shadow may ask for verification results.
    pub(super) fn imports_verdicts(&self) -> bool {
        let shadow = self.shadow.as_ref();
        self.guest.plugin.imports_verdicts()
            || shadow.is_some_and(|shadow| shadow.plugin.imports_verdicts())
    }

    /// A copy with new failure counts: for a trial, whose failures must not count.
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

/// A hook that has failed too often, and should be quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingHook {
    /// The hook's name.
    pub hook: Arc<str>,
    /// The binding that failed.
    pub binding: u32,
    /// Number of failures, in a sentence.
    pub reason: String,
}

/// Failures in a row from which a hook backs off: it leaves most processor time to others.
const GIVES_WAY_FROM: u32 = 2;
/// A failing hook whose decisions have no effect runs once in this many times.
const ONE_OF: u32 = 16;

/// Caller and document of a request, as hashes. A hook may fail for some clients or documents only, because it was not
/// made for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    caller: u64,
    document: u64,
}

impl Origin {
    /// The origin of a request: the subject of the caller's token, and the document.
    pub(super) fn new(subject: Option<&str>, document: &str) -> Self {
        let hash = |text: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            text(&mut hasher);
            hasher.finish()
        };
        Self {
            caller: hash(&|hasher| subject.hash(hasher)),
            document: hash(&|hasher| document.hash(hasher)),
        }
    }
}

/// Counts the failures of one binding on this server.
#[derive(Debug, Default)]
pub struct Health(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    in_a_row: u32,
    left_out: u32,
    /// Origin of the first failure in a row, and whether another caller or document failed since.
    first_of_row: Option<Origin>,
    has_other_callers: bool,
    has_other_documents: bool,
    /// Origin of the last successful run, of the last one for another caller, and of the last one for another document.
    went_well: [Option<Origin>; 3],
    /// Runs of the current window, and whether each failed.
    runs: Vec<(Origin, bool)>,
}

impl Counts {
    fn fail(&mut self, origin: Origin) {
        self.in_a_row += 1;
        let first = *self.first_of_row.get_or_insert(origin);
        self.has_other_callers |= first.caller != origin.caller;
        self.has_other_documents |= first.document != origin.document;
    }

    fn succeed(&mut self, origin: Origin) {
        self.begin_row();
        if let Some(last) = self.went_well[0] {
            if last.caller != origin.caller {
                self.went_well[1] = Some(last);
            }
            if last.document != origin.document {
                self.went_well[2] = Some(last);
            }
        }
        self.went_well[0] = Some(origin);
    }

    fn begin_row(&mut self) {
        self.in_a_row = 0;
        self.first_of_row = None;
        (self.has_other_callers, self.has_other_documents) = (false, false);
    }

    /// Whether the failures in a row are the hook's own fault.
    ///
    /// They are if they affect several callers and several documents, or if the hook succeeded for no others.
    fn is_row_general(&self) -> bool {
        let Some(first) = self.first_of_row else {
            return false;
        };
        let others = |is_same: fn(Origin, Origin) -> bool| {
            let mut well = self.went_well.iter().flatten();
            well.any(|other| !is_same(first, *other))
        };
        (self.has_other_callers || !others(|a, b| a.caller == b.caller))
            && (self.has_other_documents || !others(|a, b| a.document == b.document))
    }

    /// Number of failed runs in the window, if there are too many.
    ///
    /// There must be too many even without the caller, or the document, that caused more than half of the failures.
    fn too_many_of_window(&self, percent: u32) -> Option<usize> {
        let failures = self.runs.iter().filter(|(_, failed)| *failed).count();
        let is_too_many = |failures: usize, runs: usize| failures * 100 >= runs * percent as usize;
        let is_general = |of: fn(&Origin) -> u64| {
            let mut by_each: HashMap<u64, usize> = HashMap::new();
            for (origin, _) in self.runs.iter().filter(|(_, failed)| *failed) {
                *by_each.entry(of(origin)).or_default() += 1;
            }
            let most = by_each.into_iter().find(|(_, count)| 2 * count > failures);
            let Some((most, its_failures)) = most else {
                return true;
            };
            let rest = self.runs.iter().filter(|(origin, _)| of(origin) != most);
            match rest.count() {
                0 => self.went_well.iter().flatten().all(|well| of(well) == most),
                rest => is_too_many(failures - its_failures, rest),
            }
        };
        let too_many = is_too_many(failures, self.runs.len())
            && is_general(|origin| origin.caller)
            && is_general(|origin| origin.document);
        too_many.then_some(failures)
    }
}

impl Health {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the hook keeps failing, and must back off.
    pub(super) fn gives_way(&self) -> bool {
        self.counts().in_a_row >= GIVES_WAY_FROM
    }

    /// Whether to skip this run of a hook whose decisions have no effect, because it keeps failing.
    pub(super) fn leaves_out(&self) -> bool {
        let mut counts = self.counts();
        if counts.in_a_row < GIVES_WAY_FROM {
            return false;
        }
        let before = counts.left_out;
        counts.left_out = before.wrapping_add(1);
        !before.is_multiple_of(ONE_OF)
    }

    /// Resets the failures in a row when a quarantined hook is released.
    pub fn recover(&self, config: &HooksConfig) {
        let mut counts = self.counts();
        if config.quarantine_failures > 0 && counts.in_a_row >= config.quarantine_failures {
            counts.begin_row();
        }
    }

    /// Counts a run. Returns the reason for a quarantine if the hook should be quarantined.
    ///
    /// Failures for one client or one document alone, while the hook succeeds for others, are no reason.
    pub(super) fn count(
        &self,
        failed: bool,
        origin: Origin,
        config: &HooksConfig,
    ) -> Option<String> {
        let mut counts = self.counts();
        let was_general = counts.is_row_general();
        if failed {
            counts.fail(origin);
            let (in_a_row, most) = (counts.in_a_row, config.quarantine_failures);
            let is_due = in_a_row.checked_rem(most) == Some(0) || !was_general;
            if most > 0 && in_a_row >= most && is_due && counts.is_row_general() {
                return Some(format!("It failed {in_a_row} times in a row."));
            }
        } else {
            counts.succeed(origin);
        }
        counts.runs.push((origin, failed));
        let runs = counts.runs.len();
        if runs < config.quarantine_window as usize {
            return None;
        }
        let too_many = match config.quarantine_percent {
            0 => None,
            percent => counts.too_many_of_window(percent),
        };
        counts.runs.clear();
        too_many.map(|failures| format!("It failed in {failures} of {runs} runs."))
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
        let anybody = Origin::new(None, "d");
        let runs = |failures: &[u8]| {
            failures
                .iter()
                .map(|failed| health.count(*failed == 1, anybody, &config).is_some())
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
    fn one_client_or_document_sets_no_hook_aside_that_goes_well_for_others() {
        let config = HooksConfig {
            quarantine_failures: 3,
            quarantine_window: 20,
            quarantine_percent: 50,
            ..HooksConfig::default()
        };
        let by = |caller: &str, document: &str| Origin::new(Some(caller), document);
        let health = Health::default();
        let is_sick = |failed, origin| health.count(failed, origin, &config).is_some();
        assert!(!is_sick(false, by("honest", "a")));
        // Failures of one client alone do not count, neither in a row nor as more than half of a window.
        for number in 0..50 {
            assert!(!is_sick(true, by("evil", &number.to_string())), "{number}");
        }
        for number in 0..60 {
            assert!(!is_sick(
                number % 2 == 0,
                by(["evil", "honest"][number % 2], "b")
            ));
        }
        // Failures on one document alone do not count either, even with several callers.
        for number in 0..6 {
            assert!(!is_sick(true, by(&number.to_string(), "b")), "{number}");
        }
        assert!(
            is_sick(true, by("honest", "a")),
            "it is everybody's and everything's"
        );
        // If there is only one client, failures are the hook's own fault.
        let health = Health::default();
        let runs = (0..3).map(|number| {
            let origin = by("only", &number.to_string());
            health.count(true, origin, &config).is_some()
        });
        assert_eq!(runs.collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_hook_that_keeps_failing_gives_way_until_it_succeeds_or_is_released() {
        let config = HooksConfig {
            quarantine_failures: 3,
            ..HooksConfig::default()
        };
        let health = Health::default();
        let anybody = Origin::new(None, "d");
        health.count(true, anybody, &config);
        assert!(!health.gives_way());
        assert!(!health.leaves_out());
        health.count(true, anybody, &config);
        assert!(health.gives_way());
        let made = (0..64).filter(|_| !health.leaves_out()).count();
        assert_eq!(made, 4);
        health.count(false, anybody, &config);
        assert!(!health.gives_way());
        for _ in 0..2 {
            health.count(true, anybody, &config);
        }
        // The hook is not quarantined yet, so there is nothing to recover from.
        health.recover(&config);
        assert!(health.gives_way());
        health.count(true, anybody, &config);
        health.recover(&config);
        assert!(!health.gives_way());
    }
}
