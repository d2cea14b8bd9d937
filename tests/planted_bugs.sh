#!/usr/bin/env bash
# Plants each bug of replication/testing/planted_bugs.h in turn and sees the power-loss simulator, or the simulation of
# several replicas, find it: tests/planted_bugs.sh, or tests/planted_bugs.sh BUG... for some of them.
#
# One line for each bug, with what was found first; the last line is `caught N/N`. Exits with 0 only if each was caught,
# and nothing was found where none is planted.
#   BAZEL        what builds: ./bazelw
#   BAZEL_FLAGS  for it, before its command
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bazel=${BAZEL:-./bazelw}
read -ra bazel_flags <<<"${BAZEL_FLAGS:-}"
header=replication/testing/planted_bugs.h
tests=(power_loss_test replica_simulation_test)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export work

# All of them, in the order of their numbers; kNone is 0.
mapfile -t all < <(sed -nE '/^enum class PlantedBug/,/^};/s/^ +(k[A-Za-z]+),.*/\1/p' "$header")
files=$(grep -rlF "$header" replication --include="*.cc" | sed -E 's/.*\/(.*)\.cc/\1/' | paste -sd '|')
"$bazel" "${bazel_flags[@]}" build --config=quiet -c opt "--per_file_copt=replication/.*/($files)\\.cc@-DKEKBIT_PLANTABLE" \
  "${tests[@]/#///tests/scenarios:}" >"$work/build" 2>&1 || { cat "$work/build"; exit 1; }
export bin=bazel-bin/tests/scenarios  # dynamically linked: not to be copied
# The first that is for the simulation: the one after that line.
simulated=$(sed -nE '/^enum class PlantedBug/,/^};/p' "$header" | sed -n '/for the simulation of replicas/{n;s/^ *\(k[A-Za-z]*\),.*/\1/p}')
for number in "${!all[@]}"; do
  [[ ${all[number]} != "$simulated" ]] || export simulated_from=$number
done

[[ $# -gt 0 ]] || set -- "${all[@]}"

# Runs what finds a bug of that number: prints it, and fails if it found something.
power_loss() { KEKBIT_PLANT=$1 KEKBIT_POWER_LOSS_IMAGES=$2 KEKBIT_POWER_LOSS_STOP=1 "$bin/power_loss_test" --gtest_fail_fast; }
simulation() { KEKBIT_PLANT=$1 KEKBIT_SIMULATION_SCHEDULES=$2 KEKBIT_SIMULATION_STOP=1 "$bin/replica_simulation_test" --gtest_filter='*.ManySchedules'; }

# try NUMBER NAME: one line about it, and a file of its name if it was caught.
try() {
  local started=$SECONDS violation found=0
  if [[ $1 == 0 ]]; then
    power_loss 0 5000 >"$work/$2.log" 2>&1 && simulation 0 1000 >>"$work/$2.log" 2>&1 || found=1
    if [[ $found == 0 ]]; then
      echo "$2: nothing found, as it should be"
    else
      cat "$work/$2.log"
      touch "$work/found_without"
    fi
    return
  fi
  if [[ $1 -lt $simulated_from ]]; then
    power_loss "$1" 60000 >"$work/$2.log" 2>&1 || found=1
  else
    simulation "$1" 20000 >"$work/$2.log" 2>&1 || found=1
  fi
  if [[ $found == 0 ]]; then
    echo "$2: NOT CAUGHT in $((SECONDS - started)) s"
  elif violation=$(grep -m 1 '^  violation: ' "$work/$2.log"); then
    touch "$work/$2.caught"
    echo "$2: caught in $((SECONDS - started)) s:${violation#  violation:}" | cut -c 1-240
  else
    cat "$work/$2.log"
    echo "$2: the test ended in another way"
  fi
}
export -f power_loss simulation
export -f try

for bug in "$@"; do
  for number in "${!all[@]}"; do
    [[ ${all[number]} != "$bug" ]] || printf '%s %s\n' "$number" "$bug"
  done
done >"$work/tries"
[[ $(wc -l <"$work/tries") == "$#" ]] || { echo "no such bug among: $*"; exit 2; }
wanted=$(grep -vc '^0 ' "$work/tries" || true)
# shellcheck disable=SC2016  # $0 and $1 are the inner shell's
xargs --max-args=2 --max-procs="$(nproc)" bash -c 'try "$0" "$1"' <"$work/tries"

caught=$(find "$work" -name '*.caught' | wc -l)
echo "caught $caught/$wanted"
[[ ! -e $work/found_without && $caught == "$wanted" && $wanted != 0 ]]
