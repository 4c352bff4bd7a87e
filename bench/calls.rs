//! Microseconds for one call of a hook, on a fresh instance with all limits on: `cargo bench --bench calls`.
//!
//! The hook is `signer-tags` over a signature of 12 KB, on one thread and on two.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sigpersist_hooks::HooksConfig;
use sigpersist_hooks::{Bound, Chain, Engine, Guest, VerdictSource};
use sigpersist_model::decision::Circumstances;
use sigpersist_model::signature::{Draft, SignatureBody, ThreadKey};

const SIGNATURE: &str = include_str!("../tests/data/large.cms.b64");
const COMPONENT: &[u8] = include_bytes!("../plugins/signer-tags/signer-tags.wasm");
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let config = HooksConfig {
        compiler: Some(env!("CARGO_BIN_EXE_sigpersist").into()),
        ..HooksConfig::default()
    };
    let engine = Arc::new(Engine::new(&config).unwrap());
    let plugin = engine.admit(COMPONENT).unwrap();
    let chain = Chain::new(
        Arc::clone(&engine),
        vec![Bound::unbound(
            "signer-tags",
            Guest {
                plugin,
                settings: "{}".into(),
            },
            config.default_limits(),
        )],
    );
    let inspect = per_second(1, || {
        let body = SignatureBody::from_text(SIGNATURE.trim());
        sigpersist_verify::cms::inspect(&body.bytes).unwrap();
    });
    println!(
        "only decoding, hashing and parsing    {:6.1} µs",
        1e6 / inspect
    );
    let draft = Draft {
        key: ThreadKey {
            document: "contract-1".to_owned(),
            thread: "ticket-1".to_owned(),
        },
        signed_over: None,
        body: SignatureBody::from_text(SIGNATURE.trim()),
        stage: None,
        created_by: None,
        comment: None,
        tags: vec!["one".to_owned(), "two".to_owned()],
    };
    let circumstances = Circumstances {
        tenant: "bench".to_owned(),
        request_id: "bench".to_owned(),
        subject: None,
        scopes: Vec::new(),
        now_ms: 1_790_000_000_000,
    };
    let judge = || {
        let judged = chain.judge_save(&circumstances, &draft, 1, None, &VerdictSource::default());
        assert_eq!(judged.tags.len(), 5);
    };
    let one = per_second(1, judge);
    let two = per_second(2, judge);
    println!("one call, including parsing           {:6.1} µs", 1e6 / one);
    println!(
        "calls a second: {one:.0} on one thread, {two:.0} on two ({:.2} times)",
        two / one
    );
}

fn per_second(threads: usize, work: impl Fn() + Sync) -> f64 {
    let end = Instant::now() + TIME;
    let total: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut calls = 0;
                    while Instant::now() < end {
                        work();
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    f64::from(total) / TIME.as_secs_f64()
}
