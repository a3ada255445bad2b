#!/usr/bin/env bash
# Runs one edge of its own from what is built, with everything it writes in one folder:
#   scripts/edge.sh FOLDER [ARGUMENT OF wrangler dev]...
# It says "Ready on http://127.0.0.1:PORT". For the demo and the tests, which need edges
# that share nothing with each other or with `wrangler dev`.
#
# FOLDER/.dev.vars, if it is there, holds the edge's secrets and settings; `--var NAME:VALUE`
# overrides it. Start it as the leader of a process group and end the whole group with
# SIGKILL: workerd outlives a gentler signal while streams are open.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

folder="$1"
shift
mkdir -p "$folder"

# The project's own bindings and settings, without the build and with an absolute path:
# wrangler keeps its state beside the configuration that it is given.
sed -e '/^\[build\]/,/^$/d' -e "s|^main = \"|&$ROOT/|" "$ROOT/wrangler.toml" >"$folder/wrangler.toml"

# Edges must not find each other through wrangler's registry of local Workers.
export WRANGLER_REGISTRY_PATH="$folder/registry"
export WRANGLER_LOG_PATH="$folder/logs"

cd "$folder"
exec wrangler dev --config wrangler.toml --ip 127.0.0.1 --port 0 --inspector-port 0 \
  --show-interactive-dev-session=false "$@"
