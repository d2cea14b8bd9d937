#!/usr/bin/env python3
"""Runs `kekbit stat` and `kekbit top` on a journal with replicas, whose statistics this test writes word by word: so it
also checks the layout of their files."""

import fcntl
import os
import pty
import random
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import KEKBIT, KekbitTest, main, strict_object

WORDS = 2800
MAGIC = int.from_bytes(b"KKBTATS1", "little")
# Indexes of words; see replication/replica_stats_words.h.
PID, START_TIME, PID_NAMESPACE, CREATED, MAY_LEAD = 2, 3, 4, 5, 6
PUBLISHED_SEQ, PUBLISHED_EPOCH, PUBLISHED_TIME = 16, 17, 18
APPLIED_SEQ, APPLIED_EPOCH, APPLIED_TIME, APPLIED_SEGMENT, APPLIED_OFFSET = 32, 33, 34, 35, 36
SYNCED = 48
ROLE, TAKEOVER, SNAPSHOT, ERROR = (64, 7), (80, 15), (112, 15), (144, 63)
APPLY, EXECUTE, SYNC, GROUP = 272, 904, 1536, 2168
FOLLOWER, PRIMARY, STOPPED = 1, 2, 3
SECOND = 10**9
NOW = 1_790_000_000 * SECOND
LAST_ERROR = 'line one\n\x1b[31m"quoted"'


