# The two commands: `make demo` shows Sigpersist at work, `make test` tests it. Both need Rust and a C compiler.
.PHONY: help demo test dist conformance bench bench-lists bench-peers prerequisites

# Homebrew keeps Postgres out of PATH, where the build looks for pg_config.
export PATH := $(PATH):$(subst $(eval ) ,:,$(wildcard /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin))

# The tests run their own databases, so settings for others must not reach them.
unexport PGSERVICE PGSERVICEFILE PGOPTIONS PGCLIENTENCODING PGDATESTYLE PGTZ

help:
	@echo "make demo   build, and show all features on an embedded database"
	@echo "make test   run all tests"
	@echo "make dist   make in dist/ what a release holds: a tarball, a Debian package, a list of its parts, checksums; needs Debian or Ubuntu"
	@echo "make conformance  check the verifier against public suites: NIST's PKITS, Project Wycheproof, samples of XMLDSig; needs Python and its registry"
	@echo "make bench  compare saves and reads with pgbench, signatures with OpenSSL and calls of hooks with Extism; measure the cost of each feature, logs and proofs, clients that wait, webhooks, ten times the sustainable load, isolation of tenants, starts with many plugins, tokens, exports and imports"
	@echo "make bench-peers  compare saves and reads with FastAPI and Express; needs Python, Node and their registries"
	@echo "make bench-lists  measure lists of a tenant with ten million threads; takes a quarter of an hour and 15 GB"

# Not optimised, since that takes more than twice as long to build, and the demo waits for nothing that is slow.
demo: prerequisites
	cargo build --workspace --locked
	target/debug/sigpersist demo

test: prerequisites
	cargo test --workspace --locked

dist: prerequisites
	scripts/dist.sh

conformance:
	tests/conformance/run.sh

bench: prerequisites
	cargo bench --locked --bench speed
	cargo bench --locked --bench saves
	cargo bench --locked --bench row_security
	cargo bench --locked --bench costs
	cargo bench --locked --bench evidence
	cargo bench --locked --bench overload
	cargo bench --locked --bench isolation
	cargo bench --locked --bench start
	cargo bench --locked --bench tokens
	cargo bench --locked --bench transfer
	cargo run --release --locked --manifest-path bench/openssl/Cargo.toml
	cargo run --release --locked --manifest-path bench/extism/Cargo.toml

bench-peers: prerequisites
	cargo bench --locked --bench peers

bench-lists: prerequisites
	cargo bench --locked --bench lists

prerequisites:
	@scripts/prerequisites.sh
