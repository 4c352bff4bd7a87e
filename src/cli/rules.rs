//! Options of `sigpersist verify` for the validation of certificate chains.

use clap::{Args, ValueEnum};
use sigpersist_verify::pki::{RevocationRule, Rules};

#[derive(Debug, Args)]
pub(super) struct RuleOptions {
    /// Evidence about revocation. `required`: something in the signature must show for each certificate of its chain
    /// that it was not revoked. `if-present`: a certificate without such evidence passes.
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    revocation: Revocation,
    /// An acceptable certificate policy, as an object identifier; repeat for several. Without any, every policy is
    /// acceptable. A chain with another policy passes all the same, unless one of its certificates or
    /// `--require-explicit-policy` demands an acceptable one.
    #[arg(long, value_name = "OID", value_parser = policy)]
    policy: Vec<String>,
    /// Pass a chain only if it is valid for an acceptable certificate policy.
    #[arg(long)]
    require_explicit_policy: bool,
    /// Do not let one certificate policy stand for another (policy mapping).
    #[arg(long)]
    inhibit_policy_mapping: bool,
    /// Do not let `anyPolicy` in a certificate stand for any other policy.
    #[arg(long)]
    inhibit_any_policy: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Revocation {
    Required,
    #[default]
    #[value(alias = "if_present")]
    IfPresent,
}

/// An object identifier in dotted form.
fn policy(text: &str) -> Result<String, String> {
    let arcs = text.split('.');
    let is_number = |arc: &str| {
        arc.parse::<u128>()
            .is_ok_and(|arc_read| arc_read.to_string() == arc)
    };
    if arcs.clone().count() > 1 && arcs.into_iter().all(is_number) {
        Ok(text.to_owned())
    } else {
        Err("a policy is an object identifier, such as 1.2.398.3.1.1".to_owned())
    }
}

impl From<RuleOptions> for Rules {
    fn from(options: RuleOptions) -> Self {
        Self {
            revocation: match options.revocation {
                Revocation::Required => RevocationRule::Required,
                Revocation::IfPresent => RevocationRule::IfPresent,
            },
            initial_policies: (!options.policy.is_empty()).then_some(options.policy),
            require_explicit_policy: options.require_explicit_policy,
            inhibit_policy_mapping: options.inhibit_policy_mapping,
            inhibit_any_policy: options.inhibit_any_policy,
        }
    }
}
