//! `sigpersist webhook`.

use anyhow::ensure;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use sigpersist_model::view::{AttemptView, WebhookView};
use sigpersist_model::webhook::Attempt;

use super::door::Door;
use super::output::{Output, joined};
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// Make a webhook, and show its secret once.
    Create(Create),
    /// List a tenant's webhooks.
    List(OfTenant),
    /// Show a webhook.
    Show(One),
    /// Change a webhook, or switch it on or off.
    Update(Update),
    /// Delete a webhook, with the events that it did not take yet.
    Delete(One),
    /// Call a webhook now, with an event of the type webhook.test.
    Test(One),
    /// Deliver events again.
    Replay(Replay),
    /// Show the last calls of a webhook, newest first.
    Attempts(One),
    /// Make a new secret. Calls are signed with the one before it, too, for a day.
    RotateSecret(One),
}

#[derive(Debug, Args)]
pub(super) struct OfTenant {
    /// The tenant's slug.
    tenant: String,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The tenant's slug.
    tenant: String,
    /// The webhook's id, as `webhook list` shows it.
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The tenant's slug.
    tenant: String,
    /// The URL to call.
    url: String,
    /// Only events of this type, such as version.saved; if it ends with a dot, all types with this prefix. Can be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Begin after the event with this number; 0 for all. Without it, the webhook begins with what happens from now on.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    one: One,
    /// Another URL.
    #[arg(long)]
    url: Option<String>,
    /// Other types of events. Can be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Whether it is called. One that is enabled again goes on where it stopped.
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    one: One,
    /// The number of the first event.
    #[arg(long, value_name = "NUMBER")]
    from: u32,
    /// The number of the last event.
    #[arg(long, value_name = "NUMBER")]
    to: u32,
}

impl Webhook {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run(door, output),
            Self::List(command) => command.run(door, output),
            Self::Show(one) => one.show(door, output),
            Self::Update(command) => command.run(door, output),
            Self::Delete(one) => one.delete(door, output),
            Self::Test(one) => one.test(door, output),
            Self::Replay(command) => command.run(door, output),
            Self::Attempts(one) => one.attempts(door, output),
            Self::RotateSecret(one) => one.rotate_secret(door, output),
        }
    }
}

impl Create {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let mut form = json!({ "url": self.url, "types": self.types });
        if let Some(after) = self.after {
            form["after"] = after.into();
        }
        let content = door
            .post(&["tenants", &self.tenant, "webhooks"])
            .json(&form)
            .send()?
            .content()?;
        made(&content, output)
    }
}

/// Shows a webhook with its secret.
fn made(content: &Value, output: &Output) -> anyhow::Result<()> {
    let webhook: WebhookView = serde_json::from_value(content["webhook"].clone())?;
    let secret = content["secret"].as_str().unwrap_or_default();
    output.result(
        &format!(
            "{}\nIts secret, which is shown only now: {secret}\nThe receiver verifies calls with it: https://www.standardwebhooks.com",
            sheet(&webhook)
        ),
        &joined(json!(webhook), json!({ "secret": secret })),
    )
}

impl OfTenant {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let webhooks: Vec<WebhookView> = door
            .get(&["tenants", &self.tenant, "webhooks"])
            .member("webhooks")?;
        let mut table = Table::new(&["id", "url", "types", "state", "behind", "pending"]);
        for webhook in &webhooks {
            table.row([
                webhook.id.to_string(),
                webhook.url.clone(),
                types(webhook),
                state(webhook).to_owned(),
                webhook.behind.to_string(),
                webhook.pending.to_string(),
            ]);
        }
        let text = if webhooks.is_empty() {
            let slug = &self.tenant;
            format!("`{slug}` has no webhooks. Next: sigpersist webhook create {slug} URL")
        } else {
            table.to_string()
        };
        output.result(&text, &json!({ "webhooks": webhooks }))
    }
}

fn types(webhook: &WebhookView) -> String {
    match webhook.types.as_slice() {
        [] => "all".to_owned(),
        types => types.join(", "),
    }
}

