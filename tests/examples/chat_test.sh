#!/usr/bin/env bash
# Two people talk, one leaves and comes back, one is killed.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
chat=$PWD/$1

mkfifo "$TMPDIR/alice_says" "$TMPDIR/bob_says"
"$chat" alice bob <"$TMPDIR/alice_says" >"$TMPDIR/alice" 2>&1 &
alice=$!
exec 3>"$TMPDIR/alice_says"
"$chat" bob alice <"$TMPDIR/bob_says" >"$TMPDIR/bob" 2>&1 &
bob=$!
exec 4>"$TMPDIR/bob_says"
await "alice to see bob" grep -qs "bob is here" "$TMPDIR/alice"
await "bob to see alice" grep -qs "alice is here" "$TMPDIR/bob"
echo "hello bob" >&3
await "bob to hear alice" grep -qsx "alice: hello bob" "$TMPDIR/bob"
echo "hello alice" >&4
await "alice to hear bob" grep -qsx "bob: hello alice" "$TMPDIR/alice"

# The name is taken while bob lives.
expect_exit 1 "$chat" bob alice
expect_match error "another process is writing" "$output"

# Ctrl-C closes bob's channel.
kill -INT $bob
wait $bob || fail "chat exits with $? after SIGINT"
exec 4>&-
await "alice to see bob leave" grep -qs "bob left" "$TMPDIR/alice"
[[ $(grep -c "bob left" "$TMPDIR/alice") == 1 ]] || fail "bob leaves alice more than once"

# Bob comes back and hears what alice said before.
"$chat" bob alice <"$TMPDIR/bob_says" >"$TMPDIR/bob_again" 2>&1 &
bob=$!
exec 4>"$TMPDIR/bob_says"
await "bob to hear alice" grep -qsx "alice: hello bob" "$TMPDIR/bob_again"
echo "here again" >&4
await "alice to hear bob" grep -qsx "bob: here again" "$TMPDIR/alice"

# A death is told from a farewell.
kill -KILL $bob
wait $bob
exec 4>&-
await "alice to miss bob" grep -qs "bob is gone" "$TMPDIR/alice"

# The end of alice's input.
exec 3>&-
wait $alice || fail "chat exits with $? at the end of its input"

expect_exit 0 "$chat" --help
expect_match help "Positionals" "$output"
expect_exit 2 "$chat" alice
expect_exit 2 "$chat" ../alice bob
echo "passed"
