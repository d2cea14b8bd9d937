#!/usr/bin/env python3
"""Checks what the style of this repository promises and no compiler does: sizes, include layers, names of guards.

Checks every .h and .cc file below the root and prints one line for each finding, `path:line: [rule] what`. The layers are
the tables at the top of this script: a new file of kekbit/ or replication/ takes a word there.

  tools/dev/tidy.py               checks this repository
  tools/dev/tidy.py --root DIR    checks another tree
  tools/dev/tidy.py --self-test   plants a violation of each rule in a temporary tree and sees it reported
"""

import argparse
import os
import re
import sys
import tempfile

# --- The tables. -----------------------------------------------------------------------------------------------------

# Which directories the files of a directory may include from; the longest match counts. A directory always sees itself.
# The layers of replication/: values < journal, lease < snapshot, retention < recovery, apply < stats < core < doors.
BASE = ["kekbit/base"]
CHANNELS = BASE + ["kekbit"]
JOURNAL = CHANNELS + ["replication/testing", "replication/journal"]
RECOVERY = JOURNAL + ["replication/lease", "replication/snapshot", "replication/retention", "replication/recovery"]
STATS = RECOVERY + ["replication/apply", "replication/stats"]
EVERYTHING_BUT_TESTS = STATS + ["codecs", "codecs/cereal", "replication", "replication/core", "replication/archive"]
MAY_INCLUDE = {
    "kekbit/base": [],
    "kekbit": BASE,
    "codecs": CHANNELS,
    "codecs/cereal": CHANNELS + ["codecs"],
    "replication": EVERYTHING_BUT_TESTS,
    "replication/testing": BASE,
    "replication/journal": JOURNAL,
    "replication/lease": CHANNELS + ["replication/testing"],
    "replication/snapshot": JOURNAL,
    "replication/retention": JOURNAL,
    "replication/recovery": RECOVERY,
    "replication/apply": RECOVERY,
    "replication/stats": STATS,
    "replication/core": STATS + ["replication/archive"],
    "replication/archive": RECOVERY + ["replication/archive"],
    "examples": EVERYTHING_BUT_TESTS,
    "tools": EVERYTHING_BUT_TESTS,
    "bench": EVERYTHING_BUT_TESTS + ["tests/support", "examples"],
    "tests": EVERYTHING_BUT_TESTS + ["tests", "tests/support", "examples", "tools", "bench"],
    "tests/support": EVERYTHING_BUT_TESTS,
    "third_party": [],
}

# Values of replication/ that every room may include, besides its own directory's table.
VALUES = {"position", "recovery_report", "role", "takeover_report"}
# What else a room may include of the front door: (pattern of the includer, names).
DOOR_FOR = [
    (r"replication/(apply|core|stats)/.*", {"apply_context", "replica_options"}),
]

# The journal carries bytes: of replication/, only the front door and apply/ know codecs.
SEES_CODECS = r"replication/(\w+\.(h|cc)|apply/.*)"

