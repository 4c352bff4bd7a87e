//! Bindings generated from `wit/hooks.wit`: the records of the contract, the host functions, and the glue of each export.
//!
//! Each export has its own world, so that a component exports only the functions that [`plugin!`](crate::plugin) names.

wit_bindgen::generate!({
    world: "sigpersist:hooks/host@1.1.0",
    path: "wit",
    generate_all,
    additional_derives: [PartialEq, Eq],
    // Defaults, so that tests set only the fields that matter to them.
    additional_type_attributes: {
        "sigpersist:hooks/types@1.1.0/attribute": [#[derive(Default)]],
        "sigpersist:hooks/types@1.1.0/context": [#[derive(Default)]],
        "sigpersist:hooks/types@1.1.0/signature": [#[derive(Default)]],
        "sigpersist:hooks/types@1.1.0/acceptance": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/algorithm": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/name-attribute": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/name": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/certificate": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/issuer-and-serial": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/signer": [#[derive(Default)]],
        "sigpersist:hooks/cms@1.1.0/inspection": [#[derive(Default)]],
        "sigpersist:hooks/verdicts@1.1.0/apart-from-content": [#[derive(Default)]],
        "sigpersist:hooks/verdicts@1.1.0/verdict": [#[derive(Default)]],
        "sigpersist:hooks/verdicts@1.1.0/judged-signer": [#[derive(Default)]],
        "sigpersist:hooks/verdicts@1.1.0/countersigner": [#[derive(Default)]],
        "sigpersist:hooks/verdicts@1.1.0/judgement": [#[derive(Default)]],
    },
});

pub mod lifecycle {
    use crate::{Plugin, configure, panics};
    use exports::sigpersist::hooks::lifecycle::{Description, Guest, Issue};

    wit_bindgen::generate!({
        inline: "package sigpersist:kit-lifecycle; world lifecycle { export sigpersist:hooks/lifecycle@1.1.0; }",
        path: "wit",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });

    impl<P: Plugin> Guest for P {
        fn describe() -> Description {
            panics::report();
            Description {
                summary: P::SUMMARY.into(),
            }
        }

        fn validate_config(json: String) -> Vec<Issue> {
            panics::report();
            configure::<P>(&json).err().into_iter().collect()
        }
    }
}

pub mod tagger {
    use crate::{Save, Tagger, configured, panics};
    use exports::sigpersist::hooks::tagger::{Changes, Context, Guest, Rejection, Signature};

    wit_bindgen::generate!({
        inline: "package sigpersist:kit-tagger; world tagger { export sigpersist:hooks/tagger@1.1.0; }",
        path: "wit",
        with: { "sigpersist:hooks/types@1.1.0": crate::bindings::sigpersist::hooks::types },
        additional_derives: [PartialEq, Eq, Default],
        pub_export_macro: true,
        export_macro_name: "export_tagger",
    });

    impl<P: Tagger> Guest for P {
        fn tag(context: Context, draft: Signature) -> Result<Changes, Rejection> {
            panics::report();
            configured::<P>().tag(&Save::asked(context, draft))
        }
    }
}

pub mod save_validator {
    use crate::{Save, SaveValidator, configured, panics};
    use exports::sigpersist::hooks::save_validator::{
        Acceptance, Context, Guest, Rejection, Signature,
    };

    wit_bindgen::generate!({
        inline: "package sigpersist:kit-save-validator; world save-validator { export sigpersist:hooks/save-validator@1.1.0; }",
        path: "wit",
        with: { "sigpersist:hooks/types@1.1.0": crate::bindings::sigpersist::hooks::types },
        pub_export_macro: true,
        export_macro_name: "export_save_validator",
    });

    impl<P: SaveValidator> Guest for P {
        fn validate_save(context: Context, draft: Signature) -> Result<Acceptance, Vec<Rejection>> {
            panics::report();
            configured::<P>().validate_save(&Save::asked(context, draft))
        }
    }
}

pub mod delete_validator {
    use crate::{Delete, DeleteValidator, configured, panics};
    use exports::sigpersist::hooks::delete_validator::{
        Acceptance, Context, Guest, Rejection, Signature,
    };

    wit_bindgen::generate!({
        inline: "package sigpersist:kit-delete-validator; world delete-validator { export sigpersist:hooks/delete-validator@1.1.0; }",
        path: "wit",
        with: { "sigpersist:hooks/types@1.1.0": crate::bindings::sigpersist::hooks::types },
        pub_export_macro: true,
        export_macro_name: "export_delete_validator",
    });

    impl<P: DeleteValidator> Guest for P {
        fn validate_delete(
            context: Context,
            stored: Signature,
        ) -> Result<Acceptance, Vec<Rejection>> {
            panics::report();
            configured::<P>().validate_delete(&Delete::asked(context, stored))
        }
    }
}
