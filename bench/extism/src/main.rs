//! A call of a small typed component, compared with the same work by an Extism plugin over JSON, in one process:
//! `make bench`, or `cargo run --release --locked` here.
//!
//! Both guests (`guests/`) add two tags to a save and get the same metadata. The typed guest pulls the signature of
//! 12 KB; the other gets it within the JSON. Each call is on a fresh instance with a deadline and a memory limit;
//! Sigpersist's has its other limits too. Extism has its own, older wasmtime.
//!
//! The contestants alternate, and each figure is the median of its rounds. `SECONDS` and `ROUNDS` in the environment
//! make it longer; `STRICT=1` makes a missed target an error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use extism::{CompiledPlugin, Manifest, Plugin as ExtismPlugin, PluginBuilder, Wasm};
use serde::{Deserialize, Serialize};
use sigpersist_hooks::HooksConfig;
use sigpersist_model::decision::Circumstances;
use sigpersist_model::digest::to_hex;
use sigpersist_hooks::{Bound, Chain, Engine, Guest, VerdictSource};
use sigpersist_model::signature::{Draft, SignatureBody, ThreadKey};

const SIGNATURE: &str = include_str!("../../../tests/data/large.cms.b64");
const TYPED: &[u8] = include_bytes!("../guests/typed/typed.wasm");
const JSON: &[u8] = include_bytes!("../guests/json/json.wasm");
const LOCK: &str = include_str!("../Cargo.lock");
const TIMEOUT_MS: u32 = 100;

/// Settings that decide whether the guest reads the signature itself.
const READ: &str = r#"{"read":true}"#;
const METADATA_ALONE: &str = "{}";

fn main() {
    if sigpersist_hooks::compile_if_asked().is_some() {
        return;
    }
    let setting = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (rounds, time) = (
        setting("ROUNDS", 5),
        Duration::from_secs(setting("SECONDS", 1)),
    );
    let draft = draft();
    let typed = [READ, METADATA_ALONE].map(chain);
    let compiled = [READ, METADATA_ALONE].map(compile);
    let inputs = [true, false].map(|whole| Input::of(&draft, whole));
    let instance =
        |index: usize| ExtismPlugin::new_from_compiled(&compiled[index]).expect("an instance");
    let bytes = [draft.body.bytes.len(), 0];
    // In JSON, the signature is text as it was sent.
    let characters = [SIGNATURE.trim().len(), 0];
    for index in 0..2 {
        let expected = ["one", "two", "by:tester", &format!("size:{}", bytes[index])];
        assert_eq!(tag_typed(&typed[index], &draft), expected);
        let expected = ["by:tester", &format!("size:{}", characters[index])];
        assert_eq!(tag_json(&mut instance(index), &inputs[index]), expected);
    }

    let mut figures: [[Vec<Round>; 4]; 2] = Default::default();
    for _ in 0..rounds {
        for (index, figures) in figures.iter_mut().enumerate() {
            let input = &inputs[index];
            // As in a server, threads share the hooks, but nothing of a request.
            let typed = || {
                let (chain, draft) = (&typed[index], self::draft());
                move || drop(tag_typed(chain, &draft))
            };
            figures[0].push(measure(1, time, typed));
            figures[1].push(measure(2, time, typed));
            figures[2].push(measure(1, time, || {
                || drop(tag_json(&mut instance(index), input))
            }));
            figures[3].push(measure(1, time, || {
                let mut plugin = instance(index);
                move || drop(tag_json(&mut plugin, input))
            }));
        }
    }

    let [ours, theirs] = wasmtime_versions();
    println!(
        "Sigpersist with wasmtime {ours}, Extism {} with wasmtime {theirs};",
        version_of("extism")
    );
    println!(
        "median of {rounds} rounds of {time:?}, a signature of {} bytes\n",
        SIGNATURE.trim().len()
    );
    let mut met = true;
    for (index, what) in ["with the signature", "with only its metadata"]
        .into_iter()
        .enumerate()
    {
        let [one, two, fresh, reused] = figures[index]
            .each_ref()
            .map(|rounds| Round::median(rounds));
        println!("{what}");
        println!(
            "  typed, fresh instance    p50 {:7.1} µs   p99 {:7.1} µs   {:8.0} a second",
            one.p50, one.p99, one.rate
        );
        println!(
            "  the same on two threads  p50 {:7.1} µs   p99 {:7.1} µs   {:8.0} a second   {:.2} times one thread",
            two.p50,
            two.p99,
            two.rate,
            two.rate / one.rate
        );
        println!(
            "  Extism, fresh instance   p50 {:7.1} µs   p99 {:7.1} µs   {:8.0} a second   {:.1} times slower",
            fresh.p50,
            fresh.p99,
            fresh.rate,
            one.rate / fresh.rate
        );
        println!(
            "  Extism, reused instance  p50 {:7.1} µs   p99 {:7.1} µs   {:8.0} a second   {:.1} times slower",
            reused.p50,
            reused.p99,
            reused.rate,
            one.rate / reused.rate
        );
        if index == 0 {
            let targets = [
                ("p50 is at most 10 µs", one.p50 <= 10.0),
                ("p99 is at most 30 µs", one.p99 <= 30.0),
                (
                    "two threads do at least 1.6 times the work of one",
                    two.rate >= 1.6 * one.rate,
                ),
                (
                    "at least 15 times as fast as Extism's fresh instance",
                    one.rate >= 15.0 * fresh.rate,
                ),
                (
                    "at least 4 times as fast as Extism's reused instance",
                    one.rate >= 4.0 * reused.rate,
                ),
            ];
            for (target, holds) in targets {
                println!("  {} {target}", if holds { "met:   " } else { "missed:" });
                met &= holds;
            }
        }
    }
    assert!(
        met || std::env::var_os("STRICT").is_none(),
        "a target was missed"
    );
}

