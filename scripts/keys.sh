#!/usr/bin/env bash
# Makes the local keys on first use: .dev.vars for the edge under `wrangler dev`, and
# .headstart/origin.env with the same keys for an origin that talks to it.
#
# Never overwrites. Both files are private to the user and ignored by git.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

edge_file="${1:-.dev.vars}"
origin_file="${2:-.headstart/origin.env}"
if [ -e "$edge_file" ] && [ -e "$origin_file" ]; then exit; fi

# new_key: 32 random bytes in the form of Standard Webhooks.
new_key() { printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')"; }

# key NAME: the key that the edge's file already has, or a new one.
key() {
  local old=''
  if [ -e "$edge_file" ]; then old="$(sed -n "s/^$1=//p" "$edge_file" | tail -n 1)"; fi
  printf '%s' "${old:-$(new_key)}"
}

ticket_key="$(key TICKET_KEY)"
origin_key="$(key ORIGIN_KEYS)"
login_key="$(key LOGIN_KEYS)"
token_key="$(key TOKEN_KEYS)"

umask 077
mkdir -p "$(dirname "$edge_file")" "$(dirname "$origin_file")"

if ! [ -e "$edge_file" ]; then
  cat >"$edge_file" <<EOF
# Local secrets and settings of the edge, for \`wrangler dev\` only. Made by scripts/keys.sh.
TICKET_KEY=$ticket_key
ORIGIN_KEYS=$origin_key
LOGIN_KEYS=$login_key
TOKEN_KEYS=$token_key
# On a laptop anyone may log in as anyone. Never deploy with this.
LOGIN_AUTH=open
CORS_ORIGINS=http://localhost:8787,http://127.0.0.1:8787,http://localhost:5173,http://127.0.0.1:5173
EOF
fi

# The edge takes several keys, for rotation; the origin signs with the first.
cat >"$origin_file" <<EOF
# The same keys for an origin on this machine. Made by scripts/keys.sh.
HEADSTART_TICKET_KEY=$ticket_key
HEADSTART_ORIGIN_KEY=${origin_key%%,*}
HEADSTART_LOGIN_KEY=${login_key%%,*}
HEADSTART_TOKEN_KEY=${token_key%%,*}
# The local copy of the provider's API takes any token.
HEADSTART_API_TOKEN=local
EOF
