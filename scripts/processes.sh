# shellcheck shell=bash
# Starting and ending the edge and the origin, for dev.sh and demo.sh. Source it after env.sh.
#
# Each is the leader of a process group of its own: Ctrl-C reaches only the script, which
# then ends them in order, and nothing of a group is left when its leader is gone.

GROUPS_STARTED=()

# start COMMAND...: runs it in a process group of its own. STARTED is its number.
start() {
  set -m
  "$@" </dev/null &
  STARTED=$!
  set +m
  # Keeps the shell from reporting how it ended.
  disown "$STARTED"
  GROUPS_STARTED+=("$STARTED")
}

# stop_all: ends every group, the youngest first. Each leader has twelve seconds to end by
# itself (an origin takes up to ten to finish what it holds); then the rest of its group is
# killed. workerd needs that: it outlives a gentler signal while a stream is open.
stop_all() {
  local index leader
  for ((index = ${#GROUPS_STARTED[@]} - 1; index >= 0; index--)); do
    leader="${GROUPS_STARTED[index]}"
    kill -TERM "$leader" 2>/dev/null || true
    for _ in {1..120}; do
      kill -0 "$leader" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$leader" 2>/dev/null || true
  done
  GROUPS_STARTED=()
}

# running: whether every leader still runs.
running() {
  local leader
  for leader in "${GROUPS_STARTED[@]}"; do kill -0 "$leader" 2>/dev/null || return 1; done
}

# wait_until SECONDS COMMAND...: repeats the command until it succeeds. Fails when the
# time is up, or when something that was started has ended.
wait_until() {
  local tries=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) && running || return 1
    sleep 0.1
  done
}

# answers URL: whether it answers with a 2xx status.
answers() {
  node -e 'fetch(process.argv[1]).then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))' "$1"
}

# free_port: a port that nothing listens on.
free_port() {
  node -e 's = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
