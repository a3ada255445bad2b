# shellcheck shell=bash
# The configuration of an origin on this machine, for dev.sh and demo.sh. Source it after env.sh.

# origin_config EDGE_URL LISTEN_ADDRESS OUTBOX: prints it. Secrets are not in it; they come
# from the environment.
origin_config() {
  local namespace
  namespace="$(awk '/^\[\[kv_namespaces\]\]/ { ours = 1 } ours && $1 == "id" { gsub(/"/, "", $3); print $3; exit }' "$ROOT/wrangler.toml")"
  cat <<EOF
# An origin beside a local edge. Made by scripts/origin-config.sh.

[generate.retail]
# An offer takes some hundred ms, as with a large catalogue or a model: at the default of 4 it takes
# 1 ms, and then nothing can be gained by a head start.
effort = 1000
# The race on the edge's first page lets a visitor choose how costly an offer is.
effort_limit = 2000

[outbox]
path = "$3"

[listen]
addr = "$2"
# On a laptop anyone may log in as anyone.
auth = "open"

[[edges]]
url = "$1"

# wrangler dev serves the provider's KV API too, without accounts; it takes any token.
[edges.kv]
api = "$1/cdn-cgi/explorer/api"
namespace_id = "$namespace"
EOF
}
