.PHONY: run demo test test-citus test-timescale built abuse faults contract e2e fuzz bench ci fmt clippy doc lint-infra openapi

# The command that runs the tests. .ci/run replaces it with one that measures line coverage.
CARGO_TEST ?= cargo test --locked --workspace --no-fail-fast

# Tests mostly wait for servers and time-outs, so running more of them at once than there are processors halves the time. More
# than a dozen would compete for the database's connections.
processors := $(shell getconf _NPROCESSORS_ONLN)
export RUST_TEST_THREADS ?= $(shell n=$(processors); echo $$((n > 12 ? n : 3 * n < 12 ? 3 * n : 12)))

run:
	cargo run --locked

# The service with three years of invented candles and a live feed, from a folder that is deleted at the end.
demo:
	cargo run --locked -- demo

test:
	scripts/with-programs scripts/with-postgres $(CARGO_TEST)

# The tests that are about Postgres as a store, on tables that Citus distributes or that TimescaleDB keeps.
engine_tests := case_2_postgres delivery::backup delivery::restore
test-citus test-timescale: test-%:
	scripts/with-engine $* scripts/with-programs scripts/with-postgres \
		$(CARGO_TEST) --test suite -- $(engine_tests) engines::$*:: --include-ignored

# The attack tests alone, with floods that need thousands of open files. They run one at a time, because each of them measures.
abuse:
	ulimit -n "$$(ulimit -Hn)" && scripts/with-programs scripts/with-postgres \
		$(CARGO_TEST) abuse:: -- --include-ignored --nocapture --test-threads=1

# The fault suite in its long form: faults while terminals post. `make test` runs a form of it that takes a minute.
faults:
	scripts/faults

# A Python client and requests, generated from the OpenAPI document. `make contract EXAMPLES=1000 SEED=2` sends more requests, and different ones.
contract:
	scripts/with-postgres scripts/contract

# End-to-end tests of the clients: the one for Python, the page in a browser, and a candle's whole path from the Expert Advisor
# to the chart.
e2e:
	scripts/with-terminal scripts/with-postgres scripts/with-node scripts/e2e

# Coverage-guided fuzzing of each target for SECONDS.
SECONDS ?= 60
fuzz:
	scripts/fuzz $(SECONDS)

# The functions and strategies of crates/research beside TA-Lib, pandas-ta-classic and PyneCore. WRITE=1 writes the vectors of its
# tests anew.
oracle:
	scripts/oracle

# Benchmarks of the service beside bare clients that do the same work. Run them on an otherwise idle machine.
bench:
	scripts/bench

# Builds the programs that the checks share, and then runs the tests, which mostly wait, beside the checks without Rust, and after
# them the others. All at once would be so many that tests run into their time-outs on two processors. A check that fails does not
# end the others, so that one run shows all failures.
ci: export CANDLEWICK ?= target/debug/candlewick
ci: export RESEARCH_EXAMPLES ?= target/debug/examples
ci: fmt built
	failed=; \
	for checks in 'test lint-infra' 'contract e2e oracle clippy doc'; do \
		$(MAKE) --jobs --keep-going --output-sync=target $$checks || failed=1; \
	done; \
	[ -z "$$failed" ]

built:
	$(CARGO_TEST) --no-run

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items

# Checks of everything that is not Rust: image, workflows, compose files, scripts, proxies, monitoring, spelling and prose.
lint-infra:
	scripts/lint-infra

# Writes the OpenAPI document that a test compares with the code.
openapi:
	cargo run --locked --quiet -- openapi > docs/openapi.json
