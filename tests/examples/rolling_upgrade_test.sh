#!/usr/bin/env bash
# A service is brought from version 1 to version 2 under load; and v1 refuses what v2 wrote.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"

expect_exit 0 "$PWD/$1"
expect_match "v2's start" "v2 follows: snapshot .*/journal/snapshots/.* of seq [0-9]+, [0-9]+ frame" "$output"
expect_match "the hand-over" "v1 stepped down, v2 leads: [0-9.]+ ms" "$output"
expect_match "v1's refusal" "v1 fails: FAILED_PRECONDITION: .*/journal/snapshots/.*version 2, written by a newer program" "$output"
expect_match "the end" $'\n[0-9]+ apples added one by one, and there are as many: nothing was lost[^\n]*$' "$output"
echo "passed"
