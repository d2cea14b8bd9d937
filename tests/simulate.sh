#!/usr/bin/env bash
# Runs many schedules of the simulator of several replicas: see tests/scenarios/simulation.h.
#
#   tests/simulate.sh SCHEDULES [SEED]     so many, from this seed on: tests/simulate.sh 1000000
#   tests/simulate.sh TIME [SEED]          for so long: 90s, 30m, 8h
#
# One process a processor, each with a part of the seeds, without SEED from the day's on. A line of progress now and
# then; the last line is `simulated: ...`, the sum of all. Exits with 0 only if nothing was found. For a schedule in
# which something was, it prints what, what happened before, and the command that repeats it.
#   BAZEL        what builds: ./bazelw
#   BAZEL_FLAGS  for it, before its command
#   JOBS         processes; the number of processors
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  '') usage >&2; exit 2 ;;
esac

schedules=1000000000 seconds=0
case $1 in
  *[!0-9smh]*) usage >&2; exit 2 ;;
  *s) seconds=${1%s} ;;
  *m) seconds=$((${1%m} * 60)) ;;
  *h) seconds=$((${1%h} * 3600)) ;;
  *) schedules=$1 ;;
esac
seed=${2:-$(date -u +%Y%m%d)000000}
jobs=${JOBS:-$(nproc)}
bazel=${BAZEL:-./bazelw}
read -ra bazel_flags <<<"${BAZEL_FLAGS:-}"
target=//tests/scenarios:replica_simulation_test
binary="bazel-bin/tests/scenarios/replica_simulation_test"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bazel" "${bazel_flags[@]}" build --config=quiet -c opt "$target" >"$work/build" 2>&1 || { cat "$work/build"; exit 1; }

# What is freed is used again, and not given back to the system: taking it anew is a third of the time.
export MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=2000000000 MALLOC_TOP_PAD_=67108864

started=$SECONDS
each=$(((schedules + jobs - 1) / jobs))
pids=()
for ((job = 0; job < jobs; ++job)); do
  KEKBIT_SIMULATION_SEED=$((seed + job * each)) KEKBIT_SIMULATION_SCHEDULES=$each \
    KEKBIT_SIMULATION_SECONDS=$((seconds == 0 ? 1000000000 : seconds)) KEKBIT_SIMULATION_PROGRESS=10000 \
    "$binary" --gtest_filter='*.ManySchedules' >"$work/$job" 2>&1 &
  pids+=($!)
done
# Lines of progress while it runs, with the number of the process.
tail -q -n +1 -f --pid="${pids[0]}" "$work"/[0-9]* 2>/dev/null | grep --line-buffered ' schedules, .* with violations, ' &
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
sleep 1.2 # the last lines of progress

for ((job = 0; job < jobs; ++job)); do
  grep -q '^seeds .* violations, digest ' "$work/$job" || { cat "$work/$job"; failed=1; }
  ! grep -q '^  violation: ' "$work/$job" || sed -n '/^  violation: /,$p' "$work/$job"
done
# The kinds of things that happened, and of faults, all processes together.
awk -F': ' '/^  [a-z].*: [0-9]+$/ { n = $NF; sub(/: [0-9]+$/, ""); count[$0] += n } END { for (kind in count) print kind ": " count[kind] }' \
  "$work"/[0-9]* | sort
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
awk -v seed="$seed" -v commit="$commit" -v took=$((SECONDS - started)) '
  /^seeds .* violations, digest / {
    for (i = 1; i < NF; ++i) {
      word = $(i + 1); sub(/,$/, "", word)
      if (word ~ /^(schedules|steps|calls|commands|images|recoveries|violations)$/) sum[word] += $i
    }
  }
  /^  fault: / { faults += $NF }
  END {
    printf "simulated: seed %s, commit %s, %d schedules, %d steps, %d calls, %d commands, %d faults, %d images, ",
      seed, commit, sum["schedules"], sum["steps"], sum["calls"], sum["commands"], faults, sum["images"]
    printf "%d recoveries, %d violations, %d s\n", sum["recoveries"], sum["violations"], took
  }' "$work"/[0-9]*
exit "$failed"
