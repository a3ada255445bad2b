#!/usr/bin/env bash
# Measures how fast updates get to subscribers, beside a Durable Object in JavaScript and nchan.
# docs/benchmarks.md says what comes out. Arguments go to the program: --quick, --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

if ! command -v nginx >/dev/null || [ ! -e /usr/lib/nginx/modules/ngx_nchan_module.so ]; then
  echo "nginx with nchan is missing: apt-get install nginx libnginx-mod-nchan" >&2
  exit 1
fi
scripts/build-edge.sh
cargo build --profile origin -p headstart-benchmarks
exec "${CARGO_TARGET_DIR:-$ROOT/target}/origin/headstart-benchmarks" "$@"
