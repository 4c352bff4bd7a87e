#!/usr/bin/env bash
# Kills servers in mid-load, as often as the first argument says (50), their database (at most 20 times) and a primary that
# has a standby (at most 10 times); has the network, disk and clocks under them fail as often (at most 20 times where that
# takes long); and prints what came of it.
set -euo pipefail
cd "$(dirname "$0")/.."
export SIGPERSIST_TEST_ROUNDS="${1:-50}"
cargo test --locked --test integration -- crashes:: failover:: faults:: --nocapture --test-threads 1
