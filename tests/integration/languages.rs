//! A Postgres whose messages are not in English: failures are told apart by their SQLSTATE.

use diesel::connection::SimpleConnection as _;

use crate::support::{Cluster, Program, eventually, tenant_token};

/// Does nothing on a machine without the means to make a Russian locale, or without the translations of Postgres.
#[test]
fn failures_of_a_postgres_that_speaks_russian_are_no_faults_of_the_server() {
    let Some(cluster) = Cluster::in_russian() else {
        return;
    };
    cluster.run(&["migrate"]);
    let token = tenant_token(|arguments| cluster.run(arguments));
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--no-migrate"];
    let mut command = cluster.command(&cluster.url(), &arguments);
    command
        .env("SIGPERSIST_DATABASE_STATEMENT_TIMEOUT_MS", "500")
        .stderr(std::process::Stdio::null());
    let server = Program::start(command);
    let acme = server.client(&token);
    acme.save("d", "t", 0, "x").expect(201);
    // A statement that takes too long.
    let mut other = cluster.connect();
    other
        .batch_execute("BEGIN; SELECT FROM signatures FOR UPDATE")
        .unwrap();
    acme.save("d", "t", 1, "y")
        .expect_error(503, "database_unavailable");
    other.batch_execute("ROLLBACK").unwrap();
    acme.save("d", "t", 1, "y").expect(201);
    // Sessions that an administrator ends.
    for _ in 0..5 {
        cluster.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sigpersist'",
        );
        let status = acme.read("d", "t").status;
        assert!([200, 503].contains(&status), "{status}");
    }
    eventually(|| acme.read("d", "t").status == 200);
}
