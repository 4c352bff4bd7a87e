//! Lines that a plugin logs while its author tries it, printed as they come.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use sigpersist_hooks::Listener;

use crate::cli::output::shown;

/// Prints the log of a plugin to standard error, each line with the name of the case that runs.
#[derive(Debug, Clone)]
pub(in crate::cli) struct AuthorLog(Arc<Mutex<Option<String>>>);

impl AuthorLog {
    /// A log of calls that belong to no case.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some("log".to_owned()))))
    }

    /// The lines that follow are of this case.
    pub(super) fn begin(&self, case: &str) {
        self.set(Some(shown(case)));
    }

    /// The lines that follow are not printed.
    pub(super) fn mute(&self) {
        self.set(None);
    }

    fn set(&self, case: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = case;
    }

    /// Prints lines for an engine.
    pub(super) fn listener(&self) -> Listener {
        let case = Arc::clone(&self.0);
        Arc::new(move |line| {
            let case = case.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(case) = case.as_deref() {
                let (level, message) = (&line.level, shown(&line.message));
                // Without standard error there is nobody to tell.
                drop(writeln!(std::io::stderr(), "{case}: {level}: {message}"));
            }
        })
    }
}
