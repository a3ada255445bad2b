#!/usr/bin/env bash
# Makes the keys of both sides on first use: by default .dev.vars for the edge under `wrangler dev`, and
# .headstart/origin.env with the same keys for an origin that talks to it.
#
#   scripts/keys.sh [EDGE_FILE ORIGIN_FILE [deployment]]
#
# With `deployment`, without what is for a laptop only. Never overwrites: where one file is missing, it
# gets the keys of the other. Both are private to the user and ignored by git.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

edge_file="${1:-.dev.vars}"
origin_file="${2:-.headstart/origin.env}"
use="${3:-laptop}"
if [ -e "$edge_file" ] && [ -e "$origin_file" ]; then exit; fi

# new_key: 32 random bytes in the form of Standard Webhooks.
new_key() { printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')"; }

# value FILE NAME: what FILE has for NAME, if anything.
value() { if [ -e "$1" ]; then sed -n "s/^$2=//p" "$1" | tail -n 1; fi; }

# key EDGE_NAME ORIGIN_NAME: the key that one of the files already has, or a new one.
key() {
  local old
  old="$(value "$edge_file" "$1")"
  if [ -z "$old" ]; then old="$(value "$origin_file" "$2")"; fi
  printf '%s' "${old:-$(new_key)}"
}

ticket_key="$(key TICKET_KEY HEADSTART_TICKET_KEY)"
origin_key="$(key ORIGIN_KEYS HEADSTART_ORIGIN_KEY)"
login_key="$(key LOGIN_KEYS HEADSTART_LOGIN_KEY)"
token_key="$(key TOKEN_KEYS HEADSTART_TOKEN_KEY)"

umask 077
mkdir -p "$(dirname "$edge_file")" "$(dirname "$origin_file")"

if ! [ -e "$edge_file" ]; then
  cat >"$edge_file" <<EOF
# The edge's secrets. Made by scripts/keys.sh.
TICKET_KEY=$ticket_key
ORIGIN_KEYS=$origin_key
LOGIN_KEYS=$login_key
TOKEN_KEYS=$token_key
EOF
  if [ "$use" = laptop ]; then
    cat >>"$edge_file" <<EOF
# On a laptop anyone may log in as anyone. Never deploy with this.
LOGIN_AUTH=open
CORS_ORIGINS=http://localhost:8787,http://127.0.0.1:8787,http://localhost:5173,http://127.0.0.1:5173
EOF
  fi
fi

if [ -e "$origin_file" ]; then exit; fi
# The edge takes several keys, for rotation; the origin signs with the first.
cat >"$origin_file" <<EOF
# The origin's secrets: the same keys. Made by scripts/keys.sh.
HEADSTART_TICKET_KEY=$ticket_key
HEADSTART_ORIGIN_KEY=${origin_key%%,*}
HEADSTART_LOGIN_KEY=${login_key%%,*}
HEADSTART_TOKEN_KEY=${token_key%%,*}
EOF
if [ "$use" = laptop ]; then
  cat >>"$origin_file" <<EOF
# The local copy of the provider's API takes any token.
HEADSTART_API_TOKEN=local
EOF
else
  cat >>"$origin_file" <<EOF
# A token for the provider's API that may edit Workers KV Storage on this account, and nothing else.
HEADSTART_API_TOKEN=
EOF
fi