# The layers inside a directory, lowest first: a file (.h and .cc alike) includes from lower rows only.
ROWS = {
    "kekbit/base": [
        "asymmetric_fence backoff bytes callers_directory check clock duration_text errno_code file_system_types futex shared_word start_thread status_macros type_name",
        "byte_stream crc32c file_system fork_guard fork_mark logger stop_event",
        "file_lock free_space posix_calls posix_fork_mark",
        "lock_holder posix_mapped_file",
        "posix_file_system",
    ],
    "kekbit": [
        "channel_format tick_unit version",
        "extension header page_toucher wake_event",
        "channel_file channel_seal",
        "channel_scan shm_reader shm_writer",
        "blocking_reader record_handlers retrying_reader shared_writer timeout_reader",
    ],
    "replication": [
        "position role",
        "recovery_report takeover_report",
        "replica_options",
        "apply_context",
        "state_archive",
        "state_machine",
        "journal_view registered_reader",
        "replica",
    ],
    "replication/testing": ["invariants planted_bugs"],
    "replication/journal": [
        "directories_above frame journal_time robust_word segment_size state_name",
        "journal_clock journal_layout",
        "epoch_store kept_segments segment_scan sync_mark",
        "segment_sync",
        "group_commit segment_preparer",
        "journal_reader journal_writer",
        "seek",
    ],
    "replication/lease": ["process_watch", "holder_silence lease", "lease_obstacle"],
    "replication/snapshot": [
        "snapshot_compressor snapshot_policy snapshot_format",
        "snapshot_scan snapshot_stream",
        "snapshot_flusher snapshot_reader",
        "snapshot_writer",
        "snapshot_store",
    ],
    "replication/retention": ["retention", "reader_cursor", "apply_retention"],
    "replication/recovery": [
        "repair_hint without_files",
        "journal_files",
        "aside give_back tail_verdict missing_segments",
        "start tail_scan",
        "journal_tail",
        "journal_base recovery",
        "repair_plan",
    ],
    "replication/apply": ["command_check"],
    "replication/archive": [
        "object_store s3_location",
        "directory_store manifest s3_answer",
        "archive_index archive_retention archived_snapshot frames_object incarnation restore_plan",
        "merge_plan restore_pin restored_segments s3_store",
        "archiver open_store restore",
        "verify_archive",
    ],
    "replication/stats": ["histogram versioned_words", "replica_stats_words", "stats_files", "replica_stats", "replica_facts"],
    "replication/core": [
        "failover reign state_hooks",
        "environment",
        "role_board",
        "standing",
        "archive_copier follower lease_watch snapshot_taker",
        "replica_core",
        "replica_loop replica_takeover",
    ],
}

# What files of one row may include of each other all the same: (includer, included), without suffix; * is any.
ROW_SIBLINGS = {
    ("kekbit/base/*", "kekbit/base/check"),
}

# Decisions: files that know no clock, no file and no thread. They include nothing of these.
PURE = r"replication/(core/failover|journal/(journal_time|segment_size)|lease/holder_silence|retention/retention|recovery/tail_verdict|snapshot/snapshot_policy|archive/(merge_plan|restore_plan|archive_retention))\.(h|cc)"
IMPURE = r"kekbit/base/(clock|file_system|file_lock|futex|start_thread|stop_event)\.h|absl/(time/clock|synchronization/.*)\.h|thread"

# Headers that are included in some places only: pattern of the include, pattern of the paths.
ONLY_IN = [
    (r"<sys/mman\.h>", r"(.*/)?posix_\w+\.cc|(tests|bench)/.*"),
    (r"<cereal/", r"codecs/cereal/\w+\.h|(tests|examples|bench)/.*"),
    (r"<zstd", r"replication/snapshot/snapshot_compressor\.cc|tests/.*"),
    (r"<CLI/", r"(tools|examples|tests)/.*"),
    (r"[<\"](gtest|gmock)/", r"tests/.*|examples/embedding/.*"),
    (r"[<\"]benchmark/", r"bench/.*"),
]

# The only place of the project that names a memory order; tests may.
MEMORY_ORDERS_IN = r"kekbit/base/shared_word\.h|tests/.*"

# A workspace of its own: its paths begin there, and its names are not kekbit's.
EMBEDDING = "examples/embedding/"

LINES_MAX = 400
TEST_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 120

# --- Reading C++. ----------------------------------------------------------------------------------------------------

