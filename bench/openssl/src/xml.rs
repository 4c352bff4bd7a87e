//! Reading and verifying an XAdES, compared with `xmlsec1`, which signs it first: 12 KB with RSA, enveloped.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::KeyUsage;
use openssl::x509::{X509, X509NameBuilder};
use sigpersist_verify::pki::Anchors;
use sigpersist_verify::{Body, Judging, report};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
/// Bytes of signed content.
const CONTENT_BYTES: usize = 12 * 1024;
/// Number of verifications in one `xmlsec1` process, so that its start does not count.
const REPEATED: u32 = 2_000;

/// Prints both times and our speed relative to `xmlsec1`; prints only a hint if `xmlsec1` is missing.
pub fn beside_xmlsec(rounds: usize, time: Duration, now_ms: i64) {
    let version = Command::new("xmlsec1").arg("--version").output();
    let Ok(version) = version else {
        println!("xmlsec1 is not installed. Install it to compare XML.");
        return;
    };
    let folder = std::env::temp_dir().join(format!("sigpersist-xmlsec-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let certificate = sign(&folder);
    let signed = std::fs::read(folder.join("signed.xml")).expect("a signature");
    let anchors = Anchors::new([certificate]);
    let judging = Judging::new(&anchors, now_ms);
    let ours = || {
        let told = report(&Body::from_file(&signed), Some(&judging));
        assert!(told.passes(), "{told:?}");
    };
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        figures[0].push(crate::per_second(&ours, time));
        let [once, often] = [1, 1 + REPEATED].map(|times| xmlsec(&folder, times));
        figures[1].push(f64::from(REPEATED) / (often - once).as_secs_f64());
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let [ours, theirs] = figures.map(crate::median);
    println!("{}", String::from_utf8_lossy(&version.stdout).trim());
    for (name, figure) in [("report of XAdES", ours), ("xmlsec1 verifies it", theirs)] {
        println!("{name:32} {figure:>9.0} a second {:>8.1} µs", 1e6 / figure);
    }
    println!("{:44} {:6.2}", "report of XAdES / xmlsec1", ours / theirs);
}

/// Signs content with a new key. Returns its certificate in DER.
fn sign(folder: &Path) -> Vec<u8> {
    let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "Signer").expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("a certificate");
    builder.set_version(2).expect("a version");
    let serial = BigNum::from_u32(1).and_then(|one| one.to_asn1_integer());
    builder
        .set_serial_number(&serial.expect("a number"))
        .expect("a number");
    builder.set_subject_name(&name).expect("a name");
    builder.set_issuer_name(&name).expect("a name");
    builder.set_pubkey(&key).expect("a key");
    let [from, to] = ["20200101000000Z", "20990101000000Z"].map(Asn1Time::from_str);
    builder
        .set_not_before(&from.expect("a time"))
        .expect("a time");
    builder.set_not_after(&to.expect("a time")).expect("a time");
    let usage = KeyUsage::new().digital_signature().build();
    builder
        .append_extension(usage.expect("a usage"))
        .expect("a usage");
    builder.sign(&key, MessageDigest::sha256()).expect("signed");
    let certificate = builder.build();
    let der = certificate.to_der().expect("a certificate");

    let private = key.private_key_to_pem_pkcs8().expect("a key");
    std::fs::write(folder.join("key.pem"), private).expect("a file");
    let pem = certificate.to_pem().expect("a certificate");
    std::fs::write(folder.join("certificate.pem"), pem).expect("a file");
    std::fs::write(folder.join("template.xml"), template(&der)).expect("a file");
    let mut command = with_ids(folder, "--sign");
    command
        .args(["--privkey-pem", "key.pem,certificate.pem"])
        .args(["--output", "signed.xml", "template.xml"]);
    let status = command.status().expect("xmlsec1 runs");
    assert!(status.success(), "xmlsec1 signs");
    der
}

/// An enveloped XAdES before it is signed.
fn template(certificate: &[u8]) -> String {
    let mut content = String::new();
    let mut line = 0;
    while content.len() < CONTENT_BYTES {
        line += 1;
        writeln!(
            content,
            "<line number=\"{line}\" unit=\"kg\">apples &amp; pears</line>"
        )
        .expect("text");
    }
    let digest = openssl::hash::hash(MessageDigest::sha256(), certificate).expect("a digest");
    let digest = STANDARD.encode(digest);
    let method = format!("<ds:DigestMethod Algorithm=\"{SHA256}\"/>");
    let reference = |attributes: &str, transforms: &str| {
        format!(
            "<ds:Reference {attributes}><ds:Transforms>{transforms}<ds:Transform Algorithm=\"{EXCLUSIVE}\"/>\
             </ds:Transforms>{method}<ds:DigestValue/></ds:Reference>"
        )
    };
    let enveloped = format!("<ds:Transform Algorithm=\"{DSIG}enveloped-signature\"/>");
    let properties = "URI=\"#properties\" Type=\"http://uri.etsi.org/01903#SignedProperties\"";
    format!(
        "<order>{content}<ds:Signature xmlns:ds=\"{DSIG}\" Id=\"signature\"><ds:SignedInfo>\
         <ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"/>\
         <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"/>{}{}\
         </ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data/></ds:KeyInfo><ds:Object>\
         <x:QualifyingProperties xmlns:x=\"{XADES}\" Target=\"#signature\"><x:SignedProperties Id=\"properties\">\
         <x:SignedSignatureProperties><x:SigningTime>2026-06-01T12:00:00Z</x:SigningTime>\
         <x:SigningCertificateV2><x:Cert><x:CertDigest>{method}<ds:DigestValue>{digest}</ds:DigestValue>\
         </x:CertDigest></x:Cert></x:SigningCertificateV2></x:SignedSignatureProperties></x:SignedProperties>\
         </x:QualifyingProperties></ds:Object></ds:Signature></order>",
        reference("URI=\"\"", &enveloped),
        reference(properties, ""),
    )
}

/// Time to verify it this many times in one process.
fn xmlsec(folder: &Path, times: u32) -> Duration {
    let mut command = with_ids(folder, "--verify");
    command
        .args(["--trusted-pem", "certificate.pem"])
        .args(["--repeat", &times.to_string(), "signed.xml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status().expect("xmlsec1 runs");
    assert!(status.success(), "xmlsec1 verifies");
    began.elapsed()
}

fn with_ids(folder: &Path, what: &str) -> Command {
    let mut command = Command::new("xmlsec1");
    let id = format!("{XADES}:SignedProperties");
    command
        .current_dir(folder)
        .args([what, "--id-attr:Id", &id]);
    command
}
