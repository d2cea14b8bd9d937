#!/usr/bin/env bash
# failover_demo exits with 0; and not with 0 when what it looks for is there: a lost command, a damaged journal.

# shellcheck source=tests/examples/shell_checks.sh
source "$(dirname "$0")/shell_checks.sh"
demo=$PWD/$1
ledger=$PWD/$2
export ledger

expect_exit 0 "$demo" --commands 20000
expect_match "what it says" "nothing acknowledged was lost" "$output"
expect_match "what it says" "killing the primary.*killing the primary" "${output//$'\n'/ }"

expect_exit 0 "$demo" --commands 3000 --kills 3 --directory "$TMPDIR/kept" --ledger "$ledger"
[[ -f $TMPDIR/kept/epoch ]] || fail "the journal in the directory given is not kept"
expect_exit 2 "$demo" --directory "$TMPDIR/kept"

# A ledger that answers each 300th command without doing it: the seq that it tells is that of the next one.
cat >"$TMPDIR/liar" <<'END'
#!/usr/bin/env bash
coproc real { exec "$ledger" "$@"; }
lines=0 seq=1
while read -r line; do
  if ((++lines % 300 == 0)); then
    echo "ok $((seq + 1))"
  else
    echo "$line" >&"${real[1]}"
    read -r ok seq rest <&"${real[0]}" || exit 1
    echo "$ok $seq${rest:+ $rest}"
  fi
done
END
# A ledger that, the third time that it is started, finds a byte of the journal changed.
cat >"$TMPDIR/damager" <<'END'
#!/usr/bin/env bash
echo >>"$TMPDIR/starts"
if (($(wc -l <"$TMPDIR/starts") == 3)); then
  printf 'x' | dd of="$3/segments/0000_0000/0000_0001.kekbit" bs=1 seek=9000 conv=notrunc status=none
fi
exec "$ledger" "$@"
END
chmod +x "$TMPDIR/liar" "$TMPDIR/damager"

expect_exit 1 "$demo" --commands 1000 --ledger "$TMPDIR/liar" --directory "$TMPDIR/lied"
expect_match "what it says" "FAILED: .*(acknowledged was|was acknowledged|instead of|never sent)" "$output"
expect_exit 1 "$demo" --commands 1000 --ledger "$TMPDIR/damager" --directory "$TMPDIR/damaged"
expect_match "what it says" "FAILED: " "$output"
expect_exit 1 "$demo" --commands 1000 --ledger /bin/true --directory "$TMPDIR/nothing"
expect_exit 1 "$demo" --commands 1000 --ledger "$TMPDIR/no such program" --directory "$TMPDIR/missing"
expect_match "what it says" "FAILED: .*no such program" "$output"
echo "passed"
