#!/usr/bin/env bash
# What takes longer than CI may: launch/nightly.sh [--dry_run] [STAGE...]; stages: lowest newest plain python3.N network campaign
# Without a STAGE: all, with python3.12, python3.13 and every other Python from 3.11 on that is on PATH or that pyenv has installed.
# Each stage of a Python has an environment of its own in a temporary folder. Results, kept after each stage beside those of earlier days:
# docs/campaign/nightly.json and docs/campaign.md.
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

# The path of a working python3.N: on PATH, else among pyenv's, whose programs on PATH refuse where the version is not chosen.
interpreter() {
  local pyenv candidate
  pyenv=${PYENV_ROOT:-$(pyenv root 2> /dev/null || echo "$HOME/.pyenv")}
  for candidate in "$(command -v "$1")" "$pyenv/versions/${1#python}"*/bin/"$1"; do
    if [ -x "$candidate" ] && "$candidate" -c 'import ensurepip, venv' 2> /dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# The other Pythons: the stage newest tests the one that the rest of this runs on.
pythons() {
  local number own
  own=$("$python" -c 'import sys; print(sys.version_info.minor)')
  for number in {11..20}; do
    if [ "$number" != "$own" ] && { [[ $number =~ ^1[23]$ ]] || interpreter "python3.$number" > /dev/null; }; then
      printf 'python3.%s ' "$number"
    fi
  done
}

stages=${*:-lowest newest plain $(pythons)network campaign}
for stage in $stages; do
  if ! [[ $stage =~ ^(lowest|newest|plain|python3\.[0-9]+|network|campaign)$ ]]; then
    echo "nightly.sh: there is no stage $stage; there are: lowest newest plain python3.N (python3.13, for example) network campaign" >&2
    exit 2
  fi
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

# Without the extras: imports, a bass to a mix, and training. The versions that did it are kept in docs/dependencies.txt.
plain() {
  environment plain "$python" && install plain highest "$root" &&
    run env -C "$root" "$work/plain/bin/python" "$root/tests/offline.py" "$work/offline" || return
  [ -n "$dry_run" ] || "$work/plain/bin/uv" pip freeze --python "$work/plain/bin/python" | grep -v -e '^bassnet' -e '^uv==' > "$work/versions" || return
  [ -n "$dry_run" ] || { dependencies "$work/plain/bin/python" && cat "$work/versions"; } > docs/dependencies.txt
}

# The head of docs/dependencies.txt: dependencies PYTHON.
dependencies() {
  "$1" -c "import datetime, platform as p, sys
print(f'# What an installation without extras had when \`launch/nightly.sh plain\` passed: {datetime.date.today()}, Python {p.python_version()}, {p.system()} {p.machine()}.')"
}

# Every part of the campaign that there is, the load with users who stay and with users who come and go; the kills last, because they take longest.
campaign() {
  local ended=0 module name
  for module in tests/campaign/*.py; do
    name=$(basename "$module" .py)
    if [ "$name" != kills ] && [ "$name" != nightly ] && [ "$name" != __main__ ] && grep -q '^def main(' "$module"; then
      run "$python" -m tests.campaign "$name" || ended=1
    fi
  done
  run "$python" -m tests.campaign load --users=4 --seconds=1 --sessions=400 || ended=1
  run "$python" -m tests.campaign kills "--tries=$tries" || ended=1
  return "$ended"
}

stage() {
  case $1 in
    lowest) versions lowest "$python" lowest-direct ;; # what setup.cfg names, as old as it allows; what that needs, new
    newest) versions newest "$python" highest ;;
    python3.*) versions "$1" "$2" highest ;;
    plain) plain ;;
    network) run "$python" -m pytest -m 'slow or not slow' tests/test_offline.py ;;
    campaign) campaign ;;
  esac
}

# Keeps how a stage ended, so that nothing is lost if the next one is cut off: keep STAGE RESULT SECONDS.
keep() {
  [ -n "$dry_run" ] || "$python" -m tests.campaign nightly "--stage=$1" "--result=$2" "--seconds=$3" > /dev/null
}

failed=0
for stage in $stages; do
  found=''
  if [[ $stage = python3.* ]] && ! found=$(interpreter "$stage"); then
    echo "== $stage: not installed (neither on PATH nor among pyenv's versions), skipped"
    keep "$stage" 'not installed' 0 || failed=1
    continue
  fi
  echo "== $stage"
  begin=$SECONDS
  result=passed
  stage "$stage" "$found" || result=failed
  [ "$result" = passed ] || failed=1
  echo "== $stage: $result, $((SECONDS - begin)) s"
  keep "$stage" "$result" "$((SECONDS - begin))" || failed=1
done
exit $failed
