#!/usr/bin/env python3
"""Prints a table of a benchmark's JSON output: name, ns, limit_ns, of_limit, then what other counters it has."""

import json
import sys

# What Google Benchmark says of each row beside its counters.
OWN_KEYS = {
    "cpu_time", "family_index", "iterations", "name", "per_family_instance_index", "real_time", "repetition_index",
    "repetitions", "run_name", "run_type", "threads", "time_unit",
}
COLUMNS = ("ns", "limit_ns", "of_limit")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    rows = json.loads(text)["benchmarks"] if text else []  # nothing where a filter leaves no benchmark
    for row in rows:
        name = row["name"].split("/iterations:")[0].removeprefix("BM_")
        columns = ["%9.2f" % row[key] if key in row else "        -" for key in COLUMNS]
        if "ns" not in row:
            columns[0] = "%9.2f" % row["real_time"]
        others = ["%s=%.4g" % (key, row[key]) for key in row if key not in OWN_KEYS and key not in COLUMNS]
        print("%-44s %s  %s" % (name, " ".join(columns), " ".join(others)))


if __name__ == "__main__":
    main()
