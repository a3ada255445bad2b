#!/usr/bin/env bash
# Keeps an edge (workerd, on port 8787) and an origin (its listener on port 8788) running until
# Ctrl-C, which ends both. The edge is rebuilt when its code changes.
#
# State stays: the edge's in .wrangler/, the origin's configuration and outbox in .headstart/,
# where the configuration may be changed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$ROOT/scripts/processes.sh"
source "$ROOT/scripts/origin-config.sh"
cd "$ROOT"

edge=http://127.0.0.1:8787
origin=http://127.0.0.1:8788
trap stop_all EXIT
# Ctrl-C is how this is meant to end.
trap 'exit 0' INT TERM HUP

scripts/keys.sh
[ -e .headstart/origin.toml ] ||
  origin_config "$edge" 127.0.0.1:8788 .headstart/outbox.sqlite3 >.headstart/origin.toml

if answers "$edge/ping"; then
  echo "something answers on $edge already; end it first" >&2
  exit 1
fi
# The page of another site in docs/examples/ is served from port 5173, as the README says. KV is asked
# after 2 s, not after a minute: a laptop's KV does not remember that something was not there.
start wrangler dev --ip 127.0.0.1 --port 8787 --show-interactive-dev-session=false \
  --var "ORIGIN_URL:$origin" --var CORS_ORIGINS:http://localhost:5173,http://127.0.0.1:5173 \
  --var TICKET_YOUNG_SECONDS:2
wait_until 120 answers "$edge/healthz" || { echo "the edge did not start; it says why above" >&2; exit 1; }

set -a
# shellcheck source=/dev/null
source .headstart/origin.env
set +a
start "$ORIGIN" serve --config .headstart/origin.toml
wait_until 20 answers "$origin/healthz" || { echo "the origin did not start; it says why above" >&2; exit 1; }

cat <<EOF

  The edge is at    $edge  (open it in a browser: the race)
                    $edge/live  (live events)
                    $edge/docs  (every route)
  The origin is at  $origin  (and linked to the edge)

  Try, in another terminal:
    source scripts/activate.sh
    origin-publisher login 40228
    origin-publisher subscribe scores/nba --latest
    origin-publisher publish --topic scores/nba --data '{"home": 71, "away": 68}'
    curl -i -X POST $edge/login -H 'content-type: application/json' -d '{"user": "40228"}'
    curl -i $edge/healthz

  Ctrl-C ends both.

EOF
while running; do sleep 1; done
echo "the edge or the origin has ended; it says why above" >&2
exit 1
