#!/bin/bash
# Runs the benchmarks and prints a table: each row's figure, its limit and their ratio.
#
#   bench/run.sh                      all of them, from the repository's root; some minutes on a quiet machine
#   bench/run.sh channel_write wake   some
#   bench/run.sh replication          those of journals and replicas
#   bench/run.sh peers                next to other stores; takes `./bazelw --install tools/dev/packages-bench.txt`
#   KEKBIT_BENCH_DIRECTORY=/mnt/ssd bench/run.sh channel_write     where the rows "on disk" lie
#
# BAZEL names another bazel, BAZEL_FLAGS are its startup flags (--output_base=...), KEKBIT_BENCH_FLAGS go to each
# benchmark (--benchmark_filter=...). The full output of each benchmark stays in $TMPDIR/kekbit_bench.out, or in $KEKBIT_BENCH_OUT.
set -euo pipefail
cd "$(dirname "$0")/.."

bazel=${BAZEL:-bazel}
out=${KEKBIT_BENCH_OUT:-${TMPDIR:-/tmp}/kekbit_bench.out}
channels=(channel_write channel_read channel_concurrent round_trip wake handlers crc32c codec)
replication=(replica journal segment group_commit replay takeover beside snapshot archive)
topics=()
for topic in "$@"; do
  if [ "$topic" = replication ]; then topics+=("${replication[@]}"); else topics+=("$topic"); fi
done
if [ ${#topics[@]} -eq 0 ]; then topics=("${channels[@]}" "${replication[@]}"); fi

mkdir -p "$out"
target_of() { [ "$1" = peers ] && echo "//bench/peers:peers_bench" || echo "//bench:$1_bench"; }
targets=()
for topic in "${topics[@]}"; do targets+=("$(target_of "$topic")"); done
# shellcheck disable=SC2086
$bazel ${BAZEL_FLAGS:-} build -c opt --symlink_prefix=/ "${targets[@]}"
# shellcheck disable=SC2086
bin=$($bazel ${BAZEL_FLAGS:-} info -c opt bazel-bin 2>/dev/null)

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) processors, kernel $(uname -r)"
for topic in "${topics[@]}"; do
  echo "load before $topic: $(cut -d' ' -f1-3 /proc/loadavg)"
  target=$(target_of "$topic")
  # shellcheck disable=SC2086
  "$bin/$(tr : / <<<"${target#//}")" --benchmark_format=json ${KEKBIT_BENCH_FLAGS:-} >"$out/$topic.json" 2>"$out/$topic.err" ||
    { echo "$topic failed:"; tail -5 "$out/$topic.err"; continue; }
  python3 bench/table.py "$out/$topic.json"
done
