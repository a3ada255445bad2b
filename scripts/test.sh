#!/usr/bin/env bash
# Every test: the rules natively, then end to end against real workerd and the real origin.
# The Worker and the origin are built once, before; the tests start them as they are.
# Arguments go to `cargo test`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

scripts/build-edge.sh
# All at once, the origin's program too: built alone, its dependencies would come out with
# other features, and be compiled twice.
cargo build --workspace --all-targets
cargo test --workspace "$@"
