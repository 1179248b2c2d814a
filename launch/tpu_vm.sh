#!/usr/bin/env bash
# Trains on a Cloud TPU slice: create, install, start on all workers, watch, resume after preemption, delete.
# launch/README.md is the runbook. --dry_run prints every command and runs none.
set -euo pipefail

usage() {
  cat <<'TEXT'
launch/tpu_vm.sh ACTION --name=NAME --zone=ZONE [options] [-- flags of bassnet_jax.main]

actions
  create    ask for the slice as a queued resource and wait until it is there
  install   copy this checkout to all workers and install it
  start     start training on all workers, in the background
  logs      follow the log of process 0 (--worker=N: of another)
  status    state of the slice, and whether training runs on each worker
  resume    after a preemption: delete what is left, create, install and start again; training goes on from the last checkpoint
  fetch     copy the report of process 0 to ./NAME-report
  stop      SIGTERM to training: all workers save the same step
  delete    delete the slice and its queued resource

options
  --name=NAME              of the TPU VM; the queued resource is NAME-queue
  --zone=ZONE              for example us-west4-a
  --project=PROJECT        default: gcloud's own
  --type=TYPE              accelerator type (default: v5litepod-8)
  --version=VERSION        software version (default: v2-alpha-tpuv5-lite; v4: tpu-ubuntu2204-base, v6e: v2-alpha-tpuv6e)
  --spot                   cheaper, can be preempted at any time
  --shared=PATH            folder that all workers see, for data and checkpoints: gs://BUCKET/FOLDER, or an NFS mount; needed for more than
                           one worker
  --port=PORT              of the coordinator (default: 8476)
  --worker=N               for logs (default: 0)
  --python=PYTHON          on the workers (default: python3.12, installed if it is missing)
  --dry_run                print every command, run none

example
  launch/tpu_vm.sh create --name=bass --zone=us-west4-a --spot
  launch/tpu_vm.sh install --name=bass --zone=us-west4-a
  launch/tpu_vm.sh start --name=bass --zone=us-west4-a -- --experiment=pr_window64 --set data.backend=resident
TEXT
}

fail() {
  printf 'tpu_vm.sh: %s\n' "$1" >&2
  exit 2
}

action='' name='' zone='' project='' type=v5litepod-8 version=v2-alpha-tpuv5-lite spot='' shared='' port=8476 worker=0 python=python3.12 dry_run=''
training=()
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --spot) spot=yes ;;
    --shared=*) shared=${1#*=} ;;
    --port=*) port=${1#*=} ;;
    --worker=*) worker=${1#*=} ;;
    --python=*) python=${1#*=} ;;
    --dry_run) dry_run=yes ;;
    -h | --help) usage; exit 0 ;;
    --) shift; training=("$@"); break ;;
    -*) fail "unknown option $1; --help names them (flags of bassnet_jax.main come after --)" ;;
    *)
      [ -z "$action" ] || fail "two actions, $action and $1; one is expected: run one after the other, and write what bassnet_jax.main is to get after --"
      action=$1
      ;;
  esac
  shift
done
case $action in
  create | install | start | logs | status | resume | fetch | stop | delete) ;;
  '') usage >&2; exit 2 ;;
  *) fail "unknown action $action; there are: create, install, start, logs, status, resume, fetch, stop, delete" ;;
esac
[ -n "$name" ] || fail "--name is missing: give the name that the TPU VM has or is to get, for example --name=bass"
[ -n "$zone" ] || fail "--zone is missing: give the zone that the TPU VM is in, for example --zone=us-west4-a; gcloud compute tpus locations list names all"
[ -z "${name//[a-z0-9-]/}" ] || fail "--name=$name: expected lower-case letters, digits and hyphens; give another, for example --name=bass"

root=$(cd "$(dirname "$0")/.." && pwd)
# Where things lie on the workers; the remote shell expands $HOME.
home="\$HOME/bassnet_jax"
store=${shared:-\$HOME/bassnet_jax_runs}
where=("--zone=$zone")
[ -z "$project" ] || where+=("--project=$project")

