#!/usr/bin/env python3
"""Counts the test cases of one `bazel test` from its build events: prints `PASSED FAILED`.

usage: count_results.py EVENTS STATUS

EVENTS is what --build_event_json_file wrote, STATUS is Bazel's exit status. A case is one of a test's test.xml; skipped and
disabled ones are neither passed nor failed. A test that failed though all its cases passed (at exit, say), a target that
did not build, and a run that failed for no reason seen here count as one failure each.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree


def cases_of(uri):
    """(passed, failed) of one test.xml: the cases of its suites. None if it can't be read or has no suites."""
    try:
        suites = list(xml.etree.ElementTree.parse(urllib.parse.unquote(urllib.parse.urlparse(uri).path)).iter("testsuite"))
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    passed = failed = 0
    for suite in suites:
        count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped", "disabled")}
        bad = count["failures"] + count["errors"]
        passed += count["tests"] - bad - count["skipped"] - count["disabled"]
        failed += bad
    return (passed, failed) if suites else None


def result_of(result):
    """(passed, failed) of one run of one test; the test as one where it has no report."""
    ok = result.get("status") == "PASSED"
    counts = [cases_of(output["uri"]) for output in result.get("testActionOutput", []) if output["name"] == "test.xml"]
    counts = [count for count in counts if count is not None] or [(1, 0) if ok else (0, 1)]
    passed, failed = (sum(numbers) for numbers in zip(*counts))
    return passed, failed if ok else max(failed, 1)


def main():
    events_path, status = sys.argv[1], int(sys.argv[2])
    passed = failed = 0
    try:
        with open(events_path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.endswith("}\n")]
    except OSError:
        events = []
    for event in events:
        if "testResult" in event:
            more_passed, more_failed = result_of(event["testResult"])
            passed += more_passed
            failed += more_failed
        elif "targetCompleted" in event["id"] and not event.get("completed", {}).get("success"):
            failed += 1
    if status != 0 and failed == 0:
        failed = 1
    print(passed, failed)


if __name__ == "__main__":
    main()
