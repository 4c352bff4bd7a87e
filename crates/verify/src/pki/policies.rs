//! Certificate policies of a chain (RFC 5280 section 6.1), with the graph of RFC 9618 instead of the policy tree:
//! authorities could make the tree exponentially large.

use std::collections::{BTreeMap, BTreeSet};

use asn1_rs::Tag;

use super::ber::Reader;
use super::budget::Budget;
use super::extensions::Extensions;
use super::oid;
use super::rules::Rules;

/// `anyPolicy` (RFC 5280 section 4.2.1.4): the content of its OBJECT IDENTIFIER.
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 0x20, 0];
/// Cost of reading a policy or a mapping, and adding it to the graph.
const POLICY_NS: u64 = 1_000;
const BYTE_NS: u64 = 4;
/// Cost of writing a byte of a policy in dotted form.
const DOTTED_NS: u64 = 50;

/// A policy: the content of its OBJECT IDENTIFIER.
type Policy<'a> = &'a [u8];

/// A violation of certificate policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// An extension can't be read.
    Unreadable,
    /// `anyPolicy` is mapped (RFC 5280 section 6.1.4 (a)).
    MapsAny,
    /// The chain must be valid for a policy, and is for none that is acceptable.
    NoneValid,
    /// The budget is exhausted.
    Exhausted,
}

/// The policies for which the certificates so far are valid, and the constraints on the certificates to come.
pub(super) struct Policies<'a> {
    /// One level of the graph for each certificate (RFC 9618 section 5.2), the last one being the newest.
    levels: Vec<Level<'a>>,
    /// The number of certificates that may follow before a policy is required, before mappings are no longer allowed,
    /// and before `anyPolicy` is ignored (RFC 5280 section 6.1.2 (d) to (f)).
    explicit_policy: u64,
    policy_mapping: u64,
    inhibit_any: u64,
}

/// The policies of one certificate. The graph is empty (`NULL`) if its last level has no nodes and no `anyPolicy`.
#[derive(Default)]
struct Level<'a> {
    /// Each policy, as the next certificate calls it, with the policies of the level before that it stands for. That
    /// list is empty if the policy comes from `anyPolicy` in the level before.
    nodes: BTreeMap<Policy<'a>, Vec<Policy<'a>>>,
    has_any: bool,
}

/// A count that never comes down to zero.
const UNLIMITED: u64 = u64::MAX;

impl<'a> Policies<'a> {
    pub(super) fn new(rules: &Rules) -> Self {
        let unless = |flag| if flag { 0 } else { UNLIMITED };
        Self {
            levels: vec![Level {
                nodes: BTreeMap::new(),
                has_any: true,
            }],
            explicit_policy: unless(rules.require_explicit_policy),
            policy_mapping: unless(rules.inhibit_policy_mapping),
            inhibit_any: unless(rules.inhibit_any_policy),
        }
    }