fn state(webhook: &WebhookView) -> &'static str {
    match (webhook.enabled, &webhook.failing_since) {
        (false, _) => "disabled",
        (true, Some(_)) => "failing",
        (true, None) => "enabled",
    }
}

/// A webhook for people.
fn sheet(webhook: &WebhookView) -> String {
    let mut text = format!(
        "webhook: {}\nurl:     {}\ntypes:   {}\nstate:   {}",
        webhook.id,
        webhook.url,
        types(webhook),
        state(webhook)
    );
    if let Some(why) = &webhook.disabled_because {
        text.push_str(&format!(" ({why})"));
    }
    if let Some(since) = webhook.failing_since.as_ref().filter(|_| webhook.enabled) {
        text.push_str(&format!(" since {since}"));
    }
    text.push_str(&format!(
        "\nevents:  {} behind, {} tried again",
        webhook.behind, webhook.pending
    ));
    text
}

impl One {
    fn show(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let webhook: WebhookView = door.get(&self.path("")).member("webhook")?;
        output.result(&sheet(&webhook), &json!(webhook))
    }

    fn delete(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        door.delete(&self.path("")).send()?;
        let text = format!("Deleted the webhook {} of `{}`.", self.id, self.tenant);
        output.result(&text, &json!({ "id": self.id, "deleted": true }))
    }

    fn test(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let attempt: AttemptView = door.post(&self.path("test")).member("attempt")?;
        let answer = match attempt.status {
            Some(status) => format!("the receiver answered {status}"),
            None => "there was no answer".to_owned(),
        };
        let text = format!("{}: {answer} after {} ms.", attempt.outcome, attempt.ms);
        output.result(&text, &json!(attempt))?;
        ensure!(
            attempt.outcome == Attempt::DELIVERED,
            "The receiver did not take the call. Once it does, call it again."
        );
        Ok(())
    }

    fn attempts(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let attempts: Vec<AttemptView> = door.get(&self.path("attempts")).member("attempts")?;
        let mut table = Table::new(&["at", "event", "outcome", "status", "ms"]);
        for attempt in &attempts {
            table.row([
                attempt.at.clone(),
                attempt
                    .number
                    .map_or("test".to_owned(), |number| number.to_string()),
                attempt.outcome.clone(),
                attempt
                    .status
                    .map_or(String::new(), |status| status.to_string()),
                attempt.ms.to_string(),
            ]);
        }
        let text = match attempts.as_slice() {
            [] => "It was not called yet.".to_owned(),
            _ => table.to_string(),
        };
        output.result(&text, &json!({ "attempts": attempts }))
    }

    fn rotate_secret(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let content = door.post(&self.path("rotate-secret")).send()?.content()?;
        made(&content, output)
    }

    /// The path of the webhook, or of something that it has.
    fn path<'a>(&'a self, of: &'a str) -> Vec<&'a str> {
        let mut path = vec!["tenants", &*self.tenant, "webhooks", &*self.id];
        if !of.is_empty() {
            path.push(of);
        }
        path
    }
}

impl Update {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let mut patch = Map::new();
        if let Some(url) = self.url {
            patch.insert("url".to_owned(), url.into());
        }
        if !self.types.is_empty() {
            patch.insert("types".to_owned(), json!(self.types));
        }
        if let Some(enabled) = self.enabled {
            patch.insert("enabled".to_owned(), enabled.into());
        }
        anyhow::ensure!(
            !patch.is_empty(),
            "Give what to change: --url, --type or --enabled."
        );
        let webhook: WebhookView = door
            .patch(&self.one.path(""))
            .json(&Value::Object(patch))
            .member("webhook")?;
        output.result(&sheet(&webhook), &json!(webhook))
    }
}

impl Replay {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let events: u64 = door
            .post(&self.one.path("replay"))
            .json(&json!({ "from": self.from, "to": self.to }))
            .member("events")?;
        let text = format!(
            "{events} events will be delivered again, if the webhook is called with their types."
        );
        output.result(&text, &json!({ "events": events }))
    }
}
