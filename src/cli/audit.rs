//! `sigpersist audit`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use sigpersist_model::audit::{Actor, EventOwner, Head, MAX_FAULTS};
use sigpersist_model::time;
use sigpersist_model::view::{ChainView, EventView};

use super::door::{Door, Request};
use super::failure::REFUSED;
use super::output::Output;
use super::progress::spinner;
use super::table::Table;
use crate::app::App;
use crate::audit;

/// The exit code of a check that could not be made: nothing is known then.
const COULD_NOT_CHECK: u8 = 2;

/// Events per request.
const PAGE: usize = 200;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List changes and who made them, newest first.
    List(Box<List>),
    /// Find events that were changed, removed or moved. Exits with 0 if there are none, 1 if there are some, 2 if the
    /// check could not be made.
    Verify(Verify),
    /// Seal chains in their present state, so that their earlier events need no seal, such as events written by servers
    /// of an older release. Make sure first that the events show what was really done.
    Seal(Seal),
}

/// Selects the events that a command is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhoseArgs {
    /// The slug of a tenant, even one that has been deleted.
    tenant: Option<String>,
    /// The platform itself.
    #[arg(long)]
    platform: bool,
    /// All tenants and the platform.
    #[arg(long)]
    all: bool,
}

impl WhoseArgs {
    /// Adds them to a request.
    fn ask<'a>(&self, request: Request<'a>) -> Request<'a> {
        request
            .with_given("tenant", self.tenant.as_deref())
            .with_given("platform", self.platform.then_some(true))
    }

    fn into_whose(self) -> EventOwner {
        match self.tenant {
            Some(slug) => EventOwner::Named(slug),
            None if self.platform => EventOwner::Platforms,
            None => EventOwner::All,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    whose: WhoseArgs,
    /// Only events by this actor: the `sub` claim of a token, or "command line".
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only this action, such as hook.set; if it ends with a dot, all actions with this prefix.
    #[arg(long)]
    action: Option<String>,
    /// Only actions on the object with this name.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only events of this request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only at this time or later: "YYYY-MM-DD HH:MM:SS" in UTC, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    since: Option<DateTime<Utc>>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    until: Option<DateTime<Utc>>,
    /// Maximum number of events.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    whose: WhoseArgs,
    /// An event that must be in the trail: the end of a chain as an earlier check printed it.
    #[arg(long, value_name = "NUMBER:HASH", conflicts_with = "all")]
    expect: Option<Head>,
    /// Also exit with 1 if seals could not be checked, because there is no master key here, or nothing was ever sealed.
    #[arg(long)]
    keyed: bool,
}

#[derive(Debug, Args)]
pub(super) struct Seal {
    #[command(flatten)]
    whose: WhoseArgs,
    /// Make a new seal key, if the master key that encrypts the old one is lost. Restart all servers afterwards.
    #[arg(long)]
    new_key: bool,
}

impl List {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = self
            .whose
            .ask(door.get(&["audit"]))
            .with_given("actor", self.actor)
            .with_given("action", self.action)
            .with_given("target", self.target)
            .with_given("request_id", self.request_id)
            .with_given("since", self.since.map(|since| since.to_rfc3339()))
            .with_given("until", self.until.map(|until| until.to_rfc3339()));
        let most = usize::try_from(self.limit)?;
        let (events, next) = request.pages::<EventView>("events", PAGE, most)?;
        let mut table = Table::new(&[
            "at", "tenant", "number", "by", "key", "request", "action", "target",
        ]);
        for event in &events {
            let from = event.origin.as_ref().map(|origin| origin.tenant.as_str());
            table.row([
                event.at.to_string(),
                chain_name(event.tenant.as_deref(), from),
                event.number.to_string(),
                event.actor.clone().unwrap_or(event.actor_kind.clone()),
                event.key.clone().unwrap_or_default(),
                event.request_id.clone().unwrap_or_default(),
                event.action.clone(),
                event.target.clone(),
            ]);
        }
        let mut text = if events.is_empty() {
            "There are no such events.".to_owned()
        } else {
            table.to_string()
        };
        if next.is_some() {
            text.push_str("\nThere are more; see them with a higher --limit, or --until.");
        }
        output.result(&text, &json!({ "events": events, "next": next }))
    }
}

/// The name of a chain: its tenant, or the platform.
fn owner(tenant: Option<&str>) -> &str {
    tenant.unwrap_or("(platform)")
}

/// The name of a chain, with the slug that an imported one had where it comes from.
fn chain_name(tenant: Option<&str>, from: Option<&str>) -> String {
    match from {
        Some(from) => format!("{} (from {from})", owner(tenant)),
        None => owner(tenant).to_owned(),
    }
}

/// The audit trail is broken; details are on standard output.
#[derive(Debug, thiserror::Error)]
#[error("the audit trail is not intact: {0} of its chains {1} broken")]
struct Broken(usize, &'static str);

/// The exit code of a check that did not find everything intact.
pub(super) fn failure(error: &anyhow::Error) -> u8 {
    if error.is::<Broken>() {
        REFUSED
    } else {
        COULD_NOT_CHECK
    }
}

impl Verify {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = self
            .whose
            .ask(door.get(&["audit", "verify"]))
            .with_given("expect", self.expect)
            .with_given("keyed", self.keyed.then_some(true));
        let bar = spinner("Checking the audit trail …");
        let answer = request.send();
        bar.finish_and_clear();
        let content = answer?.content()?;
        let chains: Vec<ChainView> = serde_json::from_value(content["chains"].clone())?;
        let text: Vec<_> = chains.iter().map(told).collect();
        output.result(&text.join("\n"), &content)?;
        let broken = chains.iter().filter(|chain| !chain.faults.is_empty());
        match broken.count() {
            0 => Ok(()),
            1 => Err(Broken(1, "is").into()),
            many => Err(Broken(many, "are").into()),
        }
    }
}

impl Seal {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let whose = self.whose.into_whose();
        let sealed = audit::seal(app, &Actor::command_line(), &whose, self.new_key)?;
        let chains = match sealed {
            1 => "1 chain".to_owned(),
            many => format!("{many} chains"),
        };
        output.result(
            &format!("Sealed {chains} of the audit trail in the present state."),
            &json!({ "chains": sealed }),
        )
    }
}

/// The result for one chain, for people.
fn told(chain: &ChainView) -> String {
    let events = |number| match number {
        1 => "1 event".to_owned(),
        many => format!("{many} events"),
    };
    let from = chain.origin.as_ref().map(|origin| origin.tenant.as_str());
    let keyed = match (from, chain.keyed, chain.keyed_since) {
        (Some(_), Some(number), _) => format!("{} when it was exported", events(number)),
        (Some(_), None, _) => "not checked when it was exported".to_owned(),
        (None, None, _) => "not checked, because there is no master key here".to_owned(),
        (None, Some(0), _) => "none".to_owned(),
        (None, Some(number), Some(since)) => format!("{} since number {since}", events(number)),
        (None, Some(number), None) => events(number),
    };
    let events = events(chain.events);
    let name = chain_name(chain.tenant.as_deref(), from);
    let mut text = format!("{name}: {events}");
    if chain.faults.is_empty() {
        text.push_str(&format!(", intact, up to {}", chain.head));
    } else {
        text.push_str(", BROKEN");
    }
    text.push_str(&format!("\n    hashes: {events}; keyed: {keyed}"));
    for fault in &chain.faults {
        text.push_str(&format!("\n    {fault}"));
    }
    if chain.faults.len() >= MAX_FAULTS {
        text.push_str("\n    and maybe more");
    }
    text
}
