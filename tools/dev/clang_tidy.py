#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy has the checks) over every .cc file of the repository but the tests, which take it most of
an hour, and the benchmarks, or over those given.

  tools/dev/clang_tidy.py                    all but tests/ and bench/
  tools/dev/clang_tidy.py kekbit/header.cc   these

clang-tidy looks at all that a file includes, which takes most of its time. So the files of a directory are given to it
together, as one unit that includes them. Those that can't stand behind the others (a second main(), a name twice) are the
directory's next unit.

All libraries are on the compiler's own path, so fixed flags do: there is no compilation database to make first.
"""

import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Wthread-safety", "-I."]
# The embedding example is a workspace of its own.
NOT_BY_ITSELF = ["examples/embedding", "tests", "bench"]
# As in .bazelrc: in large pages there are fewer page faults.
ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def run(*command):
  return subprocess.run(
    command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
  )


def all_files():
  listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.cc", *(f":!{d}" for d in NOT_BY_ITSELF))
  return sorted(listed.stdout.split())


def write_unit(unit, files):
  unit.write_text("".join(f'#include "{f}"  // NOLINT(bugprone-suspicious-include)\n' for f in files))


def in_the_way(unit, flags):
  """The files that can't stand behind those which the unit includes before them; not all of them at once."""
  said = run("clang++", "-fsyntax-only", "-w", "-ferror-limit=0", *flags, str(unit)).stdout
  return set(re.findall(r"^(?:\./)?([^:\n]*\.cc):[0-9:]* error: ", said, re.MULTILINE))


def look_at(files, unit, flags):
  """Runs clang-tidy over files of one directory. Returns what it found, nothing if all is well."""
  found = ""
  while files:
    together = files
    write_unit(unit, together)
    # The first one, if it does not compile, does not by itself.
    while len(together) > 1 and (others := in_the_way(unit, flags) & set(together[1:])):
      together = [f for f in together if f not in others]
      write_unit(unit, together)
    tidied = run("clang-tidy", "--quiet", "--config-file=.clang-tidy", str(unit), "--", *flags)
    if tidied.returncode != 0:
      found += tidied.stdout
    files = [f for f in files if f not in together]
  return found


def main():
  rooms = collections.defaultdict(list)
  for file in sys.argv[1:] or all_files():
    rooms[os.path.dirname(file)].append(file)
  if not rooms:
    sys.exit("clang_tidy.py: no files")
  with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    # Headers as users name them: kekbit/codecs/..., kekbit/replication/...
    names = pathlib.Path(work, "kekbit")
    names.mkdir()
    for there in [*(ROOT / "kekbit").iterdir(), ROOT / "codecs", ROOT / "replication"]:
      (names / there.name).symlink_to(there)
    units = pathlib.Path(work, "units")
    units.mkdir()
    looks = [
      pool.submit(look_at, files, units / (room.replace("/", "_") + ".cc"), [*FLAGS, f"-I{work}"])
      for room, files in sorted(rooms.items(), key=lambda item: -len(item[1]))
    ]
    found = [look.result() for look in looks]
  sys.stdout.write("".join(found))
  return 1 if any(found) else 0


if __name__ == "__main__":
  sys.exit(main())
