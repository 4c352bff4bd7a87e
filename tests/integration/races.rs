//! Writers that race: exactly one wins each round, and nothing is lost.

use std::sync::Barrier;

use serde_json::json;

use crate::support::TestApp;

const WRITERS: usize = 32;
const ROUNDS: u32 = 10;

#[test]
fn of_writers_racing_on_one_thread_one_wins_each_round() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let barrier = Barrier::new(WRITERS);
    let statuses: Vec<Vec<u16>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (acme, barrier) = (acme.clone(), &barrier);
                scope.spawn(move || {
                    (0..ROUNDS)
                        .map(|round| {
                            barrier.wait();
                            acme.save("d", "t", round, &format!("writer {writer} round {round}"))
                                .status
                        })
                        .collect()
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    for round in 0..ROUNDS as usize {
        let in_round: Vec<_> = statuses.iter().map(|writer| writer[round]).collect();
        assert_eq!(
            in_round.iter().filter(|status| **status == 201).count(),
            1,
            "{in_round:?}"
        );
        assert!(
            in_round.iter().all(|status| [201, 409].contains(status)),
            "{in_round:?}"
        );
    }
    let history = acme
        .get("/signature/versions?document=d&thread=t&limit=1000")
        .expect(200);
    let versions: Vec<_> = history
        .versions()
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (1..=u64::from(ROUNDS)).rev().collect::<Vec<_>>());
    for version in history.versions() {
        let round = version["version"].as_u64().unwrap() - 1;
        let text = version["signature"].as_str().unwrap();
        assert!(
            text.ends_with(&format!(" round {round}")),
            "{text} is version {}",
            round + 1
        );
    }
}

#[test]
fn of_writers_racing_to_create_a_thread_one_wins_whatever_they_call_it() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for round in 0..10 {
        let barrier = Barrier::new(WRITERS);
        let created = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (acme, barrier) = (acme.clone(), &barrier);
                    scope.spawn(move || {
                        let mut body = json!({"document": round.to_string(), "thread": "t", "cms": format!("{writer}")});
                        if writer % 2 == 0 {
                            body["version"] = json!(0);
                        }
                        barrier.wait();
                        acme.post(&body).status
                    })
                })
                .collect();
            let statuses: Vec<_> = writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect();
            assert!(
                statuses
                    .iter()
                    .all(|status| [201, 409, 400].contains(status)),
                "{statuses:?}"
            );
            statuses.iter().filter(|status| **status == 201).count()
        });
        assert_eq!(created, 1);
    }
}

#[test]
fn the_same_request_sent_many_times_at_once_is_saved_once() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "first").expect(201);
    let barrier = Barrier::new(WRITERS);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (acme, barrier) = (acme.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    acme.save("d", "t", 1, "second").status
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 201].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 2);
}
