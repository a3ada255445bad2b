#!/usr/bin/env bash
# Measures how fast updates get to subscribers and logins to their offers, beside Durable Objects in
# JavaScript and nchan.
# docs/benchmarks.md says what comes out. Arguments go to the program: --quick, --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

scripts/build-edge.sh
cargo build --profile origin -p origin-publisher -p headstart-benchmarks
exec "${CARGO_TARGET_DIR:-$ROOT/target}/origin/headstart-benchmarks" "$@"
