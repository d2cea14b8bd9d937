#!/usr/bin/env bash
# Sets examples/kv_server next to redis-server, by redis-benchmark: SET and GET, 50 clients, pipelines of 1 and 16.
#
#   bench/kv_server.sh             prints, for each row, both rates in commands per second, and the ratio
#   ROUNDS=5 bench/kv_server.sh    rounds; the rates are their medians
#   KV_BENCH_DIRECTORY=/mnt/ssd    where both have their files; else a new directory in $TMPDIR or /tmp
#   STANDBY=0                      leaves out the rows with a standby
#
# Rows are compared that promise the same of a command that was answered:
#   lasts after kill -9 of the process: --ack published, and `appendfsync everysec`, whose write(2) does that;
#   lasts after power loss:             --ack synced, and `appendfsync always`.
# `+ standby` has another process of each that follows the first one on the same machine. kv_server's has every command
# that was answered; Redis' may be without the last ones.
#
# Both servers of a row run at the same time, and are measured in turn, each first in every other round, so that a noisy
# machine is the same for both. BAZEL names another bazel, BAZEL_FLAGS are its startup flags.
set -euo pipefail
cd "$(dirname "$0")/.."

bazel=${BAZEL:-bazel}
rounds=${ROUNDS:-3}
keys=100000
for program in redis-server redis-benchmark redis-cli; do
  command -v "$program" >/dev/null || { echo "there is no $program: apt-get install redis-server redis-tools" >&2; exit 1; }
done

# shellcheck disable=SC2086
$bazel ${BAZEL_FLAGS:-} build -c opt --symlink_prefix=/ //examples/kv_server
# shellcheck disable=SC2086
kv_server=$($bazel ${BAZEL_FLAGS:-} info -c opt bazel-bin 2>/dev/null)/examples/kv_server/kv_server

work=$(mktemp -d "${KV_BENCH_DIRECTORY:-${TMPDIR:-/tmp}}/kv_bench_XXXXXX")
started=()
stop_all() {
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || continue
    wait "$pid" 2>/dev/null || true
  done
  started=()
}
trap 'stop_all; rm -rf "$work"' EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# run WORDS_TO COMMAND...
run() {
  "${@:2}" >"$1" 2>&1 </dev/null &
  started+=($!)
}

await_port() {
  for _ in {1..500}; do
    [[ $(redis-cli -p "$1" ping 2>/dev/null) == PONG ]] && return
    sleep 0.02
  done
  echo "nothing answers on port $1; its words:" >&2
  cat "$work"/*.log >&2
  exit 1
}

# start_pair ACK APPENDFSYNC STANDBY
start_pair() {
  kv_port=$(free_port)
  run "$work/kv.log" "$kv_server" --directory "$work/kv" --port "$kv_port" --ack "$1"
  await_port "$kv_port"
  redis_port=$(free_port)
  mkdir -p "$work/redis" "$work/redis2"
  local redis=(--bind 127.0.0.1 --save '' --appendonly yes --appendfsync "$2")
  run "$work/redis.log" redis-server --port "$redis_port" --dir "$work/redis" "${redis[@]}"
  await_port "$redis_port"
  if [[ $3 == 1 ]]; then
    run "$work/kv2.log" "$kv_server" --directory "$work/kv" --port "$kv_port" --ack "$1"
    local port
    port=$(free_port)
    run "$work/redis2.log" redis-server --port "$port" --dir "$work/redis2" "${redis[@]}" --replicaof 127.0.0.1 "$redis_port"
    await_port "$port"
    until redis-cli -p "$port" info replication | grep -q master_link_status:up; do sleep 0.02; done
  fi
}

# rate PORT TEST PIPELINE COMMANDS: commands per second
rate() {
  redis-benchmark -p "$1" -t "$2" -P "$3" -n "$4" -c 50 -r "$keys" --csv 2>/dev/null |
    awk -F '"' 'NR == 2 { print $4 }'
}

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) processors, kernel $(uname -r)"
echo "load: $(cut -d' ' -f1-3 /proc/loadavg); $(redis-server --version | cut -d' ' -f1-3); $rounds rounds; files in $(dirname "$work")"
format='%-28s %-4s %8s %14s %14s %8s\n'
# shellcheck disable=SC2059
printf "$format" 'lasts after' '' pipeline kv_server/s redis/s ratio

standbys=(0 1)
[[ ${STANDBY:-1} == 0 ]] && standbys=(0)
for stage in 'published everysec' 'synced always'; do
  for standby in "${standbys[@]}"; do
    read -r ack appendfsync <<<"$stage"
    rm -rf "$work"/kv "$work"/redis*
    start_pair "$ack" "$appendfsync" "$standby"
    name='kill -9'
    [[ $ack == published ]] || name='power loss'
    [[ $standby == 0 ]] || name+=' + standby'
    for test in set get; do
      for pipeline in 1 16; do
        commands=$((pipeline == 1 ? 100000 : 500000))
        : >"$work/kv.rates"
        : >"$work/redis.rates"
        for ((round = 0; round < rounds; ++round)); do
          order=(kv redis)
          ((round % 2 == 0)) || order=(redis kv)
          for which in "${order[@]}"; do
            port=${which}_port
            rate "${!port}" "$test" "$pipeline" "$commands" >>"$work/$which.rates"
          done
        done
        ours=$(median <"$work/kv.rates")
        theirs=$(median <"$work/redis.rates")
        # shellcheck disable=SC2059
        printf "$format" "$name" "$test" "$pipeline" "${ours%.*}" "${theirs%.*}" \
          "$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.2f", a / b }')"
      done
    done
    stop_all
  done
done
