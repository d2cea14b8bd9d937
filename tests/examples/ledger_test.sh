#!/usr/bin/env bash
# `ledger serve` as a user has it: answers, bad lines, standby, takeover, restart, input from a file.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
ledger=$PWD/$1
errors=$TMPDIR/errors

# serve NAME: with its input from ours; the journal NAME.
serve() { "$ledger" serve --directory "$TMPDIR/$1" --segment-bytes 65536 2>>"$errors"; }

# Answers in order, one a line. Seq 1 is the epoch's; a failed transfer is a command like any other, an error line not.
answers=$(printf '%s\n' 'open ada 100' 'open bob 20' 'transfer ada bob 30' 'balance ada' 'balance bob' \
  'transfer ada bob 1000' 'balance nobody' 'open ada 5' 'transfer ada bob 1' 'digest' | serve bank)
expect_equal "lines" 10 "$(wc -l <<<"$answers")"
expect_equal "the first answers" $'ok 2\nok 3\nok 4\nok 4 70\nok 4 50' "$(head -n 5 <<<"$answers")"
expect_equal "a transfer of too much" "error account ada has 70, less than 1000" "$(sed -n 6p <<<"$answers")"
expect_equal "an unknown account" "error there is no account nobody" "$(sed -n 7p <<<"$answers")"
expect_equal "an account that is there" "error account ada exists" "$(sed -n 8p <<<"$answers")"
expect_equal "after refused commands" "ok 7" "$(sed -n 9p <<<"$answers")"
expect_match "digest" '^ok 7 [0-9a-f]{16}$' "$(sed -n 10p <<<"$answers")"
expect_match "standard error" "primary on .*bank in epoch 1, at seq 1" "$(cat "$errors")"
expect_match "standard error" "opened .*bank: no snapshot, 0 frame" "$(cat "$errors")"
expect_match "standard error" "takeover: epoch 1 behind seq 0: " "$(cat "$errors")"
digest=$(sed -n 10p <<<"$answers")

# Restarted it has replayed everything; the new epoch took seq 8.
answers=$(printf 'digest\nbalance ada\n' | serve bank)
expect_equal "the restarted one" $'ok 8 '"${digest##* }"$'\nok 8 69' "$answers"

# Bad lines: an error with the line's number, and nothing is changed.
answers=$(printf '%s\n' 'nonsense' '' 'open' 'open eve' 'open eve 1x' 'open eve 99999999999999999999' 'transfer ada bob' \
  'open eve 1 1' 'balance' 'digest now' 'OPEN eve 1' $'\x01\xff' 'balance ada' | serve bank)
for line in {1..12}; do
  expect_match "the answer to line $line" "^error line $line: " "$(sed -n "${line}p" <<<"$answers")"
done
expect_equal "the answer behind them" "ok 9 69" "$(sed -n 13p <<<"$answers")"
expect_match "digest" "^ok 10 ${digest##* }$" "$(echo digest | serve bank)"

# CRLF, tabs and spaces; a last line without its end.
expect_equal "CRLF" $'ok 2\nok 3\nok 3 7' "$(printf 'open ada 7\r\n\t open \t bob  1 \r\nbalance ada\r' | serve crlf)"
expect_equal "no input" "" "$(serve crlf </dev/null)"

# A command too long for the journal, a line too long for any command: refused, and the next line counts on.
long=$(head -c 1000 /dev/zero | tr '\0' n)
answers=$({
  echo "open $long 1"
  head -c 3000000 /dev/zero | tr '\0' x
  printf '\nnonsense\nopen ada 1\n'
  head -c 2000000 /dev/zero | tr '\0' y
} | serve long)
expect_match "a long name" "^error .*command is longer than [0-9]+ bytes" "$(sed -n 1p <<<"$answers")"
expect_equal "a very long line" "error line 2: too long" "$(sed -n 2p <<<"$answers")"
expect_match "the line behind it" "^error line 3: " "$(sed -n 3p <<<"$answers")"
expect_equal "a good line" "ok 2" "$(sed -n 4p <<<"$answers")"
expect_equal "a very long last line" "error line 5: too long" "$(sed -n 5p <<<"$answers")"
expect_equal "answers" 5 "$(wc -l <<<"$answers")"

