#!/usr/bin/env bash
# N processes of one training run on this machine: launch/local.sh N [flags of bassnet_jax.main]
set -euo pipefail

if [ $# -lt 1 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo 'usage: launch/local.sh N [--dry_run] [flags of bassnet_jax.main]; N processes, at least 1' >&2
  exit 2
fi
count=$1
shift
dry_run=''
if [ "${1:-}" = --dry_run ]; then
  dry_run=yes
  shift
fi
port=${BASSNET_JAX_PORT:-$((20000 + RANDOM % 20000))}
pids=()

set -m # every process in a group of its own: Ctrl-C reaches this script alone, which passes it on once

# One of them is enough: all save the same step. A second signal ends all at once.
# shellcheck disable=SC2329  # called by the trap
stop() {
  trap 'kill -KILL "${pids[@]}" 2>/dev/null' INT TERM
  [ ${#pids[@]} -eq 0 ] || kill -TERM "${pids[0]}" 2>/dev/null || true
}
trap stop INT TERM

for ((index = 0; index < count; index++)); do
  command=(python -m bassnet_jax.main "--coordinator_address=localhost:$port" "--process_count=$count" "--process_index=$index" "$@")
  if [ -n "$dry_run" ]; then
    printf '%q ' "${command[@]}"
    printf '\n'
    continue
  fi
  "${command[@]}" &
  pids+=($!)
done

code=0
for pid in "${pids[@]}"; do
  while true; do
    ended=0
    wait "$pid" || ended=$?
    kill -0 "$pid" 2>/dev/null || break # a signal ended the wait, not the process
  done
  [ "$ended" -eq 0 ] || code=$ended
done
exit "$code"
