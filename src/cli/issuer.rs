//! `sigpersist issuer`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sigpersist_model::context::Scope;
use sigpersist_model::issuer::Grant;
use sigpersist_model::view::{IssuerView, KnownKeysView};

use super::door::Door;
use super::output::{Output, shown};
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(super) enum Issuer {
    /// Trust an identity provider: its tokens authenticate a tenant's applications.
    Add(Add),
    /// List the identity providers that a tenant trusts.
    List(OfTenant),
    /// Show an issuer: its rules, and the keys that the server has of it.
    Show(One),
    /// Remove an issuer. Its tokens are refused on all servers within a second.
    Remove(One),
    /// Fetch an issuer's keys now, and make all servers fetch them again.
    Refresh(One),
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
    /// The issuer's name, as `issuer list` shows it.
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The tenant's slug.
    tenant: String,
    /// A name of your choice, such as keycloak.
    name: String,
    /// The `iss` of its tokens, character by character. Without --jwks-url and --jwks, its keys are found by OpenID Connect
    /// Discovery.
    issuer: String,
    /// The URL of its JSON Web Key Set.
    #[arg(long, value_name = "URL", conflicts_with = "jwks")]
    jwks_url: Option<String>,
    /// A file with its JSON Web Key Set, if that is not to be fetched.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// An audience; a token must have one of those that you give in its `aud`. Can be repeated.
    #[arg(long = "audience", value_name = "AUD", required = true)]
    audiences: Vec<String>,
    /// A claim that a token must have, with its value. Can be repeated.
    #[arg(long = "require", value_name = "CLAIM=VALUE", value_parser = required)]
    required: Vec<(String, String)>,
    /// Scopes, separated by commas, that a value of a claim stands for, such as
    /// `realm_access.roles=signer=signatures:read,signatures:write`. Can be repeated. Without it, the names of scopes in
    /// `scope` and `scp` count as they are.
    #[arg(long = "grant", value_name = "CLAIM=VALUE=SCOPES", value_parser = granted)]
    grants: Vec<Grant>,
    /// Maximum time until a token expires, in seconds [default: a day].
    #[arg(long, value_name = "SECONDS")]
    max_lifetime_s: Option<u64>,
}

/// Reads `CLAIM=VALUE`.
fn required(text: &str) -> anyhow::Result<(String, String)> {
    let (claim, value) = text
        .split_once('=')
        .context("it must be CLAIM=VALUE, such as azp=crm")?;
    Ok((claim.to_owned(), value.to_owned()))
}

/// Reads `CLAIM=VALUE=SCOPES`. The value may contain the sign.
fn granted(text: &str) -> anyhow::Result<Grant> {
    let parts = text
        .split_once('=')
        .and_then(|(claim, rest)| Some((claim, rest.rsplit_once('=')?)));
    let (claim, (value, scopes)) =
        parts.context("it must be CLAIM=VALUE=SCOPES, such as roles=signer=signatures:write")?;
    let scopes = scopes.split(',').map(|scope| scope.trim().parse());
    let scopes: Result<Vec<Scope>, String> = scopes.collect();
    Ok(Grant {
        claim: claim.to_owned(),
        value: value.to_owned(),
        scopes: scopes.map_err(|why| anyhow!(why))?,
    })
}

impl Issuer {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run(door, output),
            Self::List(of) => of.list(door, output),
            Self::Show(one) => one.show(door, output),
            Self::Remove(one) => one.remove(door, output),
            Self::Refresh(one) => one.refresh(door, output),
        }
    }
}

impl Add {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let mut all = BTreeMap::new();
        for (claim, value) in &self.required {
            let before = all.insert(claim, value);
            ensure!(before.is_none(), "The claim `{claim}` is required twice.");
        }
        let jwks: Option<Value> = match &self.jwks {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("The key set {} can't be read", path.display()))?;
                let set = serde_json::from_str(&text);
                Some(set.with_context(|| format!("{} is not JSON", path.display()))?)
            }
        };
        let form = json!({
            "name": self.name,
            "issuer": self.issuer,
            "jwks_url": self.jwks_url,
            "jwks": jwks,
            "audiences": self.audiences,
            "required": all,
            "grants": self.grants,
            "max_lifetime_s": self.max_lifetime_s,
        });
        let request = door.post(&["tenants", &self.tenant, "issuers"]).json(&form);
        let answer = request.send()?;
        let created = answer.created();
        let issuer: IssuerView = answer.member("issuer")?;
        let (tenant, name) = (&self.tenant, &issuer.name);
        let text = match (created, &issuer.jwks) {
            (false, _) => {
                format!("The issuer `{name}` of `{tenant}` already exists; nothing was changed.")
            }
            (true, Some(_)) => format!(
                "`{tenant}` trusts the tokens of `{}` that its keys verify.",
                shown(&issuer.issuer)
            ),
            (true, None) => format!(
                "`{tenant}` trusts the tokens of `{}`. Its keys are fetched when the first one comes. Next, to see whether that works: sigpersist issuer refresh {tenant} {name}",
                shown(&issuer.issuer)
            ),
        };
        output.result(&text, &json!(issuer))
    }
}

