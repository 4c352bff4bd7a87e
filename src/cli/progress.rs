//! Progress of a long command, on standard error if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar up to `length`; nothing is drawn where nobody would see it.
pub(super) fn progress(length: u64, what: &str) -> ProgressBar {
    bar(
        length,
        &format!("{{bar:30}} {{pos}} of {{len}} {what} {{msg}}"),
    )
}

/// A bar up to so many bytes.
pub(super) fn bytes_progress(length: u64, what: &str) -> ProgressBar {
    bar(
        length,
        &format!("{{bar:30}} {{bytes}} of {{total_bytes}} {what}, {{bytes_per_sec}}"),
    )
}

/// A sign that work goes on, whose end nobody knows.
pub(super) fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_message(what.to_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
