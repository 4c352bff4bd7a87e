//! Pgbench running the server's own SQL with as little overhead as possible.

#[path = "programs.rs"]
mod programs;

use std::path::Path;
use std::process::Command;

use programs::postgres_program;

/// The rate of transactions of a script in `bench`, over this many connections and with these variables.
pub(crate) fn transactions_per_second(
    data_dir: &Path,
    script: &str,
    variables: &[(&str, &str)],
    connections: usize,
    seconds: u64,
) -> f64 {
    let mut command = Command::new(postgres_program("pgbench"));
    for (name, value) in variables {
        command.arg(format!("--define={name}={value}"));
    }
    let output = command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={connections}"))
        .arg(format!("--time={seconds}"))
        .arg("--file")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("bench")
                .join(script),
        )
        .arg("--host")
        .arg(data_dir.join("run"))
        // Runs under a role that row-level security binds, for one tenant, as the server does.
        .env(
            "PGOPTIONS",
            "-c role=sigpersist_server -c sigpersist.tenant=1",
        )
        .args(["--username=sigpersist", "sigpersist"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .unwrap();
    tps.split(' ').next().unwrap().parse().unwrap()
}

/// The bytes of base64 in the form in which pgbench passes them.
pub(crate) fn bytea(base64: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(base64.trim())
        .unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r"\x{hex}")
}
