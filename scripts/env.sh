# shellcheck shell=bash
# What every script of this repository needs in its environment. Source it, do not run it.
#
# Touches nothing but the environment: PATH, the places of the build tools, and
# switches that keep wrangler quiet.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export ROOT

# wrangler needs a newer Node than many systems have; npm put one here.
export PATH="$ROOT/node_modules/.bin:$PATH"

CARGO_HOME_DIR="${CARGO_HOME:-$HOME/.cargo}"
TOOLS_DIR="$CARGO_HOME_DIR/headstart-tools"

# The tools that come from crates.io; npm's are pinned in package.json.
export WORKER_BUILD_VERSION=0.8.7
export MACHETE_VERSION=0.9.2

# locked_version CRATE: the version of CRATE in Cargo.lock, the first if there are several.
locked_version() {
  awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/version = |"/, ""); print; exit }' "$ROOT/Cargo.lock"
}

# tool NAME VERSION: prints the path of a tool of exactly that version, or fails.
# The one on PATH is taken if it fits. If not, it belongs to another project, so
# ours has a folder of its own and both can live.
tool() {
  local found
  for found in "$(command -v "$1" || true)" "$TOOLS_DIR/$1-$2/bin/$1"; do
    if [ -x "$found" ] && "$found" --version 2>/dev/null | grep -qwF "$2"; then
      printf '%s\n' "$found"
      return
    fi
  done
  return 1
}

# worker-build downloads these from hosts that may be out of reach, unless told where they are.
export ESBUILD_BIN="$ROOT/node_modules/.bin/esbuild"
export WASM_OPT_BIN="$ROOT/node_modules/.bin/wasm-opt"

export WRANGLER_SEND_METRICS=false
export WRANGLER_HIDE_BANNER=true
# Without this, wrangler asks the network where this machine is before it starts.
export CLOUDFLARE_CF_FETCH_ENABLED=false

# The origin's program, as `make build` makes it.
export ORIGIN="${CARGO_TARGET_DIR:-$ROOT/target}/origin/origin-publisher"
