#!/usr/bin/env bash
# Logs in at the edge of `make dev`, with its keys: scripts/login.sh CUSTOMER [ARGUMENT OF login]...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

if ! [ -x "$ORIGIN" ] || ! [ -e .headstart/origin.env ]; then
  echo "run make dev first, in another terminal" >&2
  exit 1
fi
set -a
# shellcheck source=/dev/null
source .headstart/origin.env
set +a
exec "$ORIGIN" login --origin http://127.0.0.1:8788 "$@"
