#!/usr/bin/env bash
# Every test: the rules natively, then end to end against real workerd and the real origin.
# The Worker and the origin are built once, before; the tests start them as they are.
# Arguments go to `cargo test`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

scripts/build-edge.sh
cargo build -p origin-publisher
cargo test --workspace "$@"
