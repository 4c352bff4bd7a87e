//! The rules for versions, compared with a model: step by step, and with many clients at once.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::support::{Client, Response, TestApp};

/// The contents of signatures. There are few, so that some are sent again.
const CONTENTS: [&str; 3] = ["a", "b", "c"];

/// A client's request for a thread.
#[derive(Debug, Clone)]
enum Step {
    Save {
        over: Option<u32>,
        content: &'static str,
    },
    Delete,
    Read(Option<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop::sample::select(&CONTENTS[..]);
    let save = (prop::option::weighted(0.9, 0..5_u32), content);
    prop_oneof![
        8 => save.prop_map(|(over, content)| Step::Save { over, content }),
        1 => Just(Step::Delete),
        2 => prop::option::of(1..5_u32).prop_map(Step::Read),
    ]
}

/// The answer to a step: the status, and the version that is shown or reported as the current one.
type Answer = (u16, Option<u32>);

/// A thread of the model: the contents of its versions.
#[derive(Default)]
struct Thread(Vec<&'static str>);

impl Thread {
    fn current(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }

    fn has(&self, version: u32, content: &str) -> bool {
        self.0.get(version as usize - 1) == Some(&content)
    }

    fn answer(&mut self, step: &Step) -> Answer {
        let current = self.current();
        match *step {
            Step::Save { over, content } => self.save(over, content),
            Step::Delete => {
                self.0.clear();
                (if current == 0 { 404 } else { 200 }, None)
            }
            Step::Read(version) => match version.unwrap_or(current) {
                0 => (404, None),
                version if version > current => (404, None),
                version => (200, Some(version)),
            },
        }
    }

    fn save(&mut self, over: Option<u32>, content: &'static str) -> Answer {
        let current = self.current();
        let named = over.unwrap_or(0);
        let follows = match named {
            0 => current == 0,
            // The reference uses 1 for a first signature too: over the same content it is a retry.
            1 => current == 0 || current == 1 && !self.has(1, content),
            named => named == current,
        };
        if follows {
            self.0.push(content);
            return (201, Some(current + 1));
        }
        // A save with the content of the version that it would have become is a retry.
        let would_be = if named == 1 {
            1..=2
        } else {
            named + 1..=named + 1
        };
        let repeated = would_be
            .into_iter()
            .find(|version| self.has(*version, content));
        match (repeated, over) {
            (Some(version), _) => (200, Some(version)),
            (None, None) => (400, None),
            (None, Some(_)) => (409, Some(current)),
        }
    }
}

fn take(client: &Client, document: &str, step: &Step) -> Response {
    match step {
        Step::Save { over, content } => client.json(
            "POST",
            "/signature",
            &json!({ "document": document, "thread": "t", "version": over, "cms": content }),
        ),
        Step::Delete => {
            let path = format!("/signature?document={document}&thread=t");
            client.send("DELETE", &path, &[], None)
        }
        Step::Read(None) => client.read(document, "t"),
        Step::Read(Some(version)) => client.get(&format!(
            "/signature?document={document}&thread=t&version={version}"
        )),
    }
}

fn answer(response: &Response) -> Answer {
    let shown = &response.json["content"]["signature"]["version"];
    let current = &response.json["details"]["current_version"];
    let version = shown.as_u64().or_else(|| current.as_u64());
    (
        response.status,
        version.map(|version| u32::try_from(version).unwrap()),
    )
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

/// The stored history: contents by version.
fn stored(client: &Client, document: &str) -> BTreeMap<u32, String> {
    let history = client.get(&format!(
        "/signature/versions?document={document}&thread=t&limit=1000"
    ));
    if history.status == 404 {
        return BTreeMap::new();
    }
    let history = history.expect(200);
    let versions = history.versions().iter().map(|version| {
        let number = u32::try_from(version["version"].as_u64().unwrap()).unwrap();
        assert_eq!(
            version["parent"],
            if number == 1 {
                json!(null)
            } else {
                json!(number - 1)
            }
        );
        (number, version["signature"].as_str().unwrap().to_owned())
    });
    versions.collect()
}

#[test]
fn every_sequence_of_steps_is_answered_as_the_model_says() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let mut runner = TestRunner::new(config(60));
    let number = std::cell::Cell::new(0);
    let steps = vec(step(), 1..25);
    let checked = runner.run(&steps, |steps| {
        // Each case uses a thread of its own.
        number.set(number.get() + 1);
        let document = format!("d{}", number.get());
        let mut model = Thread::default();
        for (place, step) in steps.iter().enumerate() {
            let response = take(&acme, &document, step);
            prop_assert_eq!(
                answer(&response),
                model.answer(step),
                "step {}: {}",
                place,
                response.text
            );
        }
        let contents = model.0.iter().map(ToString::to_string);
        let expected: BTreeMap<_, _> = (1..).zip(contents).collect();
        prop_assert_eq!(stored(&acme, &document), expected);
        Ok(())
    });
    checked.unwrap();
}

/// However the requests of many clients interleave, there is one history without a gap, and every answer agrees with
/// it.
#[test]
fn any_interleaving_of_clients_yields_one_history() {
    const CLIENTS: usize = 6;
    let app = TestApp::start();
    let replica = app.replica();
    let acme = app.tenant("acme");
    let other = replica.client("acme", &sigpersist_model::context::Scope::APPLICATION);
    let mut runner = TestRunner::new(config(25));
    let number = std::cell::Cell::new(0);
    let over = prop::option::weighted(0.95, 0..8_u32);
    let save = (over, prop::sample::select(&CONTENTS[..]));
    let scripts = vec(vec(save, 4..14), CLIENTS);
    let checked = runner.run(&scripts, |scripts| {
        number.set(number.get() + 1);
        let document = format!("d{}", number.get());
        let answers: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = scripts
                .iter()
                .enumerate()
                .map(|(place, script)| {
                    let client = if place % 2 == 0 {
                        acme.clone()
                    } else {
                        other.clone()
                    };
                    let document = &document;
                    scope.spawn(move || {
                        let saves = script.iter().map(|(over, content)| {
                            let step = Step::Save {
                                over: *over,
                                content,
                            };
                            (*over, *content, answer(&take(&client, document, &step)))
                        });
                        saves.collect::<Vec<_>>()
                    })
                })
                .collect();
            clients
                .into_iter()
                .flat_map(|client| client.join().unwrap())
                .collect()
        });
        let history = stored(&acme, &document);
        let last = history.keys().last().copied().unwrap_or(0);
        prop_assert_eq!(history.len(), last as usize, "a gap: {:?}", history);
        let mut made = Vec::new();
        for (over, content, (status, version)) in answers {
            let named = over.unwrap_or(0);
            match (status, version) {
                (201, Some(version)) => {
                    prop_assert_eq!(&history[&version], content);
                    prop_assert!(version == named + 1 || (named, version) == (1, 1));
                    made.push(version);
                }
                (200, Some(version)) => prop_assert_eq!(&history[&version], content),
                // The current version may have changed before the answer names it.
                (409, Some(current)) => prop_assert!(current <= last),
                (400, None) => prop_assert!(over.is_none()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        made.sort_unstable();
        prop_assert_eq!(made, history.into_keys().collect::<Vec<_>>());
        Ok(())
    });
    checked.unwrap();
}
