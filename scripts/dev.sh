#!/usr/bin/env bash
# Keeps an edge (workerd, on port 8787) and an origin running until Ctrl-C, which ends both.
# The edge is rebuilt when its code changes. State stays in .wrangler/ and .headstart/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$ROOT/scripts/processes.sh"
cd "$ROOT"

scripts/keys.sh
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

edge=http://127.0.0.1:8787
if answers "$edge/healthz"; then
  echo "something answers on $edge already; end it first" >&2
  exit 1
fi
start wrangler dev --ip 127.0.0.1 --port 8787 --show-interactive-dev-session=false
wait_until 60 answers "$edge/healthz" || { echo "the edge did not start; its last words are above" >&2; exit 1; }

set -a
source .headstart/origin.env
set +a
start "$ORIGIN" serve --config origin.local.toml

cat <<EOF

  edge    $edge
  origin  http://127.0.0.1:8788

Try, in another terminal:
  curl -i $edge/healthz
  curl -i -X POST $edge/login -H 'content-type: application/json' -d '{"user":"17850"}'
  make login USER=17850

Ctrl-C ends both.

EOF
while running; do sleep 1; done
echo "the edge or the origin has ended; its last words are above" >&2
exit 1
