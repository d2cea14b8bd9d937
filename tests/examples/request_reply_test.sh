#!/usr/bin/env bash
# A client gets its answers, whoever starts first; it ends with an error if the server dies.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
request_reply=$PWD/$1

for first in serve call; do
  if [[ $first == serve ]]; then
    "$request_reply" serve 2>"$TMPDIR/server" &
    server=$!
    await "the server" grep -qs waiting "$TMPDIR/server"
    expect_exit 0 "$request_reply" call --count 1000
  else
    "$request_reply" call --count 1000 >"$TMPDIR/client" 2>&1 &
    client=$!
    await "the client" test -e "$TMPDIR/kekbit_examples/requests.kekbit"
    "$request_reply" serve 2>"$TMPDIR/server" &
    server=$!
    wait $client || fail "the client exits with $?: $(cat "$TMPDIR/client")"
    output=$(cat "$TMPDIR/client")
  fi
  expect_match "what the client says" '^1000 round trips: p50 [0-9.]+ us, p99 [0-9.]+ us$' "$output"
  wait $server || fail "the server exits with $?: $(cat "$TMPDIR/server")"
  expect_match "what the server says" "answered 1000 requests" "$(cat "$TMPDIR/server")"
done

# Ctrl-C ends a server that waits.
"$request_reply" serve --directory "$TMPDIR/other" 2>"$TMPDIR/server3" &
server=$!
await "the server" grep -qs waiting "$TMPDIR/server3"
kill -INT $server
wait $server || fail "the server exits with $? after SIGINT"

# A server that is stopped and killed while a client waits for its answer.
"$request_reply" serve --directory "$TMPDIR/other" 2>"$TMPDIR/server4" &
server=$!
await "the server" grep -qs waiting "$TMPDIR/server4"
kill -STOP $server
"$request_reply" call --directory "$TMPDIR/other" >"$TMPDIR/client" 2>&1 &
client=$!
await "the client" test -e "$TMPDIR/other/requests.wake"
# The client holds the replies once it has mapped them.
await "the client's mapping" grep -qs replies.kekbit "/proc/$client/maps"
kill -KILL $server
wait $server
wait $client
expect_equal "exit code of the client" 1 $?
expect_match "error of the client" "its writer died" "$(cat "$TMPDIR/client")"

expect_exit 0 "$request_reply" --help
expect_exit 2 "$request_reply"
expect_exit 2 "$request_reply" call --count 0
echo "passed"
