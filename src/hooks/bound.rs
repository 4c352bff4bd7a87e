//! A plugin as a tenant has bound it, and how it fares.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigpersist_model::plugin::{Limits, Mode, OnFailure, Operation};

use super::plugin::Plugin;
use crate::config::HooksConfig;

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

    /// Whether it may ask whether signatures hold.
    pub(super) fn imports_verdicts(&self) -> bool {
        let shadow = self.shadow.as_ref();
        self.guest.plugin.imports_verdicts()
            || shadow.is_some_and(|shadow| shadow.plugin.imports_verdicts())
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

/// Who asks about what: some clients and documents a hook may not be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    caller: u64,
    document: u64,
}

impl Origin {
    /// The request of a subject, about a document.
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
    /// Who and what the failures in a row are of: the first of them, and whether there was another.
    first_of_row: Option<Origin>,
    has_other_callers: bool,
    has_other_documents: bool,
    /// For whom and what it went well the last time, and before that for another caller, and for another document.
    went_well: [Option<Origin>; 3],
    /// The runs of this window, and whether they failed.
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

    /// Whether failures in a row are the hook's own: they are of several callers and documents, or it went well for no others.
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

    /// How many runs of the window failed, if they are too many, and are so even without the caller or the document that most
    /// failures are of.
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

    /// Whether it keeps failing, so that it must leave time to others.
    pub(super) fn gives_way(&self) -> bool {
        self.counts().in_a_row >= GIVES_WAY_FROM
    }

    /// Whether a run is left out, since it keeps failing and decides nothing.
    pub(super) fn leaves_out(&self) -> bool {
        let mut counts = self.counts();
        if counts.in_a_row < GIVES_WAY_FROM {
            return false;
        }
        let before = counts.left_out;
        counts.left_out = before.wrapping_add(1);
        !before.is_multiple_of(ONE_OF)
    }

    /// Begins anew, where it was set aside and is not any more.
    pub fn recover(&self, config: &HooksConfig) {
        let mut counts = self.counts();
        if config.quarantine_failures > 0 && counts.in_a_row >= config.quarantine_failures {
            counts.begin_row();
        }
    }

    /// Counts a run; says why the hook should be set aside, where it should. What fails for one client or one document alone, and
    /// goes well for others, is not set aside for all.
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
        // Whatever it sends, and however often: in a row, and in more than half of a window.
        for number in 0..50 {
            assert!(!is_sick(true, by("evil", &number.to_string())), "{number}");
        }
        for number in 0..60 {
            assert!(!is_sick(
                number % 2 == 0,
                by(["evil", "honest"][number % 2], "b")
            ));
        }
        // Whoever asks: of one document alone.
        for number in 0..6 {
            assert!(!is_sick(true, by(&number.to_string(), "b")), "{number}");
        }
        assert!(
            is_sick(true, by("honest", "a")),
            "it is everybody's and everything's"
        );
        // Of the only client, it is the hook's own.
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
        // It was not set aside yet, so there is nothing to recover from.
        health.recover(&config);
        assert!(health.gives_way());
        health.count(true, anybody, &config);
        health.recover(&config);
        assert!(!health.gives_way());
    }
}
