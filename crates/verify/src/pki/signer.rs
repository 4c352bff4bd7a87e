//! The choice of a signer's certificate among several candidates.

use super::budget::Budget;
use super::certificate::Parsed;
use super::chain::{ChainVerdict, Purpose, Trust};
use super::verdict::Basis;

/// A signer's certificate and its judgement.
pub(crate) struct Chosen<'c> {
    pub(crate) certificate: &'c Parsed<'c>,
    pub(crate) judged: ChainVerdict,
}

impl Trust<'_> {
    /// Judges certificates of one key as [`Self::judge`] does. The first good one counts, otherwise `certificate`.
    pub(crate) fn judge_signer<'c>(
        &self,
        certificate: &'c Parsed<'c>,
        others: impl IntoIterator<Item = &'c Parsed<'c>>,
        time_ms: i64,
        basis: Basis,
    ) -> Chosen<'c> {
        let judge = |certificate| Chosen {
            certificate,
            judged: self.judge(certificate, Purpose::Signing, time_ms, basis),
        };
        let first = judge(certificate);
        if first.judged.outcome.is_ok() {
            return first;
        }
        let renewed = others.into_iter().filter(|other| {
            !self.budget.is_same(other.der(), certificate.der())
                && is_of_same_key(other, certificate, self.budget)
        });
        let mut renewed = renewed.map(judge);
        let good = renewed.find(|other| other.judged.outcome.is_ok());
        good.unwrap_or(first)
    }
}

/// Whether two certificates have the same key, including its parameters.
pub(crate) fn is_of_same_key(one: &Parsed<'_>, other: &Parsed<'_>, budget: &Budget) -> bool {
    let [one, other] = [one, other].map(|it| it.x509().public_key().raw);
    budget.is_same(one, other)
}
