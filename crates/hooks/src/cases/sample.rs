//! A save or delete to try, as an operator writes it in JSON.

use std::sync::Arc;

use chrono::DateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use sigpersist_model::attachments::{Attachments, Sent};
use sigpersist_model::decision::Circumstances;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_model::policy::{InForce, Policy, Revocation, read_anchors};
use sigpersist_model::signature::{
    Draft, Signature, SignatureBody, SignatureId, ThreadKey, check_comment, check_label, fold_tags,
};
use sigpersist_runtime::verification::Verification;
use utoipa::ToSchema;

use crate::{Chain, ChainResult, VerdictSource};

/// A save or delete to try. Everything that you leave out has a default that most plugins ignore.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sample {
    /// Operation: save or delete.
    pub operation: Operation,
    /// Settings of the hook. Only for test cases: hooks and candidates have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!(null))]
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize_option")]
    pub settings: Option<Value>,
    /// The document.
    #[schema(example = "doc_12")]
    pub document: String,
    /// The thread.
    #[schema(example = "ticket_42")]
    pub thread: String,
    /// Version number: for a save, the number that the new version would get; for a delete, that of the current
    /// version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    #[serde(deserialize_with = "sigpersist_model::number::deserialize_option")]
    pub version: Option<u32>,
    /// The signature, as a client sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "MIIHUgYJKoZIhvcNAQcCoIIHQzCCBz8CAQExDzANBglghkgBZQMEAgEFADAU")]
    pub cms: Option<String>,
    /// File beside the test case that contains `cms`. Only for test cases on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub cms_file: Option<String>,
    /// The content that a detached signature signs, in base64. The signature is verified with it if a hook asks whether
    /// it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub content: Option<String>,
    /// File beside the test case that contains `content`. Only for test cases on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub content_file: Option<String>,
    /// Additional certificates in PEM, of absent signers and of authorities in between. They are not trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub certificates: Option<String>,
    /// Trusted certificates, in PEM. Only for test cases: a tenant has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub anchors: Option<String>,
    /// File beside the test case that contains `anchors`. Only for test cases on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub anchors_file: Option<String>,
    /// Rule on how much must be known about revocations. Only for test cases: a tenant has its policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub revocation: Option<Revocation>,
    /// Creator of the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "33")]
    pub version_created_by: Option<String>,
    /// The comment on the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "The first signature")]
    pub version_comment: Option<String>,
    /// The version's stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "approval")]
    pub stage: Option<String>,
    /// Tags of the version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["draft"]))]
    pub tags: Vec<String>,
    /// Time when the thread was created, in milliseconds since 1970. It has an effect only for `previous` and for
    /// deletes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    #[serde(deserialize_with = "sigpersist_model::number::deserialize_option")]
    pub created_at_ms: Option<i64>,
    /// The version that is signed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion, example = json!(null))]
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize_option")]
    pub previous: Option<Box<Self>>,
    /// Caller, tenant and time of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize_option")]
    pub context: Option<PartialCircumstances>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            operation: Operation::Save,
            settings: None,
            document: "document".to_owned(),
            thread: "thread".to_owned(),
            version: None,
            cms: None,
            cms_file: None,
            content: None,
            content_file: None,
            anchors: None,
            anchors_file: None,
            certificates: None,
            revocation: None,
            version_created_by: None,
            version_comment: None,
            stage: None,
            tags: Vec::new(),
            created_at_ms: None,
            previous: None,
            context: None,
        }
    }
}

/// Circumstances that a sample sets. Others have defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PartialCircumstances {
    /// The slug of the tenant.
    #[schema(example = "acme")]
    tenant: Option<String>,
    /// Id of the request.
    #[schema(example = "case")]
    request_id: Option<String>,
    /// The `sub` claim of the caller's token.
    #[schema(example = "crm")]
    subject: Option<String>,
    /// The scopes of the caller's token.
    #[schema(example = json!(["signatures:write"]))]
    scopes: Option<Vec<String>>,
    /// Time of the request, in milliseconds since 1970.
    #[schema(example = 1_790_000_000_000_u64)]
    #[serde(deserialize_with = "time")]
    now_ms: Option<u64>,
}

