#!/usr/bin/env python3
"""Mends: `kekbit repair` said that a primary lives where a stranger's read lock was in the way; and what it made in a
journal could be read by others than those who may read the journal."""

import fcntl
import os
import stat
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import KekbitTest, main

F_OFD_SETLK = 37


class Locks(KekbitTest):
    def setUp(self):
        super().setUp()
        self.journal = self.path("journal")
        maker = self.maker().do("journal " + self.journal)
        for i in range(20):
            maker.do(f"write command {i}")
        maker.kill()

    def test_a_read_lock_is_named(self):
        lease = os.path.join(self.journal, "lease")
        with open(lease, "w+b") as file:
            fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
            error = self.run_kekbit("repair", self.journal, "--apply", expect=2)[1].decode()
            self.assertIn(f"a read lock of process {os.getpid()} (", error)
            self.assertNotIn("primary", error)
        self.run_kekbit("repair", self.journal, "--apply")

    def test_what_repair_makes_is_for_whom_the_journal_is(self):
        segment = os.path.join(self.journal, "segments/0000_0000/0000_0001.kekbit")
        for mode, files, directories in (0o700, 0o600, 0o700), (0o750, 0o640, 0o750), (0o770, 0o660, 0o770):
            os.chmod(self.journal, mode)
            with open(os.path.join(self.journal, "synced"), "wb") as file:
                file.write(b"damaged")
            before = set(os.listdir(self.journal))
            self.run_kekbit("repair", self.journal, "--apply")
            aside = os.path.join(self.journal, "aside")
            made = [aside] + [os.path.join(aside, name) for name in os.listdir(aside) if name.endswith(".txt")]
            self.assertNotIn("aside", before)
            self.assertGreater(len(made), 1)
            for path in made:
                expected = directories if os.path.isdir(path) else files
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), expected, path)
            self.assertTrue(os.path.exists(segment))
            for path in made[1:] + [path for path in self.under(aside) if path not in made]:
                os.unlink(path)
            os.rmdir(aside)

    @staticmethod
    def under(directory):
        return [os.path.join(directory, name) for name in os.listdir(directory)]


if __name__ == "__main__":
    main()
