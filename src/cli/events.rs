//! `sigpersist events`.

use std::str::FromStr;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use sigpersist_model::view::HappeningView;

use super::door::{Door, Unreachable};
use super::output::{Output, shown};

/// Events per request.
const PAGE: u32 = 500;
/// Seconds that a request waits for an event.
const WAIT_S: u32 = 20;
/// Pause before a server that can't be reached is asked again.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// Print what happened to a tenant, one event in a line. With --json it is one object with `events` and
    /// `next`, or with --follow one object in a line for each event.
    Tail(Tail),
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// The tenant's slug.
    tenant: String,
    /// Begin after the event with this number; 0 for all, `now` for what happens from now on. Without it, the command begins
    /// with what happens from now on, or without --follow with the last 20 events.
    #[arg(long, value_name = "NUMBER")]
    after: Option<Begin>,
    /// Only events of this type, such as version.saved; if it ends with a dot, all types with this prefix. Can be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Wait for further events, until interrupted.
    #[arg(long, short)]
    follow: bool,
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
enum Begin {
    Now,
    After(i64),
}

impl FromStr for Begin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" {
            return Ok(Self::Now);
        }
        let number = text.parse().ok().filter(|number| *number >= 0);
        let number = number.ok_or("give the number of an event, or `now`")?;
        Ok(Self::After(number))
    }
}

/// Events that the last ones are shown of.
const LAST: i64 = 20;

#[derive(Deserialize)]
struct Page {
    events: Vec<HappeningView>,
    next: i64,
}

impl Events {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self::Tail(command) = self;
        command.run(door, output)
    }
}

impl Tail {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let mut after = match self.after {
            Some(Begin::After(number)) => number,
            now => {
                let head = self.page(door, "now", 0)?.next;
                match now {
                    None if !self.follow => (head - LAST).max(0),
                    _ => head,
                }
            }
        };
        if !self.follow {
            return self.so_far(door, after, output);
        }
        loop {
            match self.page(door, &after.to_string(), WAIT_S) {
                Ok(page) => {
                    for event in &page.events {
                        output.result(&line(event), &json!(event))?;
                    }
                    after = page.next;
                }
                // The next answer goes on where the last one ended.
                Err(error) if error.is::<Unreachable>() => thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
    }

    /// Prints what happened so far: with --json as one object.
    fn so_far(&self, door: &Door, mut after: i64, output: &Output) -> anyhow::Result<()> {
        let (mut events, mut next) = (Vec::new(), -1);
        while next != after {
            let page = self.page(door, &after.to_string(), 0)?;
            (next, after) = (after, page.next);
            events.extend(page.events);
        }
        let lines: Vec<_> = events.iter().map(line).collect();
        let text = match lines.as_slice() {
            [] => format!("Nothing has happened to `{}` since.", self.tenant),
            lines => lines.join("\n"),
        };
        output.result(&text, &json!({ "events": events, "next": after }))
    }

    fn page(&self, door: &Door, after: &str, wait: u32) -> anyhow::Result<Page> {
        let mut request = door
            .get(&["tenants", &self.tenant, "events"])
            .with("after", after)
            .with("limit", PAGE)
            .with("wait", wait);
        for kind in &self.types {
            request = request.with("types", kind);
        }
        request.send()?.parsed()
    }
}

/// An event for people.
fn line(event: &HappeningView) -> String {
    let mut line = format!("{} {} {}", event.number, event.at, event.kind);
    let mut add = |text: &str| {
        line.push(' ');
        line.push_str(&shown(text));
    };
    if let (Some(document), Some(thread)) = (&event.document, &event.thread) {
        add(&format!("{document}/{thread}"));
    }
    if let Some(version) = event.version {
        add(&format!("version {version}"));
    }
    if let Some(target) = &event.target {
        add(target);
    }
    if let Some(indications) = &event.indications {
        let words: Vec<_> = indications
            .iter()
            .map(|indication| indication.as_deref().unwrap_or("unread"))
            .collect();
        add(&words.join(", "));
    }
    line
}
