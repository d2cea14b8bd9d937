#!/usr/bin/env bash
# What is said to `echo in` comes out of `echo out`: afterwards, at the same time, and after a kill.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
echo=$PWD/$1
errors=$TMPDIR/errors

# Written, closed, then read; the default directory lies below TMPDIR. A line end is added to a last line without one.
printf 'hello\n\nw\xc3\xb6rld' | "$echo" in 2>"$errors" || fail "echo in: $(cat "$errors")"
expect_equal output $'hello\n\nwörld' "$("$echo" out)"
[[ -f $TMPDIR/kekbit_examples/0000_0000/0000_0001.kekbit ]] || fail "no channel in the default directory"

# A closed channel is replaced.
echo again | "$echo" in 2>"$errors" || fail "echo in: $(cat "$errors")"
expect_equal output again "$("$echo" out)"

# Live: the reader waits for the channel and sees each line as it is written. Ctrl-C closes the channel.
mkfifo "$TMPDIR/lines"
"$echo" out --directory "$TMPDIR/live" --channel 7 >"$TMPDIR/out" 2>"$errors" &
reader=$!
"$echo" in --directory "$TMPDIR/live" --channel 7 <"$TMPDIR/lines" 2>/dev/null &
writer=$!
exec 3>"$TMPDIR/lines"
echo one >&3
await "the first line" grep -qs one "$TMPDIR/out"
expect_exit 1 "$echo" in --directory "$TMPDIR/live" --channel 7
expect_match "the error of a second writer" "another process is writing" "$output"
echo two >&3
await "the second line" grep -qs two "$TMPDIR/out"
kill -INT $writer
wait $writer || fail "echo in exits with $? after SIGINT"
wait $reader || fail "echo out exits with $? after the close: $(cat "$errors")"
expect_equal "what was read" $'one\ntwo' "$(cat "$TMPDIR/out")"
exec 3>&-

# A writer that is killed: what it wrote is read, and the reader says so.
"$echo" in --directory "$TMPDIR/killed" <"$TMPDIR/lines" 2>/dev/null &
writer=$!
exec 3>"$TMPDIR/lines"
echo last words >&3
"$echo" out --directory "$TMPDIR/killed" >"$TMPDIR/killed_out" 2>"$errors" &
reader=$!
await "the line" grep -qs "last words" "$TMPDIR/killed_out"
kill -KILL $writer
wait $writer
wait $reader
expect_equal "exit code of the reader" 1 $?
expect_match "error of the reader" "the writer is gone" "$(cat "$errors")"
exec 3>&-

# Ctrl-C ends a reader that waits.
"$echo" in --directory "$TMPDIR/quiet" <"$TMPDIR/lines" 2>/dev/null &
writer=$!
exec 3>"$TMPDIR/lines"
echo something >&3
"$echo" out --directory "$TMPDIR/quiet" >"$TMPDIR/quiet_out" 2>"$errors" &
reader=$!
await "the line" grep -qs something "$TMPDIR/quiet_out"
kill -INT $reader
wait $reader || fail "echo out exits with $? after SIGINT"
exec 3>&-
wait $writer || fail "echo in exits with $? at the end of its input"

expect_exit 0 "$echo" --help
expect_match help "Subcommands" "$output"
expect_exit 2 "$echo"
expect_exit 2 "$echo" in --nonsense
expect_exit 1 "$echo" out --directory "$TMPDIR/nowhere" --wait 0
expect_match error "nowhere.*No such file" "$output"
echo "passed"
