#!/usr/bin/env bash
# Shows the whole path once: starts an edge (workerd with real KV and Durable Objects) and an
# origin, logs in as customers of the sample, and prints how their offers arrived.
#
# Everything it writes is in one temporary folder. It leaves no process and no file behind.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$ROOT/scripts/processes.sh"
source "$ROOT/scripts/origin-config.sh"

folder="$(mktemp -d "${TMPDIR:-/tmp}/headstart-demo.XXXXXX")"
finish() {
  local status=$? log
  if [ "$status" != 0 ] && [ "$status" != 130 ]; then
    for log in edge origin; do
      if [ -s "$folder/$log.log" ]; then
        printf '\n--- what the %s said last\n' "$log"
        tail -n 30 "$folder/$log.log"
      fi
    done >&2
  fi
  stop_all
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
cd "$folder"

"$ROOT/scripts/keys.sh" "$folder/.dev.vars" "$folder/origin.env"
set -a
# shellcheck source=/dev/null
source ./origin.env
set +a

echo "Starting an edge: workerd, with KV and Durable Objects."
# The project's own bindings and settings, without the build and with an absolute path:
# wrangler keeps its state beside the configuration that it is given. KV is asked after 2 s, not
# after a minute: a laptop's KV does not remember that something was not there.
sed -e '/^\[build\]/,/^$/d' -e "s|^main = \"|&$ROOT/|" -e "s|^directory = \"|&$ROOT/|" \
  "$ROOT/wrangler.toml" >wrangler.toml
WRANGLER_REGISTRY_PATH="$folder/registry" WRANGLER_LOG_PATH="$folder/logs" \
  start wrangler dev --ip 127.0.0.1 --port 0 --inspector-port 0 --show-interactive-dev-session=false \
  --var TICKET_YOUNG_SECONDS:2 >edge.log 2>&1
wait_until 60 grep -q 'Ready on http' edge.log || { echo "the edge did not start" >&2; exit 1; }
edge="$(sed -n 's/.*Ready on \(http[^ ]*\).*/\1/p' edge.log | head -n 1)"

echo "Starting an origin: it links out to the edge."
port="$(free_port)"
origin="http://127.0.0.1:$port"
origin_config "$edge" "127.0.0.1:$port" outbox.sqlite3 >origin.toml
start "$ORIGIN" serve --config origin.toml >origin.log 2>&1
wait_until 20 answers "$origin/healthz" || { echo "the origin did not start" >&2; exit 1; }

for customer in 40143 40155; do
  printf '\n=== Customer %s logs in\n' "$customer"
  "$ORIGIN" login "$customer" --edge "$edge" --way sse
done
printf '\n=== Customer 40228 logs in, once for each way to receive an offer\n'
"$ORIGIN" login 40228 --edge "$edge" --origin "$origin" --quiet --think 2.5
