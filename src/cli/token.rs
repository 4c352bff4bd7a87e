//! `sigpersist token`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use sigpersist_model::context::Scope;
use sigpersist_model::view::TokenView;

use super::door::Door;
use super::holder::HolderArgs;
use super::output::Output;

/// Lifetime of a token, unless another is given.
const TTL: Duration = Duration::from_hours(1);
/// Lifetime of a token for one document, unless another is given.
const DOCUMENT_TTL: Duration = Duration::from_mins(15);

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Issue a token, signed with the tenant's newest key that the server can sign with, and print only the token.
    Issue {
        #[command(flatten)]
        holder: HolderArgs,
        /// Scope of the token; repeat for several [default: signatures:read, signatures:write, signatures:delete and events:read; for one document signatures:read and signatures:write].
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// The `sub` claim: who will use the token.
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// The only document that the token is for, such as a token for a page in a browser.
        #[arg(long, value_name = "CODE")]
        document: Option<String>,
        /// The document's only thread that the token is for [default: all of them].
        #[arg(long, value_name = "NAME", requires = "document")]
        thread: Option<String>,
        /// Lifetime of the token: 90s, 15m, 1h, 30d [default: 1h, or 15m for one document].
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        ttl: Option<Duration>,
        /// The key that signs it [default: the newest one that can].
        #[arg(long, value_name = "NAME")]
        kid: Option<String>,
    },
}

impl Token {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self::Issue {
            holder,
            scopes,
            subject,
            document,
            thread,
            ttl,
            kid,
        } = self;
        let ttl = ttl.unwrap_or(match document {
            Some(_) => DOCUMENT_TTL,
            None => TTL,
        });
        let form = json!({
            "scopes": (!scopes.is_empty()).then_some(scopes),
            "subject": subject,
            "document": document,
            "thread": thread,
            "lifetime_s": ttl.as_secs(),
            "kid": kid,
        });
        let request = door.post(&holder.path("tokens")).json(&form);
        let issued: TokenView = request.send()?.parsed()?;
        output.result(
            &issued.token,
            &json!({
                "tenant": holder.slug(),
                "token": issued.token,
                "kid": issued.kid,
                "scopes": issued.scopes,
                "expires_in_s": ttl.as_secs(),
            }),
        )
    }
}

/// Reads a whole number and a unit: `90s`, `15m`, `1h`, `30d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_each = match text.strip_prefix(number) {
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 24 * 3600,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(number) if seconds_each > 0 => {
            Ok(Duration::from_secs(number.saturating_mul(seconds_each)))
        }
        _ => Err("a duration is a whole number followed by s, m, h or d, such as 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("1h", 3600),
            ("2d", 172_800),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for bad in ["", "h", "1x", "-1h", "1.5h", "1hs"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
