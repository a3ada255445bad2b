#!/usr/bin/env bash
# Installs other people's clients, which the tests use, into tests/clients/ from npm and PyPI, at the versions and
# with the hashes that stand there. Quick when there is nothing to do.
#
# To change a version: `npm install NAME@VERSION --save-exact` in tests/clients for npm; for PyPI change
# requirements.in, and `uv pip compile --universal --python-version 3.11 --generate-hashes --no-header
# requirements.in -o requirements.txt`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT/tests/clients"

if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  echo "setup: installing other people's clients from npm (20 s)" >&2
  npm ci --no-audit --no-fund --loglevel=error
fi

if ! [ .venv/installed -nt requirements.txt ]; then
  echo "setup: installing other people's clients from PyPI (30 s)" >&2
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
  touch .venv/installed
fi
