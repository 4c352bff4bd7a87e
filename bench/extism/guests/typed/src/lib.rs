//! A small tagger for the contract, with tags for the caller and the size of the signature. Its settings decide whether
//! it reads the signature's bytes (`{"read":true}`) or only the metadata. `../json` does the same work over JSON.

wit_bindgen::generate!({
    inline: "
        package bench:typed;
        world typed {
            include sigpersist:hooks/host@1.1.0;
            export sigpersist:hooks/lifecycle@1.1.0;
            export sigpersist:hooks/tagger@1.1.0;
        }
    ",
    path: "../../../../plugins/wit",
    generate_all,
});

use exports::sigpersist::hooks::lifecycle::{Description, Guest as Lifecycle, Issue};
use exports::sigpersist::hooks::tagger::{Changes, Context, Guest as Tagger, Rejection, Signature};
use sigpersist::hooks::{config, payload};

#[global_allocator]
static ALLOCATOR: sigpersist_plugin::Arena = sigpersist_plugin::Arena::new();

struct Typed;

impl Lifecycle for Typed {
    fn describe() -> Description {
        Description { summary: "Tags who saved and how large the signature is".into() }
    }

    fn validate_config(_json: String) -> Vec<Issue> {
        Vec::new()
    }
}

impl Tagger for Typed {
    fn tag(_context: Context, draft: Signature) -> Result<Changes, Rejection> {
        let size = if config::json().contains("\"read\":true") {
            payload::read(0, u32::MAX).len()
        } else {
            0
        };
        let by = draft.created_by.unwrap_or_default();
        Ok(Changes { set: vec![format!("by:{by}"), format!("size:{size}")], remove: Vec::new() })
    }
}

export!(Typed);
