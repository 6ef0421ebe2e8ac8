#!/bin/sh
# Runs all tests: with cargo-nextest where it is installed, which runs the test
# files side by side, and with cargo's own runner where it is not.
set -eu
if cargo nextest --version >/dev/null 2>&1; then
	cargo nextest run --locked --no-fail-fast
	cargo test --locked --doc --quiet
else
	# One at a time: some look at the memory of the whole process.
	RUST_TEST_THREADS=1 cargo test --locked --no-fail-fast
fi
