.PHONY: run test faults ci fmt clippy doc openapi

# How tests are run; `make ci` runs them once, under coverage where that can be measured.
CARGO_TEST ?= cargo test --locked

run:
	cargo run --locked

test:
	scripts/with-postgres $(CARGO_TEST)

# The long form of what `make test` does in a minute: faults while terminals post.
faults:
	scripts/faults

ci: fmt clippy doc test

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

# Writes the OpenAPI document that a test compares with the code.
openapi:
	cargo run --locked --quiet -- openapi > docs/openapi.json
