#!/usr/bin/env bash
# Every test: the rules natively, then end to end against real workerd and the real origin.
# The Worker and the origin are built once, before; the tests start them as they are.
# Arguments go to `cargo test`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

# The pages are tested in Chromium.
if ! [ -x "${HEADSTART_CHROMIUM:-/usr/bin/chromium}" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "test: installing chromium" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
  else
    echo "test: the tests of the pages need Chromium: apt-get install chromium, or name one in HEADSTART_CHROMIUM" >&2
  fi
fi

scripts/build-edge.sh
# All at once, the origin's program too: built alone, its dependencies would come out with
# other features, and be compiled twice.
cargo build --workspace --all-targets
# The end-to-end tests mostly wait, so more of them than cores may run at a time; many more would
# start more edges at a time than two cores can.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"
cargo test --workspace "$@"
