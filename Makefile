# The two commands: `make demo` shows Sigpersist at work, `make test` tests it. Both need Rust and a C compiler.
.PHONY: help demo test bench prerequisites

# Homebrew keeps Postgres out of PATH, where the build looks for pg_config.
export PATH := $(PATH):$(subst $(eval ) ,:,$(wildcard /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin))

help:
	@echo "make demo   build, and show everything at work on an embedded database"
	@echo "make test   run all tests"
	@echo "make bench  measure saves per second beside pgbench"

demo: prerequisites
	cargo build --release --locked
	target/release/sigpersist demo

test: prerequisites
	cargo test --locked

bench: prerequisites
	cargo bench --locked --bench saves

prerequisites:
	@scripts/prerequisites.sh
