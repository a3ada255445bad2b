#!/usr/bin/env bash
# Makes what one deployment needs, for both sides, in deployments/NAME/:
#
#   scripts/deployment.sh NAME KV_NAMESPACE_ID ACCOUNT_ID
#
#   wrangler.toml  the edge's bindings and settings: a Worker and rate limits of its own
#   edge.env       the edge's secrets, for `wrangler deploy --secrets-file`
#   origin.toml    the origin's configuration
#   origin.env     the origin's secrets: the same keys, and room for the API token
#
# Never overwrites: what is there stays, keys above all. The folder is private to the user and ignored
# by git. Wrangler's own environments would inherit no binding, so each would repeat them all, and from
# then on a plain `wrangler deploy` warns that none was named.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

fail() { printf '%s\nusage: scripts/deployment.sh NAME KV_NAMESPACE_ID ACCOUNT_ID\n' "$1" >&2; exit 2; }
name="${1:-}" namespace="${2:-}" account="${3:-}"
# With "headstart-" before it, it is a part of a host name, which has 63 characters at most.
[[ "$name" =~ ^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$ ]] || fail "NAME is made of a-z, 0-9 and -, such as staging"
[[ "$namespace" =~ ^[0-9a-f]{32}$ ]] || fail "KV_NAMESPACE_ID is the id that wrangler kv namespace create prints: 32 characters of 0-9 and a-f"
[[ "$account" =~ ^[0-9a-f]{32}$ ]] || fail "ACCOUNT_ID is the id that wrangler whoami prints: 32 characters of 0-9 and a-f"

folder="deployments/$name"
worker="headstart-$name"
# The provider counts for a namespace_id over the whole account: two Workers with the same one would
# share their clients' logins. The number comes from the name, so that it is the same wherever it is made.
limits="$(($(printf '%s' "$worker" | cksum | cut -d ' ' -f 1) % 1000000000))"

umask 077
mkdir -p "$folder"
scripts/keys.sh "$folder/edge.env" "$folder/origin.env" deployment

if ! [ -e "$folder/wrangler.toml" ]; then
  {
    echo "# The edge of the deployment \"$name\". Made by scripts/deployment.sh from the project's wrangler.toml,"
    echo "# which gains settings from time to time: compare the two after an upgrade."
    echo "account_id = \"$account\""
    # Without the first paragraph, which is about local use.
    sed -e '1,/^$/d' \
      -e "s|^name = \"headstart\"|name = \"$worker\"|" \
      -e 's|^\(main = "\)|\1../../|' -e 's|^\(directory = "\)|\1../../|' -e 's|^\(command = "\)|\1../../|' \
      -e '/^watch_dir/d' \
      -e '/^# Any id/d' -e "s|^id = .*|id = \"$namespace\"|" \
      -e "s|^namespace_id = .*|namespace_id = \"$limits\"|" \
      wrangler.toml
  } >"$folder/wrangler.toml"
fi

if ! [ -e "$folder/origin.toml" ]; then
  cat >"$folder/origin.toml" <<EOF
# An origin of the deployment "$name". Made by scripts/deployment.sh. All settings, with their
# defaults, are in origin-publisher/config.example.toml. Secrets are in origin.env.

[[edges]]
# The URL of the edge: what wrangler deploy prints, or its own domain.
url = ""

[edges.kv]
account_id = "$account"
namespace_id = "$namespace"
EOF
fi

cat <<EOF
$folder/ has what the deployment needs. Next, in that folder:

  npx wrangler deploy --secrets-file edge.env    # the edge; prints its URL
  \${EDITOR:-vi} origin.toml origin.env            # fill in the URL, and an API token
EOF