/// Reads a time that is not before 1970, in the range of `int64`, as the OpenAPI document states.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let ms: Option<i64> = sigpersist_model::number::deserialize_option(deserializer)?;
    let checked = |ms| u64::try_from(ms).map_err(|_| D::Error::custom("a time before 1970"));
    ms.map(checked).transpose()
}

/// Default time of a sample.
const NOW_MS: u64 = 1_790_000_000_000;

impl PartialCircumstances {
    /// Fills in the missing values from `otherwise`.
    fn over(&self, otherwise: Circumstances) -> Circumstances {
        Circumstances {
            tenant: self.tenant.clone().unwrap_or(otherwise.tenant),
            request_id: self.request_id.clone().unwrap_or(otherwise.request_id),
            subject: self.subject.clone().or(otherwise.subject),
            scopes: self.scopes.clone().unwrap_or(otherwise.scopes),
            now_ms: self.now_ms.unwrap_or(otherwise.now_ms),
        }
    }
}

/// A checked and decoded sample.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// A save.
    Save {
        /// The draft that would be saved.
        draft: Box<Draft>,
        /// Number that the new version would get.
        version: u32,
        /// The version that is signed over.
        previous: Option<Box<Signature>>,
        /// Content and certificates for verifying the signature.
        attachments: Attachments,
    },
    /// A delete of this stored version.
    Delete(Box<Signature>),
}

impl Prepared {
    /// Lets a chain judge the sample. Signatures are verified under this policy.
    pub fn judge(
        &self,
        chain: &Chain,
        circumstances: &Circumstances,
        policy: &Arc<InForce>,
    ) -> ChainResult {
        let now = circumstances.now_time();
        let judging = |body: &SignatureBody, attachments: Attachments| {
            let policy = Arc::clone(policy);
            let verification = Verification::new(body.clone(), attachments, policy, now);
            VerdictSource::now(Arc::new(verification))
        };
        match self {
            Self::Save {
                draft,
                version,
                previous,
                attachments,
            } => {
                let judging = judging(&draft.body, attachments.clone());
                chain.judge_save(
                    circumstances,
                    draft,
                    *version,
                    previous.as_deref(),
                    &judging,
                )
            }
            Self::Delete(stored) => {
                let body = stored.body.as_ref();
                let judging = body
                    .map(|body| judging(body, Attachments::default()))
                    .unwrap_or_default();
                chain.judge_delete(circumstances, stored, &judging)
            }
        }
    }
}

impl Sample {
    /// Key of the thread.
    pub fn key(&self) -> ThreadKey {
        ThreadKey {
            document: self.document.clone(),
            thread: self.thread.clone(),
        }
    }

    /// The settings; an empty object if they are left out.
    pub fn settings(&self) -> Value {
        self.settings.clone().unwrap_or_else(|| json!({}))
    }

    /// The circumstances. Missing values come from `otherwise`, or are those of test cases.
    pub fn circumstances(&self, otherwise: Option<Circumstances>) -> Circumstances {
        let otherwise = otherwise.unwrap_or_else(|| Circumstances {
            tenant: "acme".to_owned(),
            request_id: "case".to_owned(),
            subject: None,
            scopes: vec!["signatures:write".to_owned()],
            now_ms: NOW_MS,
        });
        match &self.context {
            Some(partial) => partial.over(otherwise),
            None => otherwise,
        }
    }

    /// The sample as a draft.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] if the sample breaks a rule for saves.
    pub fn draft(&self) -> Result<Draft> {
        self.check()?;
        Ok(Draft {
            key: self.key(),
            signed_over: None,
            body: self.body()?,
            stage: self.stage.clone(),
            created_by: self.version_created_by.clone(),
            comment: self.version_comment.clone(),
            tags: fold_tags("tags", self.tags.clone())?,
        })
    }

