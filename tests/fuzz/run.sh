#!/usr/bin/env bash
# Fuzzes each reader of signatures for some seconds, with the signatures in tests/data as seeds. Needs cargo-fuzz
# (cargo install cargo-fuzz) and a C++ compiler. With a nightly toolchain, memory can be checked too: set SANITIZER=address and
# RUSTUP_TOOLCHAIN=nightly.
#   usage: tests/fuzz/run.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
sanitizer=${SANITIZER:-none}
data=../data
rm -rf seeds
mkdir -p seeds/cms seeds/xml seeds/certificate
decode() { openssl base64 -d -A; }
for file in "$data"/*.cms.b64 "$data"/verify/*.cms.b64; do
  tr -d '\n' <"$file" | decode >"seeds/cms/$(basename "$file" .b64)"
done
while read -r name base64; do
  printf %s "$base64" | decode >"seeds/cms/$name"
done < <(cat "$data"/verify/algorithms.txt "$data"/verify/evidence.txt)
cp "$data"/verify/*.xml seeds/xml/
for file in "$data"/verify/*.crt.b64; do
  tr -d '\n' <"$file" | decode >"seeds/certificate/$(basename "$file" .b64)"
done
for target in cms xml certificate; do
  mkdir -p "corpus/$target"
  cargo fuzz run --fuzz-dir . --sanitizer "$sanitizer" "$target" "corpus/$target" "seeds/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=200000 -print_final_stats=1
done
