//! A primary database that dies under load or hands over to its standby: servers recover by themselves, and no
//! acknowledged save is lost. `tests/crashes.sh` runs more rounds.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    Balancer, Client, Cluster, Program, check_log, eventually_within, rounds, tenant_token,
};

/// Limit for the servers to save again after a standby was promoted. They usually need a fraction of it.
const RECOVERY: Duration = Duration::from_secs(5);

/// Two servers, one of whose URLs asks for the primary explicitly.
fn serve(cluster: &Cluster) -> Vec<Program> {
    let told = format!("{}?target_session_attrs=read-write", cluster.url());
    [told, cluster.url()]
        .iter()
        .map(|url| {
            let arguments = ["serve", "--listen", "127.0.0.1:0", "--no-migrate"];
            let mut command = cluster.command(url, &arguments);
            command.stderr(std::process::Stdio::null());
            Program::start(command)
        })
        .collect()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_primary_dies_and_its_standby_takes_over() {
    let mut cluster = Cluster::start();
    cluster.run(&["migrate"]);
    let token = tenant_token(|arguments| cluster.run(arguments));
    let servers = serve(&cluster);
    let balancer = Balancer::new(&servers, &token);
    let rounds = rounds(1).min(10);
    let (mut threads, mut longest) = (Vec::new(), Duration::ZERO);
    for round in 0..rounds {
        if round > 0 {
            cluster.replace_lost_primary();
        }
        let name = format!("failover-{round}");
        let (saved, recovery) = balancer.load(&name, || {
            // The primary is killed, or stops at once without a shutdown checkpoint.
            let signals = [Signal::SIGKILL, Signal::SIGQUIT];
            cluster.fail_over(signals[usize::try_from(round).unwrap() % 2]);
            balancer.recovery(&name)
        });
        threads.extend(saved);
        longest = longest.max(recovery);
    }
    for thread in &threads {
        balancer.check(thread, 3);
    }
    check_log(|arguments| cluster.run(arguments));
    let statuses = balancer.check_statuses();
    println!(
        "{rounds} times the primary killed: {} saves acknowledged, all there, none doubled; answers: {statuses}; both \
         servers save again {longest:?} after the promotion",
        threads.len() * 3
    );
    assert!(longest < RECOVERY, "{longest:?}");
    // Notifications of changes come from the new primary.
    let suspended = Instant::now();
    cluster.run(&["tenant", "suspend", "acme"]);
    for server in &servers {
        let client = server.client(&token);
        eventually_within(RECOVERY, || client.read("d", &threads[0]).status == 403);
    }
    println!("a change is heard of {:?} later", suspended.elapsed());
}

#[test]
fn servers_follow_a_switchover_and_leave_the_standby_alone() {
    let mut cluster = Cluster::start();
    cluster.run(&["migrate"]);
    let token = tenant_token(|arguments| cluster.run(arguments));
    // A server refuses to work with a standby alone, and explains why.
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
        let output = cluster.command(&cluster.standby_url(), arguments).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains("The database takes no writes"), "{text}");
    }
    let servers = serve(&cluster);
    let balancer = Balancer::new(&servers, &token);
    let mut threads = Vec::new();
    // A switchover, and one back.
    for round in 0..2 {
        let name = format!("switchover-{round}");
        let (saved, recovery) = balancer.load(&name, || {
            cluster.switch_over();
            balancer.recovery(&name)
        });
        println!("both servers save again {recovery:?} after a switchover");
        assert!(recovery < RECOVERY, "{recovery:?}");
        threads.extend(saved);
    }
    // A primary that becomes read-only while all connections stay open.
    let (saved, ()) = balancer.load("read-only", || {
        let readiness = |status: u16| {
            for server in &servers {
                let anybody = Client::new(&server.base, None);
                eventually_within(RECOVERY, || anybody.get("/health/ready").status == status);
            }
        };
        readiness(200);
        cluster.execute("ALTER SYSTEM SET default_transaction_read_only = on");
        cluster.execute("SELECT pg_reload_conf()");
        readiness(503);
        cluster.execute("ALTER SYSTEM RESET default_transaction_read_only");
        cluster.execute("SELECT pg_reload_conf()");
        readiness(200);
    });
    threads.extend(saved);
    for thread in &threads {
        balancer.check(thread, 3);
    }
    println!(
        "answers: {}; {} saves acknowledged, all there",
        balancer.check_statuses(),
        threads.len() * 3
    );
}
