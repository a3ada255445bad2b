#!/usr/bin/env bash
# Formats, lints with warnings denied, types, docs, dependencies and layers: a function for each check, the
# quick ones first. Ends with the first that fails.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

rust_format() { cargo fmt --all --check; }

clippy() { cargo clippy --quiet --locked --workspace --all-targets -- -D warnings; }

clippy_of_the_worker() { cargo clippy --quiet --locked -p edge-worker --lib --target wasm32-unknown-unknown -- -D warnings; }

rust_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps; }

unused_dependencies() {
  local machete
  if ! machete="$(tool cargo-machete "$MACHETE_VERSION")"; then
    echo "lint: installing cargo-machete $MACHETE_VERSION (1 minute; done once)"
    # A debug build compiles in a third of the time, and has little to do here.
    cargo install --quiet --locked --debug --config profile.dev.debug=false \
      --root "$TOOLS_DIR/cargo-machete-$MACHETE_VERSION" cargo-machete@"$MACHETE_VERSION"
    machete="$(tool cargo-machete "$MACHETE_VERSION")"
  fi
  "$machete" --skip-target-dir .
}

licences_and_bans() { node scripts/dependencies.mjs; }

# What decides for the edge knows nothing of its platform, so it is tested natively.
pure_rules() {
  local tree
  tree="$(cargo tree --locked -p headstart-edge-rules -e normal --prefix none)"
  if grep -E '^(worker|wasm-bindgen) ' <<<"$tree"; then
    echo "headstart-edge-rules depends on it" >&2
    return 1
  fi
}

circles_between_files() {
  node --test --test-reporter=dot scripts/*.test.mjs
  node scripts/circles.mjs
}

javascript() { biome ci --error-on-warnings; }

# The client is held against the types that it is published with.
types_of_the_client() { tsc --project edge-worker/pages/client; }

openapi() {
  REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true redocly lint --format=stylish openapi.yaml
}

shell_scripts() {
  command -v shellcheck >/dev/null || return 0
  shellcheck -x -P SCRIPTDIR scripts/*.sh .ci/run
}

check() { echo "lint: ${1//_/ }"; "$1"; }

check rust_format
check javascript
check types_of_the_client
check shell_scripts
check openapi
check circles_between_files
check licences_and_bans
check pure_rules
check unused_dependencies
check clippy
check clippy_of_the_worker
check rust_docs
echo "lint: clean"
