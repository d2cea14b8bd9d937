#!/usr/bin/env bash
# What the programs make of their arguments: relative paths under `bazel run`, numbers that can't be, help.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
kekbit=$PWD/$1
ledger=$PWD/$2
echo=$PWD/$3
kv_server=$PWD/$4
inventory=$PWD/$5

# `bazel run` starts a program elsewhere, and says where its caller is.
mkdir "$TMPDIR/caller" "$TMPDIR/runfiles"
cd "$TMPDIR/runfiles" || exit 1
export BUILD_WORKING_DIRECTORY=$TMPDIR/caller
expect_exit 0 "$ledger" serve --directory rel
expect_exit 3 "$kekbit" stat ./rel # nobody leads
expect_match "the journal that is shown" '\./rel' "$output"
expect_exit 0 "$kekbit" verify rel
expect_exit 1 "$kv_server" --directory kv --digest
expect_match "the digest of no journal" 'kv: there is no journal' "$output"
expect_exit 0 "$echo" in --directory channels
expect_exit 0 "$inventory" serve --directory inventory
expect_equal "what the caller has" "channels inventory rel" "$(cd "$BUILD_WORKING_DIRECTORY" && echo *)"
expect_equal "what is elsewhere" "" "$(ls -A)"
# One that is gone is no reason to stop where the path is absolute.
BUILD_WORKING_DIRECTORY=$TMPDIR/nowhere expect_exit 0 "$kekbit" verify "$TMPDIR/caller/rel"
unset BUILD_WORKING_DIRECTORY
expect_exit 2 "$kekbit" stat ./rel

# Numbers below zero are none of an unsigned option's.
for arguments in "$ledger serve -d $TMPDIR/new --snapshot-every -1" \
                 "$inventory serve -d $TMPDIR/new --snapshot-every -1" \
                 "$kv_server -d $TMPDIR/new --digest --snapshot-every -1" \
                 "$kv_server -d $TMPDIR/new --digest --max-output-bytes -5" \
                 "$kv_server -d $TMPDIR/new --digest --kill-hung-after -1" \
                 "$kv_server -d $TMPDIR/new --digest --port-timeout -1" \
                 "$echo in -d $TMPDIR/new --channel -1"; do
  # shellcheck disable=SC2086 # they are words
  output=$($arguments 2>&1 </dev/null) && fail "'$arguments' is taken: $output"
  expect_match "the answer to '$arguments'" '^--[a-z-]+: ' "$output"
done
# What is no number is named, and not all that there are.
for option in --snapshot-every --max-output-bytes --kill-hung-after --port-timeout; do
  expect_exit 2 "$kv_server" -d "$TMPDIR/new" "$option" x
  expect_match "the answer to $option" "^$option: \"x\" is not a number (of seconds )?from 0 up" "$output"
done
expect_exit 2 "$kv_server" -d "$TMPDIR/new" --port 99999
expect_match "the answer to a port" '^--port: .*range 1 to 65535' "$output"
expect_exit 2 "$ledger" serve -d "$TMPDIR/new" --snapshot-every x
expect_match "the answer to --snapshot-every" '^--snapshot-every: "x" is not a number from 0 up' "$output"
for arguments in "" "serv -d $TMPDIR/new"; do
  # shellcheck disable=SC2086 # they are words
  expect_exit 2 "$ledger" $arguments
  expect_match "the answer to 'ledger $arguments'" '^ledger: say what it is to do: ledger serve ' "$output"
done
[[ ! -e $TMPDIR/new ]] || fail "something was made"

# A stage has a name.
for program in "$ledger serve" "$kv_server"; do
  # shellcheck disable=SC2086 # they are words
  expect_exit 2 $program -d "$TMPDIR/new" --ack 1
  expect_match "the answer of '$program'" 'not in \{published,synced\}' "$output"
  # shellcheck disable=SC2086
  expect_exit 0 $program --help
  expect_match "the help of '$program'" 'STAGE:\{published,synced\}=published' "$output"
  [[ $output != *ENUM* ]] || fail "the help of '$program' speaks of an ENUM"
done

# Durations have three digits.
printf 'open a 1\n' | "$ledger" serve --directory "$TMPDIR/ledger" >/dev/null 2>"$TMPDIR/said"
expect_match "what the ledger says" 'takeover: epoch 1 behind seq 0: [0-9.]{1,4} (s|ms|us) \(lease 0, drained [0-9.]{1,4} [mu]s, ' \
  "$(cat "$TMPDIR/said")"
expect_match "what the ledger says" 'no snapshot, 0 frame\(s\) replayed in [0-9.]{1,4} (s|ms|us)'$'\n' "$(cat "$TMPDIR/said")"

# Why a replica stops is said once.
mkfifo "$TMPDIR/lines"
"$ledger" serve --directory "$TMPDIR/moved" <"$TMPDIR/lines" >/dev/null 2>"$TMPDIR/said" &
primary=$!
exec 3>"$TMPDIR/lines"
await "the primary" grep -q "primary on" "$TMPDIR/said"
mv "$TMPDIR/moved" "$TMPDIR/elsewhere"
await "the stop" grep -q "the replica stops" "$TMPDIR/said"
echo "open a 1" >&3
exec 3>&-
wait $primary && fail "a replica that stopped exits with 0"
expect_equal "how often it says why" 1 "$(grep -c "was moved, replaced or deleted" "$TMPDIR/said")"
