#!/usr/bin/env python3
"""Runs `kekbit cursors` on a journal with registered readers, whose cursors this test writes byte by byte: so it also
checks the layout of their files."""

import fcntl
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import KekbitTest, crc32c, main

# Frames: the epoch start and COMMANDS commands, in several segments.
COMMANDS = 600
LAST = COMMANDS + 1


def slot(turn, epoch, seq):
    data = struct.pack("<QQQ", turn, epoch, seq)
    return data + struct.pack("<Q", crc32c(0, data))


class CursorsTest(KekbitTest):
    def setUp(self):
        super().setUp()
        self.journal = self.path("journal")
        self.maker().do("journal " + self.journal, *[f"write {i}" for i in range(COMMANDS)]).kill()
        os.mkdir(os.path.join(self.journal, "readers"))

    def cursor(self, name, seq, epoch=1, first_kept=0):
        """Writes a cursor that was advanced once from {0, 0}, and opens it."""
        path = os.path.join(self.journal, "readers", name)
        with open(path, "wb") as file:
            file.write(b"KKBCURS1" + struct.pack("<IIQ", 1, 0, first_kept) + bytes(40))
            file.write(slot(1, 0, 0) + slot(2, epoch, seq))
        return path

    def own(self, path):
        """Holds the cursor's lock, as its reader does."""
        file = open(path, "r+b")
        self.addCleanup(file.close)
        fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK

    def test_a_journal_without_readers_has_none(self):
        self.assertEqual(self.json_lines("cursors", self.journal), [])
        self.assertEqual(self.run_kekbit("cursors", self.journal)[0], b"no registered readers\n")
        os.rmdir(os.path.join(self.journal, "readers"))
        self.assertEqual(self.json_lines("cursors", self.journal), [])
        self.assertEqual(self.run_kekbit("cursors", self.journal)[0], b"no registered readers\n")

    def test_shows_where_each_is(self):
        self.own(self.cursor("audit", 31))
        self.cursor("search.v2", LAST)
        self.cursor("slow", 7, first_kept=9)
        self.cursor("told-but-beyond", 8, first_kept=9)
        with open(os.path.join(self.journal, "readers", "broken"), "wb") as file:
            file.write(bytes(128))
        lines = self.json_lines("cursors", self.journal)
        reason = lines[1].pop("reason")
        self.assertIn("no reader's cursor", reason)
        self.assertEqual(lines, [
            {"name": "audit", "owned": True, "epoch": 1, "seq": 31, "lag": LAST - 31, "lost": False},
            {"name": "broken", "owned": False},
            {"name": "search.v2", "owned": False, "epoch": 1, "seq": LAST, "lag": 0, "lost": False},
            {"name": "slow", "owned": False, "epoch": 1, "seq": 7, "lag": LAST - 7, "lost": True},
            {"name": "told-but-beyond", "owned": False, "epoch": 1, "seq": 8, "lag": LAST - 8, "lost": False},
        ])
        text = self.run_kekbit("cursors", self.journal)[0].decode().splitlines()
        self.assertEqual(text[0].split(), ["name", "owned", "seq", "lag"])
        self.assertEqual(text[1].split(), ["audit", "yes", "31", str(LAST - 31)])
        self.assertIn("can't be read: " + reason, text[2])
        self.assertEqual(text[4].split(None, 4), ["slow", "no", "7", str(LAST - 7), "lost its place"])
        self.assertEqual(text[1].index("yes"), text[0].index("owned"))

    def test_one_whose_place_is_gone_is_lost_without_a_mark(self):
        self.cursor("old", 3)
        os.unlink(os.path.join(self.journal, "segments/0000_0000/0000_0001.kekbit"))
        self.assertTrue(self.json_lines("cursors", self.journal)[0]["lost"])

    def test_removes_one_whose_owner_is_gone(self):
        self.cursor("gone", 3)
        self.cursor("other", 4)
        self.assertEqual(self.run_kekbit("cursors", self.journal, "--remove", "gone")[0], b"")
        self.assertEqual([line["name"] for line in self.json_lines("cursors", self.journal)], ["other"])
        self.expect_unusable("cursors", self.journal, "--remove", "gone", says="readers/gone")

    def test_removes_nothing_that_somebody_has(self):
        self.own(self.cursor("alive", 3))
        self.expect_unusable("cursors", self.journal, "--remove", "alive", says="another reader")
        self.assertEqual(len(self.json_lines("cursors", self.journal)), 1)

    def test_removes_nothing_but_cursors(self):
        for name in ["../epoch", "../segments/0000_0000/0000_0001.kekbit", "", "."]:
            self.expect_unusable("cursors", self.journal, "--remove", name, says="a reader's name has")
        self.assertTrue(os.path.exists(os.path.join(self.journal, "epoch")))

    def test_where_there_is_no_journal_it_says_so(self):
        self.expect_unusable("cursors", self.path("nothing"), says="nothing")
        self.expect_unusable("cursors", os.path.join(self.journal, "epoch"), says="only a journal has readers")
        os.mkdir(self.path("empty"))
        self.expect_unusable("cursors", self.path("empty"), says="empty")


if __name__ == "__main__":
    main()
