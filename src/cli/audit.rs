//! `sigpersist audit`.

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use sigpersist_model::audit::{Actor, EventOwner, Fault, Filter, Head, Listed, MAX_FAULTS, Place};
use sigpersist_model::time;
use sigpersist_model::view::EventView;

use super::failure::REFUSED;
use super::output::Output;
use super::progress::progress;
use super::table::Table;
use crate::app::App;
use crate::audit::{self, Keyed, MAX_LIMIT, Verified};

/// The exit code of a check that could not be made: nothing is known then.
const COULD_NOT_CHECK: u8 = 2;

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

impl Audit {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(app, output),
            Self::Verify(command) => command.run(app, output),
            Self::Seal(command) => command.run(app, output),
        }
    }
}

impl List {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let filter = Filter {
            whose: self.whose.into_whose(),
            actor: self.actor,
            action: self.action,
            target: self.target,
            request_id: self.request_id,
            since: self.since,
            until: self.until,
        };
        let (events, next) = collect(app, &filter, usize::try_from(self.limit)?)?;
        let mut table = Table::new(&[
            "at", "tenant", "number", "by", "key", "request", "action", "target",
        ]);
        for listed in &events {
            let event = &listed.event;
            let from = event
                .tenant
                .as_deref()
                .filter(|_| listed.imported.is_some());
            table.row([
                time::to_text(event.at),
                chain_name(listed.tenant(), from),
                event.number.to_string(),
                event.actor.clone().unwrap_or(event.actor_kind.clone()),
                event.actor_key.clone().unwrap_or_default(),
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
        let events = events.into_iter().map(EventView::try_from);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let next = next.map(|next| next.to_string());
        output.result(&text, &json!({ "events": events, "next": next }))
    }
}

/// Collects pages of events up to a limit.
fn collect(
    app: &App,
    filter: &Filter,
    limit: usize,
) -> anyhow::Result<(Vec<Listed>, Option<Place>)> {
    let mut events = Vec::new();
    let mut next = None;
    loop {
        let left = limit - events.len();
        let page = audit::list(app, filter, next.as_ref(), left.min(MAX_LIMIT))?;
        events.extend(page.events);
        next = page.next;
        if next.is_none() || events.len() >= limit {
            return Ok((events, next));
        }
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
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let whose = self.whose.into_whose();
        let bar = progress(0, "events");
        let chains = audit::verify(app, &whose, self.expect.as_ref(), |seen, all| {
            bar.set_length(all);
            bar.set_position(seen);
        });
        bar.finish_and_clear();
        let mut chains = chains?;
        if self.keyed {
            for chain in &mut chains {
                // A chain that was imported is vouched for by the tenant's own.
                let is_own = chain.part.is_none();
                if is_own && chain.events > 0 && !matches!(chain.keyed, Keyed::Checked { .. }) {
                    chain.faults.push(Fault::NotKeyed);
                }
            }
        }
        if let EventOwner::Named(slug) = whose
            && chains.is_empty()
        {
            bail!(
                "There is no tenant `{slug}`, and there are no events of a deleted tenant with this slug."
            );
        }
        let text: Vec<_> = chains.iter().map(told).collect();
        let broken = chains.iter().filter(|chain| !chain.faults.is_empty());
        let broken = broken.count();
        let facts: Vec<_> = chains
            .iter()
            .map(|chain| {
                let faults = chain.faults.iter().map(ToString::to_string);
                let since = match chain.keyed {
                    Keyed::Checked { since, .. } => since,
                    Keyed::NotChecked | Keyed::None => None,
                };
                let mut facts = json!({
                    "tenant": chain.tenant,
                    "events": chain.events,
                    "keyed": chain.keyed.events(),
                    "keyed_since": since,
                    "head": chain.head.to_string(),
                    "faults": faults.collect::<Vec<_>>(),
                });
                if let Some(part) = &chain.part {
                    facts["origin"] = json!({ "tenant": part.source, "part": part.number });
                    facts["stated_by"] = json!(part.stated_by);
                }
                facts
            })
            .collect();
        output.result(
            &text.join("\n"),
            &json!({ "whole": broken == 0, "chains": facts }),
        )?;
        match broken {
            0 => Ok(()),
            1 => Err(Broken(1, "is").into()),
            many => Err(Broken(many, "are").into()),
        }
    }
}

impl Seal {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
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
fn told(chain: &Verified) -> String {
    let events = |number| match number {
        1 => "1 event".to_owned(),
        many => format!("{many} events"),
    };
    let keyed = match chain.keyed {
        _ if chain.part.is_some() => match chain.keyed.events() {
            Some(number) => format!("{} when it was exported", events(number)),
            None => "not checked when it was exported".to_owned(),
        },
        Keyed::NotChecked => "not checked, because there is no master key here".to_owned(),
        Keyed::None => "none".to_owned(),
        Keyed::Checked {
            events: number,
            since: Some(since),
        } => format!("{} since number {since}", events(number)),
        Keyed::Checked { events: number, .. } => events(number),
    };
    let events = events(chain.events);
    let from = chain.part.as_ref().map(|part| part.source.as_str());
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
