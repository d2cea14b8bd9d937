# Checks for the shell tests of the examples. To be sourced.
# shellcheck shell=bash

set -uo pipefail

# A directory of this test's own, also where the program puts its channels by default.
TMPDIR=$(mktemp -d "${TEST_TMPDIR:-/tmp}/XXXXXX")
export TMPDIR
cd "${TEST_SRCDIR:-.}/${TEST_WORKSPACE:-.}" || exit 1

fail() {
  echo "FAILED at line ${BASH_LINENO[1]}: $*" >&2
  exit 1
}

# expect_equal WHAT EXPECTED ACTUAL
expect_equal() {
  [[ $2 == "$3" ]] || fail "$1 is '$3', not '$2'"
}

# expect_match WHAT REGULAR_EXPRESSION ACTUAL
expect_match() {
  [[ $3 =~ $2 ]] || fail "$1 is '$3', which does not match '$2'"
}

# expect_exit CODE COMMAND...: runs it; its output, errors included, is then in $output.
expect_exit() {
  local code=$1
  shift
  output=$("$@" 2>&1 </dev/null)
  local actual=$?
  [[ $actual == "$code" ]] || fail "'$*' exits with $actual, not $code; it says: $output"
}

# await WHAT COMMAND...: until the command succeeds.
await() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "waited in vain for $what"
    sleep 0.01
  done
}