run() {
  if [ -n "$dry_run" ]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

on_workers() { # WORKER COMMAND
  run gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" "--worker=$1" "--command=$2"
}

create() {
  local options=(--node-id="$name" --accelerator-type="$type" --runtime-version="$version")
  [ -z "$spot" ] || options+=(--spot)
  run gcloud compute tpus queued-resources create "$name-queue" "${where[@]}" "${options[@]}"
  if [ -n "$dry_run" ]; then
    run gcloud compute tpus queued-resources describe "$name-queue" "${where[@]}" '--format=value(state.state)'
    return
  fi
  local state=''
  until [ "$state" = ACTIVE ]; do
    state=$(gcloud compute tpus queued-resources describe "$name-queue" "${where[@]}" '--format=value(state.state)')
    printf '%s: %s\n' "$(date +%H:%M:%S)" "$state"
    case $state in
      FAILED | SUSPENDED | SUSPENDING) fail "the queued resource $name-queue is $state; 'delete' it, then try another zone, type or --spot" ;;
      ACTIVE) ;;
      *) sleep 20 ;;
    esac
  done
}

install() {
  local archive
  archive=$(mktemp -t bassnet_jax_XXXXXX.tar.gz)
  # What is committed, so that every worker runs the same and the commit can be named.
  run git -C "$root" archive --format=tar.gz -o "$archive" HEAD
  run gcloud compute tpus tpu-vm scp "$archive" "$name:bassnet_jax.tar.gz" "${where[@]}" --worker=all
  rm -f "$archive"
  on_workers all "set -e; mkdir -p $home; tar -xzf bassnet_jax.tar.gz -C $home
command -v $python || { sudo apt-get update -q && sudo apt-get install -y -q software-properties-common && sudo add-apt-repository -y ppa:deadsnakes/ppa && sudo apt-get install -y -q $python $python-venv; }
$python -m venv $home/.venv && . $home/.venv/bin/activate
pip install -q -U pip && pip install -q 'jax[tpu]' $home && pip install -q --no-deps tinysoundfont
python -c 'import bassnet_jax'"
}

start() {
  local flags
  flags=$(printf '%q ' "${training[@]}")
  local coordinator
  if [ -n "$dry_run" ]; then
    run gcloud compute tpus tpu-vm describe "$name" "${where[@]}" '--format=value(networkEndpoints[0].ipAddress)'
    coordinator=ADDRESS_OF_WORKER_0
  else
    coordinator=$(gcloud compute tpus tpu-vm describe "$name" "${where[@]}" '--format=value(networkEndpoints[0].ipAddress)')
  fi
  # On all workers at once: one alone waits for the others until its time is up. Counts and indices come from the platform.
  local folder="mkdir -p $store; "
  [ "${store#gs://}" = "$store" ] || folder='' # a bucket has none
  on_workers all "set -e; ${folder}cd $home; . .venv/bin/activate
nohup python -m bassnet_jax.main --coordinator_address=$coordinator:$port --initialization_timeout=1800 --workdir=$store/$name --data_dir=$store/data $flags> \$HOME/training.log 2>&1 < /dev/null &
echo \$! > \$HOME/training.pid"
}

delete() {
  # --force deletes the TPU VM with it.
  run gcloud compute tpus queued-resources delete "$name-queue" "${where[@]}" --force --quiet
}

case $action in
  start | resume) # before anything is deleted
    [ ${#training[@]} -gt 0 ] || fail "$action needs flags of bassnet_jax.main after --, for example: -- --experiment=pr_window64"
    ;;
esac

case $action in
  create) create ;;
  install) install ;;
  start) start ;;
  logs) on_workers "$worker" "tail -n 100 -f \$HOME/training.log" ;;
  status)
    run gcloud compute tpus queued-resources describe "$name-queue" "${where[@]}" '--format=value(state.state)'
    on_workers all "hostname; kill -0 \$(cat \$HOME/training.pid) && tail -n 2 \$HOME/training.log || echo 'training does not run'"
    ;;
  resume)
    # The shared folder (or, on a single worker's own disk, nothing) outlives the slice.
    [ -n "$shared" ] || fail "resume needs --shared=PATH: the disks of a preempted slice are gone, and its checkpoints with them"
    delete
    create
    install
    start
    ;;
  fetch)
    if [ "${store#gs://}" != "$store" ]; then
      run gcloud storage cp --recursive "$store/$name/report" "$name-report"
    else
      # scp's server expands no variables, and begins in the home folder.
      run gcloud compute tpus tpu-vm scp --recurse "$name:${store#\$HOME/}/$name/report" "$name-report" "${where[@]}" --worker=0
    fi
    ;;
  stop) on_workers all "kill -TERM \$(cat \$HOME/training.pid)" ;;
  delete) delete ;;
esac
