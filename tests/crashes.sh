#!/usr/bin/env bash
# Runs the tests of crashes and faults in many rounds (50, or the first argument) and prints the results: kills servers under
# load, their database (at most 20 times) and a primary with a standby (at most 10 times), and lets the network, disk and
# clocks fail (at most 20 times if that takes long).
set -euo pipefail
cd "$(dirname "$0")/.."
export SIGPERSIST_TEST_ROUNDS="${1:-50}"
cargo test --locked --test integration -- crashes:: failover:: faults:: --nocapture --test-threads 1
