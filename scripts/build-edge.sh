#!/usr/bin/env bash
# Builds the Worker and the pages into edge-worker/build/. It is wrangler's build command, so a plain
# `npx wrangler dev` or `deploy` runs it too.
#
# Quick when nothing changed: cargo is asked first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT/edge-worker"

"$ROOT/scripts/build-pages.sh"

missing() { echo "the build tools are missing: run make setup" >&2; exit 1; }
WORKER_BUILD="$(tool worker-build "$WORKER_BUILD_VERSION")" || missing
WASM_BINDGEN_BIN="$(tool wasm-bindgen "$(locked_version wasm-bindgen)")" || missing
export WASM_BINDGEN_BIN

# worker-build does all its work again each time (10 s), so ask cargo first whether
# anything changed. The variable is worker-build's own, for the same code to come out.
export WASM_BINDGEN_USE_JS_SYS=1
cargo build --lib --release --target wasm32-unknown-unknown
compiled="${CARGO_TARGET_DIR:-$ROOT/target}/wasm32-unknown-unknown/release/edge_worker.wasm"
if [ build/index_bg.wasm -nt "$compiled" ] && [ build/index.js -nt "$compiled" ] &&
  [ build/index.js -nt src/entry.js ]; then exit; fi

"$WORKER_BUILD" --release

mv build/index.js build/worker.js
"$ESBUILD_BIN" src/entry.js --bundle --minify --format=esm --external:cloudflare:* --external:./index_bg.wasm \
  --outfile=build/index.js --log-level=warning
rm build/worker.js

# What esbuild finds to warn of now, wrangler would tell everyone who deploys.
warnings="$("$ESBUILD_BIN" build/index.js --log-level=warning 2>&1 >/dev/null)"
if [ -n "$warnings" ]; then
  printf '%s\n' "$warnings" >&2
  # The next build is not to take this one for good.
  rm build/index.js
  exit 1
fi