# From a file, also one of many thousand lines.
{
  echo 'open ada 1000000'
  echo 'open bob 0'
  for _ in {1..20000}; do echo 'transfer ada bob 3'; done
  echo 'balance bob'
} >"$TMPDIR/commands"
expect_exit 0 "$ledger" serve --directory "$TMPDIR/file" --segment-bytes 65536 --input "$TMPDIR/commands"
expect_match "the last answer" $'\nok 20003 60000$' "$output"
expect_equal "answers, and three lines on standard error" 20006 "$(wc -l <<<"$output")"
segments=("$TMPDIR"/file/segments/*/*)
((${#segments[@]} > 10)) || fail "only ${#segments[@]} segments"

# The standby says what it is, and takes over when the primary is killed; its input waits until then.
mkfifo "$TMPDIR/first" "$TMPDIR/second"
"$ledger" serve --directory "$TMPDIR/pair" <"$TMPDIR/first" >"$TMPDIR/first_out" 2>"$TMPDIR/first_errors" &
first=$!
exec 3>"$TMPDIR/first"
printf 'open ada 100\nopen bob 0\n' >&3
await "the first answers" grep -qs "ok 3" "$TMPDIR/first_out"
"$ledger" serve --directory "$TMPDIR/pair" <"$TMPDIR/second" >"$TMPDIR/second_out" 2>"$TMPDIR/second_errors" &
second=$!
exec 4>"$TMPDIR/second"
printf 'balance ada\n' >&4
await "the standby's word" grep -qs "standby on .*pair at seq 3, pid $second;" "$TMPDIR/second_errors"
expect_match "the primary's word" "primary on .*pair in epoch 1, at seq 1, pid $first"$'\n' "$(cat "$TMPDIR/first_errors")"$'\n'
printf 'transfer ada bob 40\n' >&3
await "the next answer" grep -qs "ok 4" "$TMPDIR/first_out"
expect_equal "what the standby has answered" "" "$(cat "$TMPDIR/second_out")"
kill -KILL $first
wait $first
await "the takeover" grep -qs "primary on .*pair in epoch 2, at seq 5, pid $second\$" "$TMPDIR/second_errors"
await "the answer" grep -qs "ok 5 60" "$TMPDIR/second_out"
printf 'transfer ada bob 1\nbalance bob\n' >&4
exec 4>&-
wait $second || fail "the second one exits with $?"
expect_equal "all that it answered" $'ok 5 60\nok 6\nok 6 41' "$(cat "$TMPDIR/second_out")"
exec 3>&-

# The primary hands over when it is told to, and has answered everything by then; what it is sent afterwards waits until it
# leads again. So does a signal.
mkfifo "$TMPDIR/third" "$TMPDIR/fourth"
"$ledger" serve --directory "$TMPDIR/hand" --ack synced <"$TMPDIR/third" >"$TMPDIR/third_out" 2>"$TMPDIR/third_errors" &
third=$!
exec 3>"$TMPDIR/third"
printf 'open ada 100\n' >&3
await "the first answer" grep -qs "ok 2" "$TMPDIR/third_out"
# Not to nobody, though.
printf 'step-down\nbalance ada\n' >&3
await "the balance" grep -qs "^ok 2 100" "$TMPDIR/third_out"
expect_match "its answers" "^ok 2.error .*there is no standby.*.ok 2 100$" "$(tr '\n' '~' <"$TMPDIR/third_out" | sed 's/~$//')"
"$ledger" serve --directory "$TMPDIR/hand" --ack synced <"$TMPDIR/fourth" >"$TMPDIR/fourth_out" \
  2>"$TMPDIR/fourth_errors" 3>&- &
fourth=$!
exec 4>"$TMPDIR/fourth"
await "the standby's word" grep -qs "standby on .*hand at seq 2" "$TMPDIR/fourth_errors"
printf 'open bob 0\nstep-down\ntransfer ada bob 1\n' >&3
await "the takeover" grep -qs "primary on .*hand in epoch 2, at seq 4" "$TMPDIR/fourth_errors"
await "the word of the one before" grep -qs "steps down on .*hand" "$TMPDIR/third_errors"
expect_equal "its answers" $'ok 3\nok 3' "$(tail -n 2 "$TMPDIR/third_out")"
printf 'transfer ada bob 10\n' >&4
await "the answer" grep -qs "ok 5" "$TMPDIR/fourth_out"
kill -USR1 $fourth
await "the answer of who leads again" grep -qs "ok 7" "$TMPDIR/third_out"
exec 3>&-
wait $third || fail "the third one exits with $?"
exec 4>&-
wait $fourth || fail "the fourth one exits with $?"
expect_equal "what it answered" "ok 5" "$(cat "$TMPDIR/fourth_out")"
expect_match "the balance" "^ok 9 89$" "$(echo 'balance ada' | serve hand)"

# With snapshots the journal is cut, and a start takes the newest one and what is behind it. Without a standby that takes
# them, the primary does, if it may.
{
  echo 'open ada 1000000'
  for _ in {1..3000}; do echo 'open ada 0'; done
} >"$TMPDIR/more"
mkfifo "$TMPDIR/snapping"
"$ledger" serve --directory "$TMPDIR/snap" --segment-bytes 65536 --snapshot-every 1000 --snapshot-on-primary \
  --compress-snapshots <"$TMPDIR/snapping" >"$TMPDIR/snap_out" 2>"$TMPDIR/snap_errors" &
snapping=$!
exec 3>"$TMPDIR/snapping"
cat "$TMPDIR/more" >&3
snapshots() { [[ $(find "$TMPDIR/snap/snapshots" -type f | wc -l) == "$1" ]]; }
await "the first snapshot" snapshots 1
cat "$TMPDIR/more" >&3
await "the second one" snapshots 2
exec 3>&-
wait $snapping || fail "it exits with $?: $(cat "$TMPDIR/snap_errors")"
expect_match "a start" "opened .*snap: snapshot .* of seq [0-9]+, [0-9]+ frame" \
  "$(serve snap </dev/null && tail -n 3 "$errors")"
expect_exit 2 "$ledger" serve --directory "$TMPDIR/snap" --ack maybe

# A damaged journal is refused, with the file's name.
printf 'x' | dd of="$TMPDIR/file/segments/0000_0000/0000_0003.kekbit" bs=1 seek=2000 conv=notrunc status=none
expect_exit 1 "$ledger" serve --directory "$TMPDIR/file"
expect_match "the error" "0000_0003.kekbit: at offset" "$output"

expect_exit 0 "$ledger" --help
expect_match help "serve" "$output"
expect_exit 0 "$ledger" serve --help
expect_match "help of serve" "open NAME AMOUNT, transfer FROM TO AMOUNT, balance NAME, digest" "$output"
expect_match "help of serve" "--directory" "$output"
[[ $("$ledger") ]] && fail "without a subcommand it says something on standard output"
"$ledger" serve </dev/null >/dev/null 2>&1 && fail "without a directory it exits with 0"
expect_exit 1 "$ledger" serve --directory "$TMPDIR/none" --input "$TMPDIR/no such file"
expect_match "the error" "No such file" "$output"
echo "passed"