TOKEN_TO_BLANK = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"][^>"]+[>"])', re.M)


def blank(match):
    """What stands for a comment or a literal: as many lines, nothing in them."""
    return re.sub(r"[^\n]", " ", match.group(0))


class Source:
    """One file: its path below the root, its text, and its code, which is the text without comments and literals."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.splitlines()
        self.code = TOKEN_TO_BLANK.sub(blank, text)
        self.includes = [(self.line_of(m.start(1)), m.group(1)) for m in INCLUDE.finditer(text)]

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def find(self, pattern, text=None):
        """Yields (line, match) of every match in the code, or in `text`, which has the same lines."""
        for match in re.finditer(pattern, self.code if text is None else text):
            yield self.line_of(match.start()), match

    @property
    def stem(self):
        return os.path.splitext(self.path)[0]

    @property
    def is_header(self):
        return self.path.endswith(".h")

    @property
    def is_test(self):
        return self.path.startswith("tests/") or self.path.endswith("_test.cc")


def kind_of_block(head, outer, parentheses):
    """What the '{' after `head` opens: 'scope', 'function', 'value' (an initializer amid a declaration) or 'block'."""
    if outer in ("function", "block"):
        return "block"
    if parentheses > 0 or re.search(r"\brequires\s*(\([^()]*\))?\s*$", head):
        return "value"
    if re.search(r"^\s*(inline\s+)?namespace\b|^\s*extern\s*$", head):
        return "scope"
    if re.search(r"(?<!=)=(?!=)(?![^<]*>)\s*[\w:<>,\s]*$", head) and "operator" not in head:
        return "value"
    if re.search(r"\)\s*(noexcept\s*)?:[^:]", head) and re.search(r"[\w>]\s*$", head):
        return "value"  # a member's initializer: the function's own brace is still to come
    if "(" in re.sub(r"\b(alignas|__attribute__|ABSL_\w+)\s*\([^()]*\)", "", head):
        return "function"
    if re.search(r"\b(class|struct|union|enum)\b", head):
        return "scope"
    return "value"


def functions(code):
    """Yields (offset of the first line, offset of the closing brace) of each function that stands outside of functions."""
    code = DIRECTIVE.sub(blank, code)
    outer = [("scope", 0)]
    head_start = 0
    parentheses = 0
    for match in re.finditer(r"[;{}()]|\b(?:public|private|protected)\s*:(?!:)", code):
        token, at = match.group(0), match.start()
        kind, start = outer[-1]
        if token == "(":
            parentheses += 1
        elif token == ")":
            parentheses -= 1
        elif token == "{":
            head = code[head_start:at]
            opened = kind_of_block(head, kind, parentheses)
            outer.append((opened, head_start + len(head) - len(head.lstrip())))
            if opened != "value":
                head_start = match.end()
        elif token == "}":
            if kind == "function":
                yield start, at
            if len(outer) > 1:
                outer.pop()
            if kind != "value":
                head_start = match.end()
        elif parentheses == 0 and kind != "value":
            head_start = match.end()


# --- The rules: each yields (line, rule, what). ----------------------------------------------------------------------


def check_sizes(source):
    most = TEST_LINES_MAX if source.is_test else LINES_MAX
    if len(source.lines) > most:
        yield len(source.lines), "file-length", f"{len(source.lines)} lines, more than {most}: split it by concept"
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS_MAX:
            yield number, "line-length", f"{len(line)} columns, more than {COLUMNS_MAX}"
    for start, end in functions(source.code):
        length = source.code.count("\n", start, end) + 1
        if length > FUNCTION_LINES_MAX:
            yield source.line_of(start), "function-length", f"{length} lines, more than {FUNCTION_LINES_MAX}"


def guard_of(path):
    """The name of a header's include guard: from its path, in the namespace of kekbit."""
    own_names = path.startswith(("kekbit/", EMBEDDING))
    return ("" if own_names else "KEKBIT_") + re.sub(r"\W", "_", path.removeprefix(EMBEDDING)).upper() + "_"


def check_header(source):
    if not source.is_header:
        return
    if not source.text.startswith("//"):
        yield 1, "header-comment", "a header begins with a comment that says what it is"
    guard = guard_of(source.path)
    directives = re.findall(r"^[ \t]*#[^\n]*", source.code, re.M)
    if directives[:2] != [f"#ifndef {guard}", f"#define {guard}"]:
        yield 1, "include-guard", f"the include guard is to be {guard}"


def check_words(source):
    for line, _ in source.find(r"\busing\s+namespace\b"):
        yield line, "using-namespace", "no using namespace: use using-declarations"
    for line, match in source.find(r"\b(TODO|FIXME)\b", source.text):
        yield line, "todo", f"no {match.group(0)}: do it, or open an issue"
    if not re.fullmatch(MEMORY_ORDERS_IN, source.path):
        for line, match in source.find(r"\bmemory_order\w*|\b__ATOMIC_\w+"):
            yield line, "memory-order", f"{match.group(0)} belongs into a named accessor of kekbit/shared_word.h"
    if source.path.endswith("_test.cc") and not re.search(r"\bnamespace\s*\{", source.code):
        yield 1, "test-namespace", "a test stands in an anonymous namespace"


def check_only_in(source):
    for line, include in source.includes:
        for pattern, places in ONLY_IN:
            if re.match(pattern, include) and not re.fullmatch(places, source.path):
                yield line, "only-in", f"{include} is included only in {places}"


def included_path(include):
    """The path of a file from how it is included: headers of codecs/ and replication/ have kekbit/ before it."""
    return re.sub(r"^kekbit/(codecs|replication)/", r"\1/", include)


def directory_of(path):
    """The longest entry of MAY_INCLUDE that the path is below, or None."""
    known = [directory for directory in MAY_INCLUDE if path.startswith(directory + "/")]
    return max(known, key=len, default=None)


def check_directories(source):
    own = directory_of(source.path)
    if own is None:
        yield 1, "layers", "a directory without a row in MAY_INCLUDE of tools/dev/tidy.py"
        return
    allowed = [own] + MAY_INCLUDE[own]
    if not own.startswith("replication") or re.fullmatch(SEES_CODECS, source.path):
        allowed += [directory for directory in ("codecs", "codecs/cereal") if own != "kekbit" and own != "kekbit/base"]
    else:
        allowed = [directory for directory in allowed if not directory.startswith("codecs")]
    if own == "codecs":
        allowed.remove("codecs/cereal")
    for line, include in source.includes:
        path = included_path(include[1:-1])
        target = directory_of(path)
        if target is None or target in allowed or is_door_for(source.path, path):
            continue
        yield line, "layers", f"{own}/ does not include {target}/ here: {include}"


def is_door_for(includer, included):
    """Whether a room's file may include this file of the front door."""
    directory, name = os.path.split(os.path.splitext(included)[0])
    if directory != "replication" or not includer.startswith("replication/"):
        return False
    return name in VALUES or any(re.fullmatch(pattern, includer) and name in names for pattern, names in DOOR_FOR)


def check_pure(source):
    if not re.fullmatch(PURE, source.path):
        return
    for line, include in source.includes:
        if re.fullmatch(IMPURE, include[1:-1]):
            yield line, "pure", f"a decision has no clock, file or thread: {include}"


def row_of(stem):
    """(directory, number of the row) of a file without its suffix; the number is None if it has no row."""
    directory, name = os.path.split(stem)
    for number, names in enumerate(ROWS.get(directory, [])):
        if name in names.split():
            return directory, number
    return directory, None


def check_rows(source):
    directory, row = row_of(source.stem)
    if directory not in ROWS:
        return
    if row is None:
        yield 1, "layers", f"a new file: give {os.path.basename(source.stem)} a row in ROWS of tools/dev/tidy.py"
        return
    for line, include in source.includes:
        target = os.path.splitext(included_path(include[1:-1]))[0]
        target_directory, target_row = row_of(target)
        if target_directory != directory or target_row is None or target == source.stem or target_row < row:
            continue
        if {(source.stem, target), (f"{directory}/*", target)} & ROW_SIBLINGS:
            continue
        yield line, "layers", f"row {row} of {directory}/ does not include {include} of row {target_row}"


RULES = [check_sizes, check_header, check_words, check_only_in, check_directories, check_pure, check_rows]

# --- Running them. ---------------------------------------------------------------------------------------------------


def source_paths(root):
    """Yields the path below `root` of each C++ file, in order; dot directories and Bazel's links are not looked into."""
    for directory, children, names in os.walk(root):
        children[:] = sorted(child for child in children if not child.startswith((".", "bazel-")))
        for name in sorted(names):
            if re.search(r"\.(h|hh|hpp|cc|cpp|cxx)$", name):
                yield os.path.relpath(os.path.join(directory, name), root)


def check_tree(root):
    """Returns a list of (path, line, rule, what), one for each finding, and the number of files."""
    findings = []
    paths = list(source_paths(root))
    for path in paths:
        if not path.endswith((".h", ".cc")):
            findings.append((path, 1, "suffix", "C++ files end in .h and .cc"))
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            source = Source(path, file.read())
        for rule in RULES:
            findings += [(path, *finding) for finding in rule(source)]
    return findings, len(paths)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    findings, count = check_tree(arguments.root)
    for path, line, rule, what in findings:
        print(f"{path}:{line}: [{rule}] {what}")
    print(f"tidy: {count} files, {len(findings)} findings")
    return 1 if findings or count == 0 else 0


# --- The self-test. --------------------------------------------------------------------------------------------------


def header(path, body="", guard=None):
    guard = guard or guard_of(path)
    return f"// What it is.\n\n#ifndef {guard}\n#define {guard}\n\n{body}\n\n#endif  // {guard}\n"


def including(path, include):
    text = f"#include {include}\n"
    return path, header(path, text) if path.endswith(".h") else text


def function(signature, lines):
    return f"{signature} {{\n" + "  Call();\n" * (lines - 2) + "}\n"


# rule, path, text: what has to be reported once, in this file and under this name.
PLANTED = [
    ("file-length", "kekbit/base/clock.cc", "int x;\n" * 401),
    ("file-length", "tests/kekbit/long_test.cc", "namespace {\n" + "int x;\n" * 600 + "}\n"),
    ("line-length", "kekbit/base/clock.cc", "// " + "x" * 118 + "\n"),
    ("function-length", "kekbit/base/clock.cc", function("int Long()", 71)),
    ("function-length", "kekbit/base/clock.cc", "namespace kekbit {\n" + function("int A::Long(int (*f)()) const", 71) + "}\n"),
    ("function-length", "kekbit/base/clock.cc", function("A::A(int x) : B(x), c_{x}, d_{}", 71)),
    ("function-length", "kekbit/base/clock.cc", "class A {\n public:\n" + function("  A() : x_(0)", 71) + "};\n"),
    ("function-length", "kekbit/base/clock.cc", function("void F(const Options& options = {})", 71)),
    ("function-length", "kekbit/base/clock.cc", function("bool operator==(const A& a, const A& b)", 71)),
    ("function-length", "tests/kekbit/a_test.cc", "namespace {\n" + function("TEST_F(ClockTest, Case)", 71) + "}\n"),
    ("header-comment", "kekbit/base/clock.h", "\n" + header("kekbit/base/clock.h")),
    ("include-guard", "kekbit/base/clock.h", header("kekbit/base/clock.h", guard="KEKBIT_CLOCK_H_")),
    ("include-guard", "replication/replica.h", header("replication/replica.h", guard="REPLICATION_REPLICA_H_")),
    ("include-guard", "kekbit/base/clock.h", "// What it is.\n#pragma once\n"),
    ("using-namespace", "kekbit/base/clock.cc", "using  namespace std;\n"),
    ("todo", "kekbit/base/clock.cc", "// TO" + "DO: later\n"),
    ("memory-order", "kekbit/base/clock.cc", "int x = a.load(std::memory_order_acquire);\n"),
    ("memory-order", "replication/journal/frame.cc", "__atomic_load_n(&x, __ATOMIC_ACQUIRE);\n"),
    ("test-namespace", "tests/kekbit/clock_test.cc", "namespace kekbit {\n}\n"),
    ("only-in", *including("kekbit/base/clock.cc", "<sys/mman.h>")),
    ("only-in", *including("codecs/text_codec.cc", "<cereal/cereal.hpp>")),
    ("only-in", *including("replication/replica.h", "<cereal/cereal.hpp>")),
    ("only-in", *including("bench/main.cc", "<CLI/CLI.hpp>")),
    ("only-in", *including("kekbit/base/clock.cc", "<gtest/gtest_prod.h>")),
    ("only-in", *including("tests/a.cc", '"benchmark/benchmark.h"')),
    ("layers", *including("kekbit/shm_writer.h", '"kekbit/codecs/codec.h"')),
    ("layers", *including("kekbit/shm_writer.cc", '"kekbit/replication/journal/frame.h"')),
    ("layers", *including("codecs/codec.h", '"kekbit/replication/journal/frame.h"')),
    ("layers", *including("replication/journal/journal_writer.h", '"kekbit/codecs/codec.h"')),
    ("layers", *including("replication/replica.cc", '"tests/support/temp_dir.h"')),
    ("layers", *including("examples/a.cc", '"tests/support/temp_dir.h"')),
    ("layers", *including("bench/a.cc", '"tests/kekbit/fixture.h"')),
    ("layers", *including("kekbit/base/clock.h", '"kekbit/shm_writer.h"')),
    ("layers", *including("kekbit/shm_writer.h", '"kekbit/shm_reader.h"')),
    ("layers", *including("replication/journal/frame.h", '"kekbit/replication/replica.h"')),
    ("layers", *including("replication/journal/frame.h", '"kekbit/replication/apply_context.h"')),
    ("layers", *including("replication/journal/journal_reader.h", '"kekbit/replication/recovery/recovery.h"')),
    ("layers", *including("replication/core/replica_core.h", '"kekbit/replication/replica.h"')),
    ("layers", *including("replication/core/replica_core.h", '"kekbit/codecs/codec.h"')),
    ("layers", *including("codecs/codec.h", '"kekbit/codecs/cereal/json_scan.h"')),
    ("layers", *including("kekbit/base/clock.h", '"kekbit/header.h"')),
    ("pure", *including("replication/retention/retention.cc", '"kekbit/base/clock.h"')),
    ("pure", *including("replication/recovery/tail_verdict.h", '"absl/synchronization/mutex.h"')),
    ("layers", "kekbit/unheard_of.cc", "int x;\n"),
    ("layers", "replication/unheard_of.h", header("replication/unheard_of.h")),
    ("layers", "elsewhere/a.cc", "int x;\n"),
    ("suffix", "kekbit/base/clock.cpp", "int x;\n"),
]

# path, text: what is no violation, though it looks like one.
ACCEPTED = [
    ("kekbit/base/clock.cc", "int x;\n" * 400),
    ("tests/kekbit/long_test.cc", "namespace {\n" + "int x;\n" * 598 + "}\n"),
    ("kekbit/base/clock.cc", "// " + "x" * 117 + "\n"),
    ("kekbit/base/clock.cc", function("int F()", 70) * 3),
    ("kekbit/base/clock.cc", "class A {\n" + "  int F() { return 0; }\n" * 80 + "};\n"),
    ("kekbit/base/clock.cc", "constexpr int kTable[] = {\n" + "  1,\n" * 80 + "};\n"),
    ("kekbit/base/clock.cc", "struct alignas(8) A {\n" + "  int x;\n" * 80 + "};\n"),
    ("kekbit/base/clock.cc", "// using namespace std; std::memory_order_acquire\nconst char* s = \"using namespace\";\n"),
    ("kekbit/base/clock.h", header("kekbit/base/clock.h", guard="KEKBIT_BASE_CLOCK_H_")),
    ("replication/replica.h", header("replication/replica.h", guard="KEKBIT_REPLICATION_REPLICA_H_")),
    ("examples/embedding/tally.h", header("examples/embedding/tally.h", guard="TALLY_H_")),
    ("replication/replica.h", header("replication/replica.h", '#include "codecs/codec.h"')),
    including("kekbit/base/posix_file_system.cc", "<sys/mman.h>"),
    including("codecs/cereal/cereal_x_codec.h", "<cereal/cereal.hpp>"),
    including("bench/a.cc", '"tests/support/temp_dir.h"'),
    including("kekbit/base/clock.h", '"kekbit/base/check.h"'),
    including("kekbit/shm_writer.cc", '"kekbit/shm_writer.h"'),
    including("replication/core/replica_core.h", '"kekbit/replication/apply_context.h"'),
    including("replication/journal/frame.h", '"kekbit/replication/position.h"'),
    including("replication/replica.h", '"kekbit/replication/core/replica_core.h"'),
    including("replication/retention/retention.cc", '"kekbit/replication/journal/kept_segments.h"'),
    ("kekbit/base/shared_word.h", header("kekbit/base/shared_word.h", "int x = a.load(std::memory_order_acquire);")),
    ("tests/kekbit/a_test.cc", "namespace {\nint x = a.load(std::memory_order_acquire);\n}\n"),
]


def findings_in(path, text):
    """The rules reported of a tree that has only this file."""
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, os.path.dirname(path)))
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
            file.write(text)
        return [rule for _, _, rule, _ in check_tree(root)[0]]


def self_test():
    cases = [(path, text, [rule]) for rule, path, text in PLANTED] + [(path, text, []) for path, text in ACCEPTED]
    failures = 0
    for path, text, expected in cases:
        found = findings_in(path, text)
        if found != expected:
            failures += 1
            print(f"self-test: {path}: expected {expected}, found {found} in:\n{text[:200]}")
    print(f"self-test: {len(cases)} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
