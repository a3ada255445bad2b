# shellcheck shell=bash
# Puts the program, and the keys and addresses of `make dev`, at hand in this shell:
#   source scripts/activate.sh    # bash or zsh, from any folder
# Touches nothing but the shell's environment.

# headstart_activate ROOT: a function, so that it leaves no variable of its own behind.
headstart_activate() {
  local programs="${CARGO_TARGET_DIR:-$1/target}/origin"
  if ! [ -x "$programs/origin-publisher" ] || ! [ -e "$1/.headstart/origin.env" ]; then
    echo "scripts/activate.sh: nothing to put at hand yet; run make dev first, in another terminal" >&2
    return 1
  fi
  export PATH="$programs:$PATH"
  set -a
  # shellcheck source=/dev/null
  . "$1/.headstart/origin.env"
  set +a
  export HEADSTART_EDGE_URL=http://127.0.0.1:8787
  export HEADSTART_ORIGIN_URL=http://127.0.0.1:8788
}

# The second half is zsh's name for this file.
# shellcheck disable=SC2296
headstart_activate "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]:-${(%):-%x}}")/.." >/dev/null && pwd)"
