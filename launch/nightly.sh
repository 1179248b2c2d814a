#!/usr/bin/env bash
# What takes longer than CI may: launch/nightly.sh [--dry_run] [STAGE...]; stages: lowest newest plain python3.12 python3.13 network campaign
# Each stage of a Python has an environment of its own in a temporary folder. Results: docs/campaign/nightly.json and docs/campaign.md.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export PIP_DISABLE_PIP_VERSION_CHECK=1 JAX_PLATFORMS=cpu
python=${BASSNET_JAX_PYTHON:-python3}
tries=${BASSNET_JAX_TRIES:-100}

dry_run=''
if [ "${1:-}" = --dry_run ]; then
  dry_run=yes
  shift
fi
known='lowest newest plain python3.12 python3.13 network campaign'
stages=${*:-$known}
for stage in $stages; do
  case " $known " in
    *" $stage "*) ;;
    *)
      echo "nightly.sh: there is no stage $stage; there are: $known" >&2
      exit 2
      ;;
  esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
  if [ -n "$dry_run" ]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# What a fresh clone holds: environments are made from it, and their tests run in it.
source_tree() {
  mkdir -p "$work/source" && git archive HEAD | tar -x -C "$work/source"
}
root=$work/source
[ -n "$dry_run" ] || source_tree || exit 1

# An environment with uv, made by a Python: environment NAME PYTHON.
environment() {
  run "$2" -m venv "$work/$1" && run "$work/$1/bin/pip" install -q uv
}

# install NAME RESOLUTION WHAT: the versions that a resolution of setup.cfg gives; tinysoundfont as in the README.
install() {
  run "$work/$1/bin/uv" pip install -q --python "$work/$1/bin/python" --resolution "$2" "$3" &&
    run "$work/$1/bin/uv" pip install -q --python "$work/$1/bin/python" --no-deps tinysoundfont &&
    run "$work/$1/bin/uv" pip freeze --python "$work/$1/bin/python"
}

versions() { environment "$1" "$2" && install "$1" "$3" "${root}[test]" && run env -C "$root" "$work/$1/bin/python" -m pytest -n 2; }

# Without the extras: imports, and a bass to a mix.
plain() {
  environment plain "$python" && install plain highest "$root" &&
    run env -C "$root" "$work/plain/bin/python" "$root/tests/offline.py" "$work/offline"
}

# Every part of the campaign that there is; the kills last, because they take longest.
campaign() {
  local ended=0 module name
  for module in tests/campaign/*.py; do
    name=$(basename "$module" .py)
    if [ "$name" != kills ] && [ "$name" != nightly ] && [ "$name" != __main__ ] && grep -q '^def main(' "$module"; then
      run "$python" -m tests.campaign "$name" || ended=1
    fi
  done
  run "$python" -m tests.campaign kills "--tries=$tries" || ended=1
  return "$ended"
}

stage() {
  case $1 in
    lowest) versions lowest "$python" lowest-direct ;; # what setup.cfg names, as old as it allows; what that needs, new
    newest) versions newest "$python" highest ;;
    python3.*) versions "$1" "$1" highest ;;
    plain) plain ;;
    network) run "$python" -m pytest -m 'slow or not slow' tests/test_offline.py ;;
    campaign) campaign ;;
  esac
}

failed=0
rows=''
for stage in $stages; do
  case $stage in
    python3.*)
      if ! "$stage" -c '' 2> /dev/null; then
        echo "== $stage: not installed, skipped"
        rows+="$stage,not installed,0"$'\n'
        continue
      fi
      ;;
  esac
  echo "== $stage"
  begin=$SECONDS
  result=passed
  stage "$stage" || result=failed
  [ "$result" = passed ] || failed=1
  echo "== $stage: $result, $((SECONDS - begin)) s"
  rows+="$stage,$result,$((SECONDS - begin))"$'\n'
done
[ -n "$dry_run" ] || printf '%s' "$rows" | "$python" -m tests.campaign nightly "--stages=$stages" || failed=1
exit $failed
