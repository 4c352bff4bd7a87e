//! Requests that a plugin judges: a [`Save`] or a [`Delete`].
//!
//! The metadata comes with the call. Methods ask the server for the rest: the bytes, the parsed signature, whether its
//! signatures hold, and the previous version. They cost nothing until they are called, and a component imports only the
//! functions that its code calls.
//!
//! In tests on the host there is no server: the methods return the values set with `with_…`.

#[cfg(target_arch = "wasm32")]
use crate::bindings::sigpersist::hooks::{cms, payload, previous, previous_verdicts, verdicts};
use crate::{Context, InspectError, Inspection, Judgement, Signature};

/// A version that is about to be saved.
#[derive(Debug, Clone)]
pub struct Save {
    /// Caller, tenant and time.
    pub context: Context,
    /// The version to be saved, with the tags that it has so far.
    pub draft: Signature,
    #[cfg(not(target_arch = "wasm32"))]
    given: Given,
    #[cfg(not(target_arch = "wasm32"))]
    previous: Option<Previous>,
}

/// A thread that is about to be deleted.
#[derive(Debug, Clone)]
pub struct Delete {
    /// Caller, tenant and time.
    pub context: Context,
    /// The current version of the thread.
    pub stored: Signature,
    #[cfg(not(target_arch = "wasm32"))]
    given: Given,
}

/// The version that is signed over.
#[derive(Debug, Clone)]
pub struct Previous {
    /// The metadata of the version.
    pub signature: Signature,
    #[cfg(not(target_arch = "wasm32"))]
    given: Given,
}

impl Save {
    /// The version that is signed over; none for a first version.
    pub fn previous(&self) -> Option<Previous> {
        #[cfg(target_arch = "wasm32")]
        return previous::metadata().map(|signature| Previous { signature });
        #[cfg(not(target_arch = "wasm32"))]
        self.previous.clone()
    }
}

macro_rules! content {
    ($request:ident.$signature:ident from $inspect:ident::inspect, $judge:ident::judge, $read:ident::read) => {
        impl $request {
            /// The signers and other content of the signature, parsed once by the server. Nothing is verified.
            ///
            /// # Errors
            ///
            /// [`InspectError::NotCms`] if the signature is neither CMS nor signed XML, [`InspectError::Malformed`] if
            /// it is broken.
            pub fn cms(&self) -> Result<Inspection, InspectError> {
                #[cfg(target_arch = "wasm32")]
                return $inspect::inspect();
                #[cfg(not(target_arch = "wasm32"))]
                self.given.cms.clone()
            }

            /// Verdicts on the signatures, by the certificates that the tenant trusts. The server verifies them once,
            /// however many hooks ask.
            ///
            /// # Errors
            ///
            /// See [`Self::cms`]; also [`InspectError::Malformed`] if the signature can be read, but not verified.
            pub fn verdicts(&self) -> Result<Judgement, InspectError> {
                #[cfg(target_arch = "wasm32")]
                return $judge::judge();
                #[cfg(not(target_arch = "wasm32"))]
                self.given.verdicts.clone()
            }

            /// All bytes of the signature.
            pub fn payload(&self) -> Vec<u8> {
                self.read(0, length(&self.$signature))
            }

            /// At most `len` bytes of the signature from `offset`; fewer at the end, none after it.
            pub fn read(&self, offset: u64, len: u32) -> Vec<u8> {
                #[cfg(target_arch = "wasm32")]
                return $read::read(offset, len);
                #[cfg(not(target_arch = "wasm32"))]
                self.given.read(offset, len)
            }
        }
    };
}
content!(Save.draft from cms::inspect, verdicts::judge, payload::read);
content!(Delete.stored from cms::inspect, verdicts::judge, payload::read);
content!(Previous.signature from previous::inspect, previous_verdicts::judge, previous::read);

fn length(signature: &Signature) -> u32 {
    u32::try_from(signature.size).unwrap_or(u32::MAX)
}

#[cfg(target_arch = "wasm32")]
mod asked {
    use super::{Context, Delete, Save, Signature};

    impl Save {
        pub(crate) fn asked(context: Context, draft: Signature) -> Self {
            Self { context, draft }
        }
    }

