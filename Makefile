.PHONY: run test abuse faults contract e2e fuzz bench ci fmt clippy doc lint-infra openapi

# How tests are run; `make ci` runs them once, under coverage where that can be measured.
CARGO_TEST ?= cargo test --locked --workspace

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

ci: fmt clippy doc lint-infra test contract e2e

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
