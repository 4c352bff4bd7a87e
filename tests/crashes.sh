#!/usr/bin/env bash
# Kills servers and their database in mid-load, as often as the first argument says (50), and prints what came of it.
# It takes some minutes for fifty.
set -euo pipefail
cd "$(dirname "$0")/.."
export SIGPERSIST_TEST_ROUNDS="${1:-50}"
cargo test --locked --test integration crashes:: -- --nocapture --test-threads 1