    impl Delete {
        pub(crate) fn asked(context: Context, stored: Signature) -> Self {
            Self { context, stored }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
use given::Given;

#[cfg(not(target_arch = "wasm32"))]
mod given {
    use super::{
        Context, Delete, InspectError, Inspection, Judgement, Previous, Save, Signature, length,
    };

    /// Answers in place of the server. By default the signature is no CMS, and all bytes are zero.
    #[derive(Debug, Clone)]
    pub(super) struct Given {
        pub(super) cms: Result<Inspection, InspectError>,
        pub(super) verdicts: Result<Judgement, InspectError>,
        payload: Vec<u8>,
    }

    impl Given {
        fn new(signature: &Signature) -> Self {
            Self {
                cms: Err(InspectError::NotCms),
                verdicts: Err(InspectError::NotCms),
                payload: vec![0; length(signature) as usize],
            }
        }

        pub(super) fn read(&self, offset: u64, len: u32) -> Vec<u8> {
            let offset = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(self.payload.len());
            let rest = &self.payload[offset..];
            rest[..rest.len().min(len as usize)].to_vec()
        }
    }

    macro_rules! given {
        ($request:ident, $signature:ident) => {
            /// Only on the host, for tests.
            impl $request {
                /// Sets the parsed content of the signature.
                #[must_use]
                pub fn with_cms(mut self, cms: Result<Inspection, InspectError>) -> Self {
                    self.given.cms = cms;
                    self
                }

                /// Sets the verdicts on the signatures.
                #[must_use]
                pub fn with_verdicts(mut self, verdicts: Result<Judgement, InspectError>) -> Self {
                    self.given.verdicts = verdicts;
                    self
                }

                /// Sets the bytes of the signature, and the size to match.
                #[must_use]
                pub fn with_payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
                    self.given.payload = payload.into();
                    self.$signature.size = self.given.payload.len() as u64;
                    self
                }
            }
        };
    }
    given!(Save, draft);
    given!(Delete, stored);
    given!(Previous, signature);

    /// Only on the host, for tests.
    impl Save {
        /// A first save of this version, by an unknown caller.
        #[must_use]
        pub fn new(draft: Signature) -> Self {
            Self::asked(Context::default(), draft)
        }

        /// Sets the stored version that is signed over.
        #[must_use]
        pub fn with_previous(mut self, previous: Previous) -> Self {
            self.previous = Some(previous);
            self
        }

        /// Sets caller, tenant and time.
        #[must_use]
        pub fn with_context(mut self, context: Context) -> Self {
            self.context = context;
            self
        }

        pub(crate) fn asked(context: Context, draft: Signature) -> Self {
            Self {
                given: Given::new(&draft),
                context,
                draft,
                previous: None,
            }
        }
    }

    /// Only on the host, for tests.
    impl Delete {
        /// A delete of the thread with this current version, by an unknown caller.
        #[must_use]
        pub fn new(stored: Signature) -> Self {
            Self::asked(Context::default(), stored)
        }

        /// Sets caller, tenant and time.
        #[must_use]
        pub fn with_context(mut self, context: Context) -> Self {
            self.context = context;
            self
        }

        pub(crate) fn asked(context: Context, stored: Signature) -> Self {
            Self {
                given: Given::new(&stored),
                context,
                stored,
            }
        }
    }

    /// Only on the host, for tests.
    impl Previous {
        /// A stored version.
        #[must_use]
        pub fn new(signature: Signature) -> Self {
            Self {
                given: Given::new(&signature),
                signature,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_parts_and_none_after_the_end() {
        let save = Save::new(Signature::default()).with_payload("abcdef");
        assert_eq!((save.draft.size, save.payload()), (6, b"abcdef".to_vec()));
        assert_eq!(
            (save.read(4, 10), save.read(6, 1), save.read(u64::MAX, 1)),
            (b"ef".to_vec(), vec![], vec![])
        );
    }

    #[test]
    fn what_is_given_is_answered() {
        let over = Previous::new(Signature {
            version: 1,
            ..Signature::default()
        })
        .with_cms(Ok(Inspection::default()))
        .with_verdicts(Ok(Judgement::default()));
        let save = Save::new(Signature {
            version: 2,
            ..Signature::default()
        })
        .with_previous(over);
        assert_eq!(save.cms(), Err(InspectError::NotCms));
        assert_eq!(save.verdicts(), Err(InspectError::NotCms));
        let over = save.previous().unwrap();
        assert_eq!(
            (over.signature.version, over.cms(), over.verdicts()),
            (1, Ok(Inspection::default()), Ok(Judgement::default()))
        );
        assert!(Save::new(Signature::default()).previous().is_none());
    }
}