fn draft() -> Draft {
    Draft {
        key: ThreadKey {
            document: "contract-2026-000123".to_owned(),
            thread: "ticket-42".to_owned(),
        },
        signed_over: None,
        body: SignatureBody::from_text(SIGNATURE.trim().to_owned()),
        stage: Some("approval".to_owned()),
        created_by: Some("tester".to_owned()),
        comment: Some("Signed at the counter, in the presence of both parties".to_owned()),
        tags: vec!["one".to_owned(), "two".to_owned()],
    }
}

fn circumstances() -> Circumstances {
    Circumstances {
        tenant: "bench".to_owned(),
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
        subject: Some("tester".to_owned()),
        scopes: vec!["signatures:read".to_owned()],
        now_ms: 1_790_000_000_000,
    }
}

/// A chain of one hook, the typed guest, with all limits at their defaults.
fn chain(settings: &str) -> Chain {
    let config = HooksConfig::default();
    let engine = Arc::new(Engine::new(&config).expect("an engine"));
    let guest = Guest {
        plugin: engine.admit(TYPED).expect("a plugin"),
        settings: settings.into(),
    };
    let hook = Bound::unbound("typed", guest, config.default_limits());
    Chain::new(engine, vec![hook])
}

fn tag_typed(chain: &Chain, draft: &Draft) -> Vec<String> {
    let judged = chain.judge_save(&circumstances(), draft, 1, None, &VerdictSource::default());
    assert!(judged.refusal().is_none(), "tags");
    judged.tags
}

fn compile(settings: &str) -> CompiledPlugin {
    let pages = u32::try_from(HooksConfig::default().max_memory_bytes / 65536).expect("few pages");
    let manifest = Manifest::new([Wasm::data(JSON)])
        .with_timeout(Duration::from_millis(TIMEOUT_MS.into()))
        .with_memory_max(pages)
        .with_config_key("settings", settings);
    PluginBuilder::new(manifest)
        .with_cache_disabled()
        .compile()
        .expect("a plugin")
}

/// The contract's records as one JSON object, including the signature if it is pushed.
#[derive(Serialize)]
struct Input {
    tenant: String,
    request_id: String,
    subject: Option<String>,
    scopes: Vec<String>,
    now_ms: u64,
    document: String,
    thread: String,
    version: u32,
    stage: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    tags: Vec<String>,
    size: u64,
    sha256: String,
    format: String,
    signature: Option<String>,
}

impl Input {
    fn of(draft: &Draft, whole: bool) -> Self {
        let circumstances = circumstances();
        Self {
            tenant: circumstances.tenant,
            request_id: circumstances.request_id,
            subject: circumstances.subject,
            scopes: circumstances.scopes,
            now_ms: circumstances.now_ms,
            document: draft.key.document.clone(),
            thread: draft.key.thread.clone(),
            version: 1,
            stage: draft.stage.clone(),
            created_by: draft.created_by.clone(),
            comment: draft.comment.clone(),
            tags: draft.tags.clone(),
            size: draft.body.bytes.len() as u64,
            sha256: to_hex(&draft.body.sha256),
            format: "cms".to_owned(),
            signature: whole.then(|| SIGNATURE.trim().to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct Changes {
    set: Vec<String>,
}

/// Includes the time to write the input and read the answer, as for the typed guest.
fn tag_json(plugin: &mut ExtismPlugin, input: &Input) -> Vec<String> {
    let input = serde_json::to_string(input).expect("JSON");
    let answer: &str = plugin.call("tag", input).expect("an answer");
    serde_json::from_str::<Changes>(answer)
        .expect("changes")
        .set
}

/// The result of one round: times in microseconds, and calls per second over all threads.
#[derive(Clone, Copy)]
struct Round {
    p50: f64,
    p99: f64,
    rate: f64,
}

impl Round {
    fn median(rounds: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut figures: Vec<_> = rounds.iter().map(of).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            p50: median(|round| round.p50),
            p99: median(|round| round.p99),
            rate: median(|round| round.rate),
        }
    }
}

/// Calls on some threads at once. Each thread prepares its own call.
fn measure<F: FnMut()>(threads: usize, time: Duration, prepare: impl Fn() -> F + Sync) -> Round {
    let mut took: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut call = prepare();
                    let mut took = Vec::with_capacity(1 << 20);
                    // Does not count a thread's first calls, which find cold caches.
                    for _ in 0..100 {
                        call();
                    }
                    let end = Instant::now() + time;
                    loop {
                        let before = Instant::now();
                        if before >= end {
                            return took;
                        }
                        call();
                        took.push(before.elapsed().as_secs_f64() * 1e6);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("calls"))
            .collect()
    });
    let rate = took.len() as f64 / time.as_secs_f64();
    took.sort_by(f64::total_cmp);
    Round {
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
        rate,
    }
}

/// The versions of both wasmtimes. The newer one is Sigpersist's, which pins a long-term-support line.
fn wasmtime_versions() -> [String; 2] {
    let mut versions = versions("wasmtime");
    versions.sort_by_key(|version| {
        version
            .split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect::<Vec<u32>>()
    });
    let [theirs, ours] = versions.try_into().expect("two wasmtimes");
    [ours, theirs]
}

fn version_of(name: &str) -> String {
    versions(name).remove(0)
}

/// The versions of a crate in this program's lock file.
fn versions(name: &str) -> Vec<String> {
    let entry = format!("name = \"{name}\"\nversion = \"");
    LOCK.split(&entry)
        .skip(1)
        .filter_map(|rest| rest.split('"').next().map(str::to_owned))
        .collect()
}