class Stats:
    """A file of statistics, and the lock by which a replica shows that it lives."""

    def __init__(self, journal, pid):
        os.makedirs(os.path.join(journal, "replicas"), exist_ok=True)
        self.path = os.path.join(journal, "replicas", f"{pid}-77-1.stats")
        self.words = [0] * WORDS
        self.words[:2] = [MAGIC, 1]
        self.words[PID], self.words[START_TIME] = pid, 77
        self.lock = None

    def put(self, index, *values):
        self.words[index:index + len(values)] = values
        return self

    def put_together(self, cell, *values):
        """Words that have a generation: here the first one."""
        at, size = cell
        return self.put(at, 1).put(at + 1 + size, *values)

    def put_error(self, count, code, at, text):
        data = text.encode()
        padded = data + bytes(-len(data) % 8)
        return self.put_together(ERROR, count, code, at, len(data), *struct.unpack(f"<{len(padded) // 8}Q", padded))

    def put_values(self, histogram, *values):
        """Values below 32 have a bucket each."""
        self.put(histogram, sum(values), max(values))
        for value in values:
            self.words[histogram + 8 + value] += 1
        return self

    def write(self):
        mode = "r+b" if os.path.exists(self.path) else "wb"
        with open(self.path, mode) as file:
            file.write(struct.pack(f"<{WORDS}Q", *self.words))
        return self

    def live(self):
        self.lock = open(self.path, "r+b")
        fcntl.fcntl(self.lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return self

    def die(self):
        if self.lock:
            self.lock.close()


class Replicas(KekbitTest):
    """A journal of one epoch with a live primary, a live follower that is behind, one that died and one that ended."""

    def setUp(self):
        super().setUp()
        self.journal = self.path("journal")
        self.live = self.maker().do("journal " + self.journal, "fill 9 12345678")
        self.frames = [item for item in self.json_lines("dump", self.journal) if "frame" in item]
        self.primary = Stats(self.journal, 101).put(CREATED, NOW + 3 * SECOND).put(MAY_LEAD, 1)
        self.primary.put_together(ROLE, PRIMARY, 1, NOW + 4 * SECOND).put(PUBLISHED_SEQ, 10, 1, self.frames[-1]["time"])
        self.primary.put(SYNCED, 8).put_values(SYNC, 20, 21, 30).put_values(GROUP, 1, 2, 6).put_values(APPLY, 7)
        self.primary.put_values(EXECUTE, 9)
        self.primary.put_together(TAKEOVER, 2, 9_000_000, 1, 0, NOW, 1_000_000, 2_000_000, 0, 300_000, 4)
        self.follower = Stats(self.journal, 102).put(CREATED, NOW + 2 * SECOND)
        seen = self.frames[6]
        self.follower.put(APPLIED_SEQ, 7, 1, seen["time"], 1, seen["offset"] + 56)
        self.follower.put_together(ROLE, FOLLOWER, 0, NOW).put_together(SNAPSHOT, 3, 1, 5, NOW, 4096, 2_000_000)
        self.died = Stats(self.journal, 103).put(CREATED, NOW + SECOND).put_together(ROLE, PRIMARY, 1, NOW)
        self.died.put_error(4, 15, NOW + SECOND, LAST_ERROR)
        self.ended = Stats(self.journal, 104).put(CREATED, NOW).put_together(ROLE, STOPPED, 1, NOW, NOW + SECOND)
        for stats in self.primary, self.follower, self.died, self.ended:
            stats.write()
            self.addCleanup(stats.die)
        self.primary.live()
        self.follower.live()

    def stat(self):
        journal, *replicas = self.json_lines("stat", self.journal, expect=3)
        return journal, {replica["pid"]: replica for replica in replicas}

    def test_the_journal(self):
        journal, _ = self.stat()
        size = os.stat(os.path.join(self.journal, "segments/0000_0000/0000_0001.kekbit")).st_blocks * 512
        expected = {"kind": "journal", "directory": self.journal, "epoch": 1, "first_seq": 1, "last_epoch": 1,
                    "last_seq": 10, "last_time": self.frames[-1]["time"], "segments": 1, "first_segment": 1,
                    "last_segment": 1, "bytes": size, "lease": "free", "snapshots": 0, "replicas_alive": 2, "replicas_dead": 2}
        self.assertEqual(journal, expected)

    def test_the_replicas(self):
        replicas = self.stat()[1]
        self.assertEqual(list(replicas), [101, 102, 103, 104])
        self.assertEqual([(replica["state"], replica["role"]) for replica in replicas.values()],
                         [("alive", "primary"), ("alive", "follower"), ("died", "primary"), ("ended", "stopped")])
        primary = replicas[101]
        self.assertEqual((primary["kind"], primary["file"]), ("replica", self.primary.path))
        self.assertEqual((primary["may_lead"], primary["epoch"], primary["role_since"]), (True, 1, NOW + 4 * SECOND))
        self.assertEqual((primary["applied_seq"], primary["published_seq"], primary["synced_seq"]), (10, 10, 8))
        self.assertEqual((primary["lag_frames"], primary["lag_bytes"], primary["lag_ns"]), (0, 0, 0))
        self.assertEqual([primary["sync_" + name] for name in ("count", "p50_ns", "p99_ns", "max_ns")], [3, 21, 30, 30])
        self.assertEqual([primary["group_" + name] for name in ("count", "p50", "p99", "max")], [3, 2, 6, 6])
        self.assertEqual((primary["apply_p50_ns"], primary["execute_max_ns"]), (7, 9))
        self.assertEqual((primary["takeovers"], primary["takeovers_ns"], primary["takeover_drained_ns"]),
                         (2, 9_000_000, 2_000_000))
        follower = replicas[102]
        self.assertEqual((follower["may_lead"], follower["applied_seq"], follower["sync_count"]), (False, 7, 0))
        self.assertEqual((follower["lag_frames"], follower["lag_bytes"]), (3, 3 * 56))
        self.assertEqual(follower["lag_ns"], self.frames[-1]["time"] - self.frames[6]["time"])
        self.assertEqual((follower["snapshots"], follower["snapshot_seq"], follower["snapshot_bytes"]), (3, 5, 4096))
        self.assertEqual((follower["errors"], "error" in follower), (0, False))
        died = replicas[103]
        self.assertEqual((died["errors"], died["error_code"], died["error"]), (4, "DATA_LOSS", LAST_ERROR))
        self.assertEqual((died["error_at"], "ended" in died, replicas[104]["ended"]), (NOW + SECOND, False, NOW + SECOND))

    def test_for_people(self):
        out = self.run_kekbit("stat", self.journal, expect=3)[0].decode()
        for line in (r"frames           seq 1 to 10, the last of epoch 1 at \S+Z", r"segments         1, 1 to 1, 20 KiB",
                     r"primary          none: the lease is free", r"replicas         2 alive, 2 dead",
                     r" +101  alive  primary   2026-09-21T\S+Z +1 +10 +0 +0 +0 +-",
                     r" +102  alive  follower  \S+Z +0 +7 +3 +168 B +\S+ [a-z]+ +-", r" +103  died   primary .*",
                     r" +sync      3, p50 21 ns, p99 30 ns, .*; 3.0 command\(s\) each, at most 6",
                     r" +takeover  2, the last into epoch 1: lease 1 ms, drained 2 ms, recovered 0, synced 300 us, "
                     "first append 4 ns",
                     r" +snapshot  3, the last up to {epoch 1, seq 5}, 4 KiB in 2 ms",
                     r' +error     4, the last at \S+Z: DATA_LOSS "line one\\n\\u001b\[31m\\"quoted\\""'):
            self.assertRegex(out, "(?m)^" + line + "$")
        self.assertNotIn("\x1b", out)

    def test_a_replica_that_dies(self):
        self.primary.die()
        self.assertEqual(self.stat()[1][101]["state"], "died")

    def test_statistics_that_can_not_be_read(self):
        path = os.path.join(self.journal, "replicas", "9-9-9.stats")
        with open(path, "wb") as file:
            file.write(b"nothing")
        with open(os.path.join(self.journal, "replicas", "notes"), "wb") as file:
            file.write(b"not ours")
        last = self.json_lines("stat", self.journal, expect=3)[-1]
        self.assertEqual(last["kind"], "unreadable")
        self.assertIn(path + ": has 7 bytes", last["reason"])
        self.assertRegex(self.run_kekbit("stat", self.journal, expect=3)[0].decode(), "(?m)^unreadable       " + path)

    def test_any_bytes(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
        print("SEED", seed)
        rng = random.Random(seed)
        for _ in range(30):
            for index in range(2, WORDS):
                if rng.randrange(4) == 0:
                    self.follower.words[index] = rng.choice([rng.getrandbits(64), rng.randrange(20), (1 << 64) - 1, 1 << 63])
            self.follower.write()
            self.assertEqual(len(self.json_lines("stat", self.journal, expect=3)), 5)
            self.run_kekbit("top", "--once", self.journal, expect=3)

    def test_top_once(self):
        journal, *replicas = self.json_lines("top", "--once", self.journal, expect=3)
        self.assertEqual((journal["kind"], len(replicas)), ("journal", 4))
        self.assertNotIn("frames_per_second", replicas[0])
        self.assertEqual(self.run_kekbit("top", "--once", self.journal, expect=3), self.run_kekbit("stat", self.journal, expect=3))

    def top(self, *args, interval="0.01", stdout=subprocess.PIPE):
        process = subprocess.Popen([KEKBIT, "top", "--interval", interval, *args, self.journal], stdout=stdout)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_top_shows_how_fast_it_goes(self):
        top = self.top("--json")
        self.addCleanup(top.stdout.close)

        def next_look():
            lines = [strict_object(top.stdout.readline())]
            while len(lines) < 1 + lines[0]["replicas_alive"] + lines[0]["replicas_dead"]:
                lines.append(strict_object(top.stdout.readline()))
            return lines
        self.assertNotIn("frames_per_second", next_look()[2])
        seq, rates = 7, []
        while not rates or rates[-1] == 0:
            seq += 1
            self.follower.put(APPLIED_SEQ, seq).write()
            rates.append(next_look()[2]["frames_per_second"])
        while next_look()[2]["frames_per_second"] != 0:
            pass
        # And with the journal, whose new segments it finds.
        self.live.do("fill 300 12345678")
        while (look := next_look())[0]["last_seq"] != 310:
            pass
        self.assertGreater(look[0]["segments"], 1)
        self.assertEqual(look[2]["lag_frames"], 310 - look[2]["applied_seq"])

    def test_top_prints_plain_lines_into_a_pipe_until_nobody_reads_them(self):
        top = self.top()
        seen = b""
        while seen.count(b"\njournal  ") < 3:
            seen += top.stdout.readline()
        self.assertNotIn(b"\x1b", seen)
        top.stdout.close()
        self.assertEqual(top.wait(), 0)

    def test_top_ends_while_it_waits_when_its_reader_leaves(self):
        top = self.top(interval="86400")
        while b"journal  " not in top.stdout.readline():
            pass
        top.stdout.close()
        self.assertEqual(top.wait(), 0)

    def test_top_redraws_on_a_terminal(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        top = self.top(stdout=theirs)
        os.close(theirs)
        seen = b""
        while seen.count(b"\x1b[H") < 4:
            seen += os.read(ours, 4096)
        self.assertRegex(seen, rb"\x1b\[H\d{4}-\d\d-\d\dT[0-9:.]+Z\x1b\[K\r\njournal +\S+\x1b\[K\r\n")
        self.assertIn(b"\x1b[J", seen)
        top.kill()

    def test_usage(self):
        self.expect_unusable("top", self.path("nowhere"), says="No such file")
        self.expect_unusable("top", self.primary.path, says="is no directory: only a journal has replicas")
        os.mkdir(self.path("empty"))
        self.expect_unusable("top", self.path("empty"), says="a directory without a journal")
        self.expect_unusable("dump", os.path.join(self.journal, "segments", "..", "replicas"), says="without a journal")

    def test_looking_writes_nothing(self):
        def state():
            found = []
            for directory, _, names in os.walk(self.journal):
                for name in names:
                    with open(os.path.join(directory, name), "rb") as file:
                        found.append((directory, name, file.read()))
            return sorted(found)
        before = state()
        self.run_kekbit("stat", "--segments", self.journal, expect=3)
        self.run_kekbit("top", "--once", self.journal, expect=3)
        self.assertEqual(state(), before)


if __name__ == "__main__":
    main()
