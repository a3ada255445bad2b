#!/usr/bin/env bash
# Logs in at the edge of `make dev`, with its keys: scripts/login.sh CUSTOMER [ARGUMENT OF login]...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/activate.sh"
exec origin-publisher login "$@"
