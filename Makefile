# The two commands of the README. Everything else is cargo.
.PHONY: run test long bench lint

# Installs what the build needs, builds, and serves the embedded world map.
run:
	etc/install-build
	cargo run --release

# Installs what the tests need and runs all of them.
test:
	tests/install
	tests/run

# The second tier: soaks, thousands of reloads, long fuzzing. Takes hours.
long:
	tests/install
	tests/run --long

# Compares with MapProxy, MapCache and nginx; writes bench/RESULTS.md.
bench:
	tests/install
	bench/run

lint:
	cargo fmt --check
	cargo clippy --all-targets --features peers -- -D warnings