    /// Takes the policies of the next certificate (RFC 5280 section 6.1.3 (d) and (e)).
    pub(super) fn take(
        &mut self,
        extensions: &Extensions<'a>,
        is_self_issued_authority: bool,
        budget: &Budget,
    ) -> Result<(), Wrong> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        let Some(value) = extensions.policies else {
            *level = Level::default();
            return Ok(());
        };
        let own = read_policies(value, budget)?;
        let any = own.contains(ANY_POLICY) && (self.inhibit_any > 0 || is_self_issued_authority);
        if !any {
            level.nodes.retain(|policy, _| own.contains(policy));
        }
        if level.has_any {
            for policy in own.into_iter().filter(|policy| *policy != ANY_POLICY) {
                level.nodes.entry(policy).or_default();
            }
        }
        level.has_any &= any;
        Ok(())
    }

    /// Prepares for the next certificate, which the authority of this one issued (RFC 5280 section 6.1.4 (a), (b) and
    /// (h) to (j)).
    pub(super) fn prepare(
        &mut self,
        extensions: &Extensions<'a>,
        is_self_issued: bool,
        budget: &Budget,
    ) -> Result<(), Wrong> {
        let mappings = match extensions.policy_mappings {
            None => Vec::new(),
            Some(value) => read_mappings(value, budget)?,
        };
        if mappings.iter().any(|pair| pair.contains(&ANY_POLICY)) {
            return Err(Wrong::MapsAny);
        }
        self.map(mappings, budget)?;
        if !is_self_issued {
            for count in [
                &mut self.explicit_policy,
                &mut self.policy_mapping,
                &mut self.inhibit_any,
            ] {
                *count = lower(*count);
            }
        }
        self.constrain(extensions)
    }

    /// Applies a certificate's constraints on the certificates after it (RFC 5280 section 6.1.4 (i) and (j)).
    pub(super) fn constrain(&mut self, extensions: &Extensions<'a>) -> Result<(), Wrong> {
        if let Some(value) = extensions.policy_constraints {
            let (explicit, mapping) = read_constraints(value).ok_or(Wrong::Unreadable)?;
            self.explicit_policy = self.explicit_policy.min(explicit.unwrap_or(UNLIMITED));
            self.policy_mapping = self.policy_mapping.min(mapping.unwrap_or(UNLIMITED));
        }
        if let Some(value) = extensions.inhibit_any_policy {
            let mut fields = Reader::new(value);
            let skip = fields.expect(Tag::Integer, "").ok();
            let skip = skip.and_then(|skip| number(skip.content()));
            self.inhibit_any = self.inhibit_any.min(skip.ok_or(Wrong::Unreadable)?);
        }
        Ok(())
    }

    /// Begins the next level (RFC 9618 section 5.4).
    fn map(&mut self, mappings: Vec<[Policy<'a>; 2]>, budget: &Budget) -> Result<(), Wrong> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        budget
            .spend_each(level.nodes.len(), POLICY_NS)
            .map_err(|_| Wrong::Exhausted)?;
        let mut next = Level {
            nodes: BTreeMap::new(),
            has_any: level.has_any,
        };
        let mut mapped = BTreeSet::new();
        for [issuer, subject] in mappings {
            if self.policy_mapping == 0 {
                level.nodes.remove(issuer);
                continue;
            }
            if level.has_any {
                level.nodes.entry(issuer).or_default();
            }
            if level.nodes.contains_key(issuer) {
                mapped.insert(issuer);
                next.nodes.entry(subject).or_default().push(issuer);
            }
        }
        let unmapped = level
            .nodes
            .keys()
            .filter(|policy| !mapped.contains(*policy));
        for policy in unmapped {
            next.nodes.entry(policy).or_default().push(policy);
        }
        self.levels.push(next);
        Ok(())
    }

    /// Checks that the chain is valid for a policy, if one is required. `extensions` are the last certificate's (RFC
    /// 5280 section 6.1.5 (a), (b) and (g)).
    pub(super) fn finish(
        &mut self,
        extensions: &Extensions<'a>,
        rules: &Rules,
        budget: &Budget,
    ) -> Result<(), Wrong> {
        self.explicit_policy = lower(self.explicit_policy);
        if let Some(value) = extensions.policy_constraints {
            let (explicit, _) = read_constraints(value).ok_or(Wrong::Unreadable)?;
            if explicit == Some(0) {
                self.explicit_policy = 0;
            }
        }
        if self.explicit_policy > 0 || self.has_acceptable(rules, budget)? {
            Ok(())
        } else {
            Err(Wrong::NoneValid)
        }
    }

    /// Whether the chain is valid for one of the acceptable policies (RFC 9618 section 5.6).
    fn has_acceptable(&self, rules: &Rules, budget: &Budget) -> Result<bool, Wrong> {
        let Some(last) = self.levels.last() else {
            return Ok(false);
        };
        let acceptable = rules.initial_policies.as_deref();
        let Some(acceptable) = acceptable.filter(|all| !all.iter().any(|it| it == "2.5.29.32.0"))
        else {
            return Ok(last.has_any || !last.nodes.is_empty());
        };
        if last.has_any {
            return Ok(!acceptable.is_empty());
        }
        // From the last level up: the policies that the last certificate's policies stand for.
        let mut reached: BTreeSet<Policy<'_>> = last.nodes.keys().copied().collect();
        for level in self.levels.iter().rev() {
            let mut above = BTreeSet::new();
            for policy in reached {
                let Some(stands_for) = level.nodes.get(policy) else {
                    continue;
                };
                budget
                    .spend_each(1 + stands_for.len(), POLICY_NS)
                    .map_err(|_| Wrong::Exhausted)?;
                if stands_for.is_empty() {
                    // The level before has `anyPolicy`: the policy is valid by its own name.
                    budget
                        .spend_each(policy.len(), DOTTED_NS)
                        .map_err(|_| Wrong::Exhausted)?;
                    let dotted = oid::dotted(policy);
                    if dotted.is_some_and(|own| acceptable.contains(&own)) {
                        return Ok(true);
                    }
                }
                above.extend(stands_for);
            }
            reached = above;
        }
        Ok(false)
    }
}

