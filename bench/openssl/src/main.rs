//! Reading and verifying a CMS, compared with OpenSSL's verification, in one process: `make bench`, or
//! `cargo run --release --locked` here.
//!
//! Both take the DER of a CMS of 12 KB that one person signed with RSA, parse it each time, and report whether it is
//! intact (`openssl cms -verify -noverify`). Then both verify a smaller one with its chain, up to a trusted
//! certificate.
//!
//! Finally, an XAdES is compared with `xmlsec1`, if that is installed.
//!
//! The contestants alternate, and each figure is the median of its rounds, on one thread. `SECONDS` and `ROUNDS` in the
//! environment make it longer; `STRICT=1` makes a missed target an error.

mod xml;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use sigpersist_verify::pki::{Anchors, Indication};
use sigpersist_verify::{Judging, cms};

const LARGE: &str = include_str!("../../../tests/data/large.cms.b64");
const CHAINED: &str = include_str!("../../../tests/data/verify/chained.cms.b64");
const CA: &str = include_str!("../../../tests/data/verify/ca.crt.b64");
/// The last day of 2026, in milliseconds since 1970; used only for signatures that claim no time.
const NOW_MS: i64 = 1_798_761_600_000;

fn main() {
    let setting = |name: &str, default: f64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let rounds = setting("ROUNDS", 7.0) as usize;
    let time = Duration::from_secs_f64(setting("SECONDS", 0.5));
    let (large, chained, ca) = (der(LARGE), der(CHAINED), der(CA));
    let anchors = Anchors::new([ca.clone()]);
    let store = store(&ca);

    let inspect = || assert_eq!(cms::inspect(&large).expect("readable").signers.len(), 1);
    let verify = || {
        let verdicts =
            cms::verify(&large, &Judging::new(&Anchors::default(), NOW_MS)).expect("readable");
        assert_eq!(verdicts[0].intact, Some(true));
    };
    let openssl_verify = || {
        let flags = CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
        let mut cms = CmsContentInfo::from_der(&large).expect("readable");
        cms.verify(None, None, None, None, flags).expect("intact");
    };
    let verify_chain = || {
        let verdicts = cms::verify(&chained, &Judging::new(&anchors, NOW_MS)).expect("readable");
        assert_eq!(verdicts[0].indication, Indication::TotalPassed);
    };
    let openssl_verify_chain = || {
        let mut cms = CmsContentInfo::from_der(&chained).expect("readable");
        cms.verify(None, Some(&store), None, None, CMSOptions::BINARY)
            .expect("passed");
    };
    let contestants: [(&str, &dyn Fn()); 5] = [
        ("inspect", &inspect),
        ("verify", &verify),
        ("OpenSSL verifies", &openssl_verify),
        ("verify with its chain", &verify_chain),
        ("OpenSSL verifies with its chain", &openssl_verify_chain),
    ];
    let mut figures = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        for ((_, run), figures) in contestants.iter().zip(&mut figures) {
            figures.push(per_second(run, time));
        }
    }
    let medians = figures.map(median);
    println!("{}; one thread", openssl::version::version());
    for ((name, _), median) in contestants.iter().zip(medians) {
        println!("{name:32} {median:>9.0} a second {:>8.1} µs", 1e6 / median);
    }
    let [inspect, verify, openssl, chain, openssl_chain] = medians;
    let mut missed = false;
    for (what, ratio, target) in [
        ("inspect / OpenSSL verifies", inspect / openssl, 8.0),
        ("verify / OpenSSL verifies", verify / openssl, 4.0),
        (
            "verify / OpenSSL verifies, with their chains",
            chain / openssl_chain,
            3.0,
        ),
    ] {
        let met = ratio >= target;
        missed |= !met;
        println!(
            "{what:44} {ratio:6.2} (target {target}){}",
            if met { "" } else { " MISSED" }
        );
    }
    xml::beside_xmlsec(rounds, time, NOW_MS);
    if missed && std::env::var_os("STRICT").is_some() {
        std::process::exit(1);
    }
}

fn der(base64: &str) -> Vec<u8> {
    STANDARD
        .decode(base64.replace(char::is_whitespace, ""))
        .expect("base64")
}

fn store(ca: &[u8]) -> X509Store {
    let mut builder = X509StoreBuilder::new().expect("a store");
    builder
        .add_cert(X509::from_der(ca).expect("a certificate"))
        .expect("room for it");
    builder.build()
}

fn per_second(run: &dyn Fn(), time: Duration) -> f64 {
    let began = Instant::now();
    let mut runs = 0_u32;
    while began.elapsed() < time {
        for _ in 0..10 {
            run();
        }
        runs += 10;
    }
    f64::from(runs) / began.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
