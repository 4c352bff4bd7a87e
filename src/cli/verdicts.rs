//! Decisions of hooks, formatted for people and for programs.

use sigpersist_model::plugin::Mode;
use sigpersist_model::view::DecisionView;

use super::table::Table;

/// Decisions of one save or delete: a line for each hook, then all that it said.
pub(super) fn table(decisions: &[DecisionView]) -> String {
    if decisions.is_empty() {
        return "No hook runs on this operation.".to_owned();
    }
    let mut table = Table::new(&["hook", "mode", "verdict", "tags", "fuel", "KiB", "µs"]);
    let mut said = String::new();
    for decision in decisions {
        let name = name(decision);
        table.row([
            name.clone(),
            decision.mode.as_str().to_owned(),
            decision.verdict.as_str().to_owned(),
            tags(decision),
            decision.fuel.to_string(),
            decision.memory_bytes.div_ceil(1024).to_string(),
            decision.microseconds.to_string(),
        ]);
        for line in sentences(decision) {
            said.push_str(&format!("\n{name}: {line}"));
        }
    }
    format!("{table}{said}")
}

/// The hook, and whether it is its shadow.
pub(super) fn name(decision: &DecisionView) -> String {
    if decision.shadow {
        format!("{} (shadow)", decision.hook)
    } else {
        decision.hook.to_string()
    }
}

/// Tags that were added and taken away.
pub(super) fn tags(decision: &DecisionView) -> String {
    tag_changes(&decision.tags_added, &decision.tags_removed)
}

/// The difference of two lists: `+new -old`.
pub(super) fn tag_changes(added: &[String], removed: &[String]) -> String {
    let added = added.iter().map(|tag| format!("+{tag}"));
    let removed = removed.iter().map(|tag| format!("-{tag}"));
    added.chain(removed).collect::<Vec<_>>().join(" ")
}

/// All that a hook said, a line for each thing. Its rejections and failures say whether they had no effect.
pub(super) fn sentences(decision: &DecisionView) -> Vec<String> {
    let mut lines = Vec::new();
    let (rejected, failed) = match (decision.shadow, decision.mode) {
        (true, _) => ("shadow, would reject", "shadow, failed"),
        (false, Mode::Monitor) => ("monitor mode, would reject", "monitor mode, failed"),
        (false, Mode::Enforce) => ("rejected", "failed"),
    };
    for rejection in &decision.rejections {
        let field = rejection.field.as_ref();
        let field = field.map(|field| format!(" ({field})")).unwrap_or_default();
        lines.push(format!(
            "{rejected}: {}{field}: {}",
            rejection.code, rejection.message
        ));
    }
    if let Some(failure) = &decision.failure {
        lines.push(format!("{failed}: {failure}"));
    }
    if !decision.backtrace.is_empty() {
        lines.push(format!("in: {}", decision.backtrace.join(", called by ")));
    }
    if decision.differs == Some(true) {
        lines.push("decides differently from the hook itself".to_owned());
    }
    let warnings = decision.warnings.iter();
    lines.extend(warnings.map(|warning| format!("warning: {warning}")));
    for annotation in &decision.annotations {
        lines.push(format!("{}: {}", annotation.name, annotation.value));
    }
    for line in &decision.log {
        lines.push(format!("log, {}: {}", line.level, line.message));
    }
    lines
}
