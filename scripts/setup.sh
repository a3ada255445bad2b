#!/usr/bin/env bash
# Installs what building needs: the Wasm target, npm's tools, worker-build and wasm-bindgen.
# Safe to run again at any time; takes well under a second when there is nothing to do.
#
# Touches node_modules/ here, and cargo's and rustup's homes. Needs only the
# registries of Rust and npm; uses quicker ways where more can be reached.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

command -v cargo >/dev/null || fail "cargo is missing; install Rust with rustup: https://rustup.rs"
command -v npm >/dev/null || fail "npm is missing; install Node 20 or newer: https://nodejs.org"

# --- The compiler and its Wasm target ----------------------------------------

# rust-toolchain.toml names the compiler; rustup installs it by itself, unless it was told not to.
if ! cargo --version >/dev/null 2>&1; then
  say "installing the Rust toolchain of rust-toolchain.toml (40 s)"
  # The compiler alone: rustup itself belongs to the user, and is not to be updated by the way.
  rustup toolchain install --no-self-update
fi

if ! [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
  command -v rustup >/dev/null || fail "the Rust target wasm32-unknown-unknown is missing, and there is no rustup to add it"
  say "adding the Rust target wasm32-unknown-unknown (20 s)"
  rustup target add wasm32-unknown-unknown
fi

# --- npm's tools -------------------------------------------------------------

# npm writes node_modules/.package-lock.json last, so it also marks a complete install.
# A registry mirror that lacks other systems' packages makes `npm install` drop them
# from package-lock.json, and `npm ci` then refuses it: put those entries back.
if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  say "installing wrangler, esbuild, Node, the checkers and the libraries of the pages from npm (20 s)"
  npm ci --no-audit --no-fund --loglevel=error
fi

# npm 10 does not link the binary of a package that is for one system only.
if ! [ -e node_modules/.bin/node ]; then
  for node in node_modules/node-linux-*/bin/node; do
    if [ -x "$node" ]; then ln -s "../../$node" node_modules/.bin/node; fi
  done
fi

node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 12) ? 0 : 1)' ||
  fail "wrangler needs Node 22.12 or newer and npm has none for this system; this is $(node --version)"

# --- worker-build and wasm-bindgen -------------------------------------------

# wasm-bindgen's command must be of the version that the code was compiled with.
WASM_BINDGEN_VERSION="$(locked_version wasm-bindgen)"

# fetch_wasm_bindgen: takes the release's ready-made binary, if it can be had quickly.
fetch_wasm_bindgen() {
  local system url dir
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) system=x86_64-unknown-linux-musl ;;
    Linux-aarch64 | Linux-arm64) system=aarch64-unknown-linux-musl ;;
    Darwin-x86_64) system=x86_64-apple-darwin ;;
    Darwin-arm64) system=aarch64-apple-darwin ;;
    *) return 1 ;;
  esac
  command -v curl >/dev/null || return 1
  url="https://github.com/wasm-bindgen/wasm-bindgen/releases/download/$WASM_BINDGEN_VERSION/wasm-bindgen-$WASM_BINDGEN_VERSION-$system.tar.gz"
  dir="$TOOLS_DIR/wasm-bindgen-$WASM_BINDGEN_VERSION/bin"
  mkdir -p "$dir"
  if curl -fsSL --connect-timeout 4 --max-time 60 "$url" 2>/dev/null |
    tar -xz -C "$dir" --strip-components=1 2>/dev/null &&
    tool wasm-bindgen "$WASM_BINDGEN_VERSION" >/dev/null; then
    return
  fi
  # Half a download would be in cargo's way.
  rm -rf "$dir"
  return 1
}

# cargo_install CRATE COMMAND VERSION MINUTES [ARGUMENT...]: into a folder for this version.
cargo_install() {
  local crate=$1 command=$2 version=$3 minutes=$4
  shift 4
  if cargo binstall -V >/dev/null 2>&1 &&
    cargo binstall --no-confirm --disable-telemetry --disable-strategies compile \
      --root "$TOOLS_DIR/$command-$version" "$crate@$version"; then
    return
  fi
  say "compiling $crate $version (about $minutes minutes on two cores; done once)"
  # Cargo's own target folder, not the project's, so that a later `cargo clean` costs nothing.
  env -u CARGO_TARGET_DIR cargo install --root "$TOOLS_DIR/$command-$version" --version "=$version" "$@" "$crate"
}

if ! tool worker-build "$WORKER_BUILD_VERSION" >/dev/null; then
  # worker-build links the system's OpenSSL.
  if [ "$(uname -s)" = Linux ] && ! pkg-config --exists openssl 2>/dev/null; then
    fail "worker-build needs OpenSSL's headers and pkg-config: apt-get install libssl-dev pkg-config (or your system's names for them)"
  fi
  # A debug build compiles in a third of the time, and the tool only calls others.
  cargo_install worker-build worker-build "$WORKER_BUILD_VERSION" 3 --locked --debug --config profile.dev.debug=false
fi

if ! tool wasm-bindgen "$WASM_BINDGEN_VERSION" >/dev/null; then
  say "fetching wasm-bindgen $WASM_BINDGEN_VERSION"
  # Not --locked: the lock file it ships names a crate version that was withdrawn.
  fetch_wasm_bindgen || cargo_install wasm-bindgen-cli wasm-bindgen "$WASM_BINDGEN_VERSION" 4
fi
