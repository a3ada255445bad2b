#!/usr/bin/env bash
# Format, lints with warnings denied, unused dependencies, dependencies we do not want, openapi.yaml.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

echo "lint: format"
cargo fmt --all --check

echo "lint: clippy, for this machine and for the Worker"
cargo clippy --quiet --workspace --all-targets -- -D warnings
cargo clippy --quiet -p edge-worker --lib --target wasm32-unknown-unknown -- -D warnings

echo "lint: unused dependencies"
if ! MACHETE="$(tool cargo-machete "$MACHETE_VERSION")"; then
  echo "lint: installing cargo-machete $MACHETE_VERSION (1 minute; done once)"
  # A debug build compiles in a third of the time, and has little to do here.
  cargo install --quiet --locked --debug --config profile.dev.debug=false \
    --root "$TOOLS_DIR/cargo-machete-$MACHETE_VERSION" cargo-machete@"$MACHETE_VERSION"
  MACHETE="$(tool cargo-machete "$MACHETE_VERSION")"
fi
"$MACHETE" --skip-target-dir .

# TLS is rustls on ring. aws-lc gets in through default features, and costs a C build.
if cargo tree --workspace --target all -i aws-lc-sys 2>/dev/null | grep .; then
  echo "lint: aws-lc-sys is in the tree" >&2
  exit 1
fi

echo "lint: openapi.yaml"
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true redocly lint --format=stylish openapi.yaml

if command -v shellcheck >/dev/null; then
  echo "lint: shell scripts"
  shellcheck -x -P SCRIPTDIR scripts/*.sh .ci/run
fi
echo "lint: clean"