    /// The sample as a stored version.
    ///
    /// # Errors
    ///
    /// See [`Self::draft`].
    pub fn stored(&self, key: &ThreadKey) -> Result<Signature> {
        let attachments = [&self.content, &self.content_file, &self.certificates];
        if attachments.into_iter().any(Option::is_some) {
            let message =
                "Remove `content` and `certificates`: a stored signature is judged without them.";
            return Err(Error::invalid("content", message));
        }
        let draft = self.draft()?;
        let created_at = self
            .created_at_ms
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default();
        Ok(Signature {
            id: SignatureId(1),
            key: key.clone(),
            version: self.version.unwrap_or(1),
            stage: draft.stage,
            created_by: draft.created_by,
            comment: draft.comment,
            tags: draft.tags,
            version_created_at: created_at,
            created_at,
            updated_at: created_at,
            body: Some(draft.body),
        })
    }

    /// Lets a chain judge the sample, without looking anything up. Signatures are verified under this policy.
    ///
    /// # Errors
    ///
    /// See [`Self::draft`].
    pub fn judge(
        &self,
        chain: &Chain,
        circumstances: &Circumstances,
        policy: &Arc<InForce>,
    ) -> Result<ChainResult> {
        Ok(self.prepare()?.judge(chain, circumstances, policy))
    }

    /// The sample's own policy: it accepts every signature, and takes trust anchors and the revocation rule from the
    /// sample.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] if `anchors` contains no valid certificates.
    pub fn policy(&self) -> Result<Arc<InForce>> {
        let anchors = match &self.anchors {
            None => Vec::new(),
            Some(pem) => read_anchors(pem.as_bytes(), DateTime::UNIX_EPOCH).ok_or_else(|| {
                let message = "`anchors` must hold certificates in PEM, and no other PEM blocks.";
                Error::invalid("anchors", message)
            })?,
        };
        let policy = Policy {
            revocation: self.revocation.unwrap_or_default(),
            ..Policy::default()
        };
        InForce::new(policy, anchors).map(Arc::new)
    }

    /// Whether the sample sets something that a tenant's policy decides.
    pub fn is_of_tenant(&self) -> bool {
        self.anchors.is_some() || self.anchors_file.is_some() || self.revocation.is_some()
    }

    /// Content and certificates for verifying the signature.
    ///
    /// # Errors
    ///
    /// Errors of [`Attachments::read`].
    pub fn attachments(&self) -> Result<Attachments> {
        Attachments::read(
            self.content.as_deref().map(Sent::Text),
            self.certificates.as_deref().map(Sent::Text),
        )
    }

    /// Checks and decodes the sample, so that it can be judged many times.
    ///
    /// # Errors
    ///
    /// See [`Self::draft`].
    pub fn prepare(&self) -> Result<Prepared> {
        match self.operation {
            Operation::Save => {
                let draft = self.draft()?;
                let previous = self
                    .previous
                    .as_ref()
                    .map(|previous| {
                        if previous.is_of_tenant() {
                            let message =
                                "Set `anchors` and `revocation` in `input`, not in `previous`.";
                            return Err(Error::invalid("anchors", message));
                        }
                        previous.stored(&draft.key)
                    })
                    .transpose()?;
                let next = previous
                    .as_ref()
                    .map_or(1, |previous| previous.version.saturating_add(1));
                Ok(Prepared::Save {
                    version: self.version.unwrap_or(next),
                    draft: Box::new(draft),
                    previous: previous.map(Box::new),
                    attachments: self.attachments()?,
                })
            }
            Operation::Delete => Ok(Prepared::Delete(Box::new(self.stored(&self.key())?))),
        }
    }

    fn body(&self) -> Result<SignatureBody> {
        match &self.cms {
            Some(text) if !text.is_empty() => Ok(SignatureBody::from_text(text)),
            _ => Err(Error::invalid("cms", "`cms` is required.")),
        }
    }

    fn check(&self) -> Result<()> {
        check_label("document", &self.document)?;
        check_label("thread", &self.thread)?;
        if let Some(stage) = &self.stage {
            check_label("stage", stage)?;
        }
        if let Some(author) = &self.version_created_by {
            check_label("version_created_by", author)?;
        }
        if let Some(comment) = &self.version_comment {
            check_comment("version_comment", comment)?;
        }
        Ok(())
    }
}
