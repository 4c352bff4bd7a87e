#!/usr/bin/env bash
# Kills servers in mid-load, as often as the first argument says (50), their database (at most 20 times) and a primary that
# has a standby (at most 10 times), and prints what came of it. Fifty take about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export SIGPERSIST_TEST_ROUNDS="${1:-50}"
cargo test --locked --test integration -- crashes:: failover:: --nocapture --test-threads 1
