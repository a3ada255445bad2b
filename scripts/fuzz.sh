#!/usr/bin/env bash
# Gives every reader of foreign bytes many arbitrary and damaged inputs, for so many seconds:
# scripts/fuzz.sh [SECONDS]. Each round draws new ones; what fails is printed with the input that does it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

export PROPTEST_CASES="${PROPTEST_CASES:-20000}"
cargo test --quiet -p headstart-protocol --test foreign_bytes --no-run
end=$((SECONDS + ${1:-60}))
while ((SECONDS < end)); do cargo test --quiet -p headstart-protocol --test foreign_bytes; done
