#!/usr/bin/env bash
# Plants each bug of replication/planted_bugs.h in turn and sees the power-loss simulator find it:
# tests/planted_bugs.sh, or tests/planted_bugs.sh BUG... for some of them.
#
# One line for each bug, with what was found first; the last line is `caught N/N`. Exits with 0 only if each was caught,
# and nothing was found where none is planted. A build with another bug compiles only the files that can have one.
#   BAZEL        what builds: ./bazelw
#   BAZEL_FLAGS  for it, before its command
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bazel=${BAZEL:-./bazelw}
read -ra bazel_flags <<<"${BAZEL_FLAGS:-}"
header=replication/planted_bugs.h
target=//tests/replication:power_loss_test
binary='bazel-bin/tests/replication/power_loss_test'
export KEKBIT_POWER_LOSS_IMAGES=60000 KEKBIT_POWER_LOSS_STOP=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mapfile -t all < <(sed -nE '/^enum class PlantedBug/,/^};/s/^ +(k[A-Za-z]+),.*/\1/p' "$header" | grep -vx kNone)
files=$(grep -lF "$header" replication/*.cc | sed -E 's/.*\/(.*)\.cc/\1/' | paste -sd '|')

# build BUG: the test with that bug in it.
build() {
  "$bazel" "${bazel_flags[@]}" build --config=quiet -c opt "--per_file_copt=replication/($files)\\.cc@-DKEKBIT_PLANT=$1" \
    "$target" >"$work/build" 2>&1 || { cat "$work/build"; echo "$1: DOES NOT BUILD"; exit 1; }
}

[[ $# -gt 0 ]] || set -- kNone "${all[@]}"
wanted=0
caught=0
status=0
for bug in "$@"; do
  build "$bug"
  started=$SECONDS
  if [[ $bug == kNone ]]; then
    KEKBIT_POWER_LOSS_IMAGES=5000 "$binary" >"$work/log" || { cat "$work/log"; echo "found a bug where none is planted"; status=1; }
    continue
  fi
  wanted=$((wanted + 1))
  if "$binary" --gtest_fail_fast >"$work/log" 2>&1; then
    echo "$bug: NOT CAUGHT in $((SECONDS - started)) s"
  elif violation=$(grep -m 1 '^  violation: ' "$work/log"); then
    caught=$((caught + 1))
    echo "$bug: caught in $((SECONDS - started)) s:${violation#  violation:}" | cut -c 1-240
  else
    cat "$work/log"
    echo "$bug: the test ended in another way"
  fi
done
echo "caught $caught/$wanted"
[[ $status == 0 && $caught == "$wanted" && $wanted != 0 ]]
