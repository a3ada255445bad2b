#!/usr/bin/env bash
# Every test: the rules natively, then end to end against real workerd and the real origin.
# The Worker and the origin are built once, before; the tests start them as they are.
# Arguments go to `cargo test`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

# The pages are tested in Chromium; other people's clients, and what the documents show, run in Python and
# PHP. The documents' lines run curl, in a network of their own.
packages=()
[ -x "${HEADSTART_CHROMIUM:-/usr/bin/chromium}" ] || packages+=(chromium)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
command -v php >/dev/null || packages+=(php-cli)
command -v curl >/dev/null || packages+=(curl)
command -v git >/dev/null || packages+=(git)
if [ "$(uname -s)" = Linux ]; then
  command -v ip >/dev/null || packages+=(iproute2)
  command -v unshare >/dev/null || packages+=(util-linux)
fi
if [ "${#packages[@]}" -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "test: installing ${packages[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >/dev/null
  else
    echo "test: some tests need what is missing here: apt-get install ${packages[*]}" \
      "(or your system's names for them; HEADSTART_CHROMIUM names another Chromium)" >&2
  fi
fi

scripts/setup-clients.sh
scripts/build-edge.sh
# All at once, the origin's program too: built alone, its dependencies would come out with
# other features, and be compiled twice.
cargo build --workspace --all-targets
# The end-to-end tests mostly wait, so more of them than cores may run at a time; many more would
# start more edges at a time than two cores can.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"
cargo test --workspace "$@"
