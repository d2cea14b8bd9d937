#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy has the checks) over every .cc file of the repository but the tests, which take it most of
# an hour, and the benchmarks, or over those given.
#
#   tools/dev/clang_tidy.sh                    all but tests/ and bench/
#   tools/dev/clang_tidy.sh kekbit/header.cc   these
#
# All libraries are on the compiler's own path, so fixed flags do: there is no compilation database to make first.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ $# == 0 ]]; then
  # The embedding example is a workspace of its own.
  mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.cc' ':!examples/embedding' ':!tests' ':!bench' | sort)
  set -- "${files[@]}"
fi

# Headers as users name them: kekbit/codecs/..., kekbit/replication/...
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/kekbit"
ln -s "$PWD"/kekbit/* "$PWD/codecs" "$PWD/replication" "$work/kekbit/"
export work

# shellcheck disable=SC2016  # $1 and $report are of the inner shell
printf '%s\0' "$@" | xargs --null --max-args=1 --max-procs="$(nproc)" sh -c '
  report=$(clang-tidy --quiet "$1" -- -std=c++20 -I. -I"$work" -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wthread-safety 2>&1) || { printf "%s\n" "$report"; exit 1; }
' sh
