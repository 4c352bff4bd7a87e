//! Readiness of the server, and the reasons if it is not ready. Kept in memory, so that reading it waits for nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use sigpersist_model::error::UnreadyReason;

/// Explanation for a pooler that resets the session's settings between transactions.
pub const FORGETS: &str = "A pooler in front of the database forgets a session's settings between transactions. It must keep a \
     session on its connection: in PgBouncer, set pool_mode = session.";

/// Conditions for readiness. All but `stopping` start unmet.
#[derive(Debug, Default)]
pub struct Readiness {
    database: AtomicBool,
    /// The database answers, but session settings are lost.
    forgets: AtomicBool,
    schema: AtomicBool,
    plugins: AtomicBool,
    stopping: AtomicBool,
}

impl Readiness {
    /// Records whether the database answers, and whether its schema matches this program.
    pub fn database(&self, answers: bool, has_our_schema: bool) {
        self.database.store(answers, Ordering::Relaxed);
        self.schema.store(has_our_schema, Ordering::Relaxed);
        self.forgets.store(false, Ordering::Relaxed);
    }

    /// Records that a pooler in front of the database loses session settings.
    pub fn database_forgets(&self) {
        self.database.store(false, Ordering::Relaxed);
        self.forgets.store(true, Ordering::Relaxed);
    }

    /// Records that the plugins of all hooks were made ready, or at least tried.
    pub fn plugins_are_ready(&self) {
        self.plugins.store(true, Ordering::Relaxed);
    }

    /// Records that the server was told to stop.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The missing conditions; empty if the server is ready.
    pub fn lacks(&self) -> Vec<UnreadyReason> {
        let lack = |name, sentence| UnreadyReason { name, sentence };
        let database = self.database.load(Ordering::Relaxed);
        let mut lacks = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            lacks.push(lack("stopping", "The server was told to stop."));
        }
        if !database && self.forgets.load(Ordering::Relaxed) {
            lacks.push(lack("database", FORGETS));
        } else if !database {
            lacks.push(lack("database", "The database does not answer."));
        } else if !self.schema.load(Ordering::Relaxed) {
            lacks.push(lack(
                "schema",
                "The database's schema does not match this program.",
            ));
        }
        if !self.plugins.load(Ordering::Relaxed) {
            lacks.push(lack(
                "plugins",
                "The plugins of hooks are still being loaded.",
            ));
        }
        lacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_nothing_is_lacking() {
        let readiness = Readiness::default();
        let names = || {
            readiness
                .lacks()
                .iter()
                .map(|lack| lack.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(), ["database", "plugins"]);
        readiness.database(true, false);
        assert_eq!(names(), ["schema", "plugins"]);
        readiness.database(true, true);
        readiness.plugins_are_ready();
        assert_eq!(names(), [""; 0]);
        readiness.database_forgets();
        assert_eq!(names(), ["database"]);
        assert!(readiness.lacks()[0].sentence.contains("pool_mode"));
        readiness.database(true, true);
        assert_eq!(names(), [""; 0]);
        readiness.stop();
        assert_eq!(names(), ["stopping"]);
    }
}
