.PHONY: run test built abuse faults contract e2e fuzz bench ci fmt clippy doc lint-infra openapi

# How tests are run; .ci/run has the lines counted that they run.
CARGO_TEST ?= cargo test --locked --workspace

# Tests mostly wait, for servers and time-outs. More of them at once than processors take half the time, and more than a
# dozen would take the connections of the database from each other.
processors := $(shell getconf _NPROCESSORS_ONLN)
export RUST_TEST_THREADS ?= $(shell n=$(processors); echo $$((n > 12 ? n : 3 * n < 12 ? 3 * n : 12)))

run:
	cargo run --locked

test:
	scripts/with-programs scripts/with-postgres $(CARGO_TEST)

# Attacks alone, with floods that need thousands of open files. One test at a time, because each measures.
abuse:
	ulimit -n "$$(ulimit -Hn)" && scripts/with-programs scripts/with-postgres \
		$(CARGO_TEST) abuse:: -- --include-ignored --nocapture --test-threads=1

# The long form of what `make test` does in a minute: faults while terminals post.
faults:
	scripts/faults

# Traffic generated from the OpenAPI document: `make contract EXAMPLES=1000 SEED=2` sends more and others.
contract:
	scripts/with-postgres scripts/contract

# The clients for real: the page in a browser, and the whole way from the Expert Advisor to the chart.
e2e:
	scripts/with-terminal scripts/with-postgres scripts/with-node scripts/e2e

# Coverage-guided fuzzing, so many seconds a target.
SECONDS ?= 60
fuzz:
	scripts/fuzz $(SECONDS)

# The service against the bare limits of the same work, on a machine that does nothing else.
bench:
	scripts/bench

# All checks side by side, after what they share is built: tests wait, and the others find processors idle meanwhile.
ci: export CANDLEWICK ?= target/debug/candlewick
ci: fmt built
	$(MAKE) --jobs --output-sync=target test contract e2e clippy doc lint-infra

built:
	$(CARGO_TEST) --no-run

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items

# Everything that is not Rust: image, workflows, compose files, scripts, proxies, monitoring.
lint-infra:
	scripts/lint-infra

# Writes the OpenAPI document that a test compares with the code.
openapi:
	cargo run --locked --quiet -- openapi > docs/openapi.json