/// Subtracts one, unless the count is unlimited.
fn lower(count: u64) -> u64 {
    if count == UNLIMITED {
        count
    } else {
        count.saturating_sub(1)
    }
}

fn spend(value: &[u8], budget: &Budget) -> Result<(), Wrong> {
    budget
        .spend_each(value.len(), BYTE_NS)
        .map_err(|_| Wrong::Exhausted)
}

/// Reads `CertificatePolicies ::= SEQUENCE OF PolicyInformation`; ignores qualifiers.
fn read_policies<'a>(value: &'a [u8], budget: &Budget) -> Result<BTreeSet<Policy<'a>>, Wrong> {
    spend(value, budget)?;
    let mut policies = BTreeSet::new();
    let list = Reader::new(value).expect(Tag::Sequence, "");
    let mut all = list.map_err(|_| Wrong::Unreadable)?.inside();
    while let Some(one) = all.next().map_err(|_| Wrong::Unreadable)? {
        budget.spend(POLICY_NS).map_err(|_| Wrong::Exhausted)?;
        let policy = one.inside().expect(Tag::Oid, "");
        policies.insert(policy.map_err(|_| Wrong::Unreadable)?.content());
    }
    Ok(policies)
}

/// Reads `PolicyMappings ::= SEQUENCE OF SEQUENCE { issuerDomainPolicy, subjectDomainPolicy }`.
fn read_mappings<'a>(value: &'a [u8], budget: &Budget) -> Result<Vec<[Policy<'a>; 2]>, Wrong> {
    spend(value, budget)?;
    let mut mappings = Vec::new();
    let list = Reader::new(value).expect(Tag::Sequence, "");
    let mut all = list.map_err(|_| Wrong::Unreadable)?.inside();
    while let Some(one) = all.next().map_err(|_| Wrong::Unreadable)? {
        budget.spend(POLICY_NS).map_err(|_| Wrong::Exhausted)?;
        let mut fields = one.inside();
        let mut policy = || fields.expect(Tag::Oid, "").map_err(|_| Wrong::Unreadable);
        mappings.push([policy()?.content(), policy()?.content()]);
    }
    Ok(mappings)
}

/// Reads `PolicyConstraints ::= SEQUENCE { requireExplicitPolicy [0] OPTIONAL, inhibitPolicyMapping [1] OPTIONAL }`.
fn read_constraints(value: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let mut fields = Reader::new(value).expect(Tag::Sequence, "").ok()?.inside();
    let mut read = |tag| {
        let field = fields.optional(tag).ok()?;
        field.map_or(Some(None), |field| Some(Some(number(field.content())?)))
    };
    let constraints = (read(0)?, read(1)?);
    fields.next().ok()?.is_none().then_some(constraints)
}

/// Reads a non-negative number of any length: a count of certificates that may follow.
fn number(content: &[u8]) -> Option<u64> {
    let (first, _) = content.split_first()?;
    if *first >= 0x80 {
        return None;
    }
    let bytes = content.iter();
    Some(bytes.fold(0_u64, |number, byte| {
        number.saturating_mul(0x100).saturating_add((*byte).into())
    }))
}