impl OfTenant {
    fn list(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let path = ["tenants", self.tenant.as_str(), "issuers"];
        let issuers: Vec<IssuerView> = door.get(&path).member("issuers")?;
        let mut table = Table::new(&["name", "issuer", "audiences", "keys", "created"]);
        for issuer in &issuers {
            table.row([
                issuer.name.clone(),
                shown(&issuer.issuer),
                shown(&issuer.rules.audiences.join(" ")),
                origin(issuer),
                issuer.created_at.to_string(),
            ]);
        }
        let text = if issuers.is_empty() {
            format!(
                "There are no issuers. Next: sigpersist issuer add {} NAME ISSUER --audience AUD",
                self.tenant
            )
        } else {
            table.to_string()
        };
        output.result(&text, &json!({ "tenant": self.tenant, "issuers": issuers }))
    }
}

/// The origin of an issuer's keys.
fn origin(issuer: &IssuerView) -> String {
    match (&issuer.jwks_url, &issuer.jwks) {
        (Some(url), _) => shown(url),
        (None, Some(_)) => "given".to_owned(),
        (None, None) => "discovered".to_owned(),
    }
}

/// The keys that the answering server has, in sentences.
fn told(known: Option<&KnownKeysView>) -> Vec<String> {
    let Some(known) = known else {
        return vec!["keys: not fetched yet".to_owned()];
    };
    let since = known.fetched_at.as_ref();
    let since = since.map_or(String::new(), |at| format!(", fetched at {at}"));
    let mut lines = vec![format!("keys: {}{since}", known.kids.join(" "))];
    lines.extend(known.left_out.iter().map(|why| shown(why)));
    if let Some(failure) = &known.failure {
        lines.push(format!("The last fetch failed: {}", shown(failure)));
    }
    lines
}

impl One {
    fn path<'a>(&'a self, last: &'a [&'a str]) -> Vec<&'a str> {
        [&["tenants", &self.tenant, "issuers", &self.name][..], last].concat()
    }

    fn show(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let issuer: IssuerView = door.get(&self.path(&[])).member("issuer")?;
        let rules = &issuer.rules;
        let mut lines = vec![
            format!("issuer: {}", shown(&issuer.issuer)),
            format!("origin of its keys: {}", origin(&issuer)),
            format!("audiences: {}", shown(&rules.audiences.join(" "))),
        ];
        for (claim, value) in &rules.required {
            lines.push(format!("required: {}={}", shown(claim), shown(value)));
        }
        for grant in &rules.grants {
            let scopes: Vec<_> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
            let (claim, value) = (shown(&grant.claim), shown(&grant.value));
            lines.push(format!("grant: {claim}={value}={}", scopes.join(",")));
        }
        lines.extend(told(issuer.known.as_ref()));
        output.result(&lines.join("\n"), &json!(issuer))
    }

    fn remove(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        door.delete(&self.path(&[])).send()?;
        let text = format!(
            "The issuer `{}` of `{}` is removed: its tokens are refused within a second.",
            self.name, self.tenant
        );
        output.result(&text, &json!({ "name": self.name, "removed": true }))
    }

    fn refresh(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let issuer: IssuerView = door.post(&self.path(&["refresh"])).member("issuer")?;
        let known = issuer.known.as_ref();
        let failure = known.and_then(|known| known.failure.as_ref());
        if let (Some(failure), None) = (failure, &issuer.jwks) {
            return Err(anyhow!(
                "The keys of `{}` could not be fetched: {failure}",
                shown(&issuer.issuer)
            ));
        }
        output.result(&told(known).join("\n"), &json!(issuer))
    }
}
