#!/usr/bin/env bash
# Builds the pages and the browser's client into edge-worker/build/pages/, which the edge serves as
# they are. scripts/build-edge.sh runs it; it takes a fraction of a second.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT/edge-worker/pages"

# The folder itself stays: `wrangler dev` watches it, and would not see another one in its place.
out="$ROOT/edge-worker/build/pages"
mkdir -p "$out"
cp _headers ./*.html icon.svg "$out/"
cp client/headstart.d.ts "$ROOT/openapi.yaml" "$out/"
# docs.js names it.
cp "$ROOT/node_modules/swagger-ui-dist/swagger-ui-es-bundle.js.LICENSE.txt" "$out/"
browsers=("--target=chrome110,firefox115,safari16")
# Other sites load the client before they can do anything: both together make it 4 % smaller than esbuild.
esbuild client/headstart.js --bundle --minify-syntax --format=esm "${browsers[@]}" --log-level=warning |
  terser --module --compress passes=3,ecma=2020 --mangle --ecma 2020 --output "$out/headstart.js"
esbuild race/main.js --outfile="$out/race.js" --bundle --format=esm --minify "${browsers[@]}" --log-level=warning
esbuild live/main.js --outfile="$out/live.js" --bundle --format=esm --minify --loader:.json=json "${browsers[@]}" --log-level=warning
esbuild docs/main.js --outfile="$out/docs.js" --bundle --format=esm --minify "${browsers[@]}" --log-level=warning
esbuild style.css race.css live.css docs.css --outdir="$out" --bundle --minify "${browsers[@]}" --log-level=warning
