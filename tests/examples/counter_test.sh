#!/usr/bin/env bash
# counter adds up, and its standby goes on with the same sum after kill -9.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
counter=$PWD/$1

expect_exit 0 "$counter" --help
expect_match "what --help says" "usage: counter DIRECTORY" "$output"
expect_exit 2 "$counter"
expect_exit 1 "$counter" /proc/no/such/place
expect_match "what it says of a bad directory" "^counter: .*/proc/no" "$output"

mkfifo "$TMPDIR/first.in" "$TMPDIR/second.in"
"$counter" "$TMPDIR/sum" <"$TMPDIR/first.in" >"$TMPDIR/first.out" 2>"$TMPDIR/first.err" &
first=$!
exec 3>"$TMPDIR/first.in"
await "the first to lead" grep -q 'primary: the sum is 0' "$TMPDIR/first.out"
"$counter" "$TMPDIR/sum" <"$TMPDIR/second.in" >"$TMPDIR/second.out" 2>&1 &
second=$!
exec 4>"$TMPDIR/second.in"
await "the second to stand by" grep -q 'standby' "$TMPDIR/second.out"
printf '40\nforty\n2\n' >&3
await "the sum" grep -qx 42 "$TMPDIR/first.out"
expect_match "what it says of no number" '"forty" is no number' "$(<"$TMPDIR/first.err")"
expect_equal "primaries in the standby" 0 "$(grep -c '^primary' "$TMPDIR/second.out")"

kill -9 "$first"
await "the standby to lead" grep -q 'primary: the sum is 42' "$TMPDIR/second.out"
echo -2 >&4
await "the sum after the takeover" grep -qx 40 "$TMPDIR/second.out"
exec 4>&-
wait "$second" || fail "the second exits with $?"
echo "passed"
