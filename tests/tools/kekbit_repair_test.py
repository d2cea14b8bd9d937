#!/usr/bin/env python3
"""Runs `kekbit verify` and `kekbit repair` on journals with torn tails, damage, and bad files beside the segments."""

import fcntl
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import DATA_OFFSET, KekbitTest, main

SYNCED_MAGIC = b"KKBSYNC1"
F_OFD_SETLK = 37


class Repair(KekbitTest):
    FRAMES = 20  # commands in the last segment; the epoch's first comes before

    def setUp(self):
        super().setUp()
        self.journal = self.path("journal")
        maker = self.maker().do("journal " + self.journal)
        for i in range(self.FRAMES):
            maker.do(f"write command {i}")
        maker.kill()
        self.frames = [item for item in self.dump(self.journal) if "frame" in item]

    def segment(self, number):
        return os.path.join(self.journal, f"segments/0000_0000/0000_{number:04x}.kekbit")

    def files(self):
        """All but the lease: who asks for it leaves its name there."""
        found = {}
        for directory, _, names in os.walk(self.journal):
            for name in set(names) - {"lease"}:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    found[path] = file.read()
        return found

    def patch(self, path, at, data):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def flip(self, seq):
        at = DATA_OFFSET + self.frames[seq - 1]["offset"] + 30
        with open(self.segment(1), "rb") as file:
            byte = file.read()[at]
        self.patch(self.segment(1), at, bytes([byte ^ 1]))

    def mark(self, seq):
        with open(os.path.join(self.journal, "synced"), "wb") as file:
            file.write(SYNCED_MAGIC + struct.pack("<Q", seq) + bytes(48))

    def repair(self, *args, expect):
        before = self.files()
        out = self.run_kekbit("repair", self.journal, *args, expect=expect)[0].decode()
        if expect != 0 or "--apply" not in args:
            self.assertEqual(self.files(), before, "something was changed")
        return out

    def kept(self):
        return b"".join(data for path, data in self.files().items() if "/aside/" in path)

    def seqs(self):
        return [item["seq"] for item in self.dump(self.journal) if "frame" in item]

    def test_a_sound_journal_has_nothing_to_repair(self):
        out = self.repair(expect=0)
        self.assertIn(f"sound: the journal ends with {{epoch 1, seq {self.FRAMES + 1}}}", out)
        self.repair("--apply", expect=0)
        self.assertFalse(os.path.exists(os.path.join(self.journal, "aside")))
        self.assertEqual(self.seqs(), list(range(1, self.FRAMES + 2)))

    def test_a_torn_tail_is_cut_when_told_to(self):
        self.flip(15)
        self.assertIn("torn tail: ", self.run_kekbit("verify", self.journal, expect=1)[0].decode())
        out = self.repair(expect=1)
        self.assertIn("torn: " + self.segment(1), out)
        self.assertIn(f"6 whole frame(s) were found behind it, up to seq {self.FRAMES + 1}", out)
        out = self.repair("--apply", expect=0)
        self.assertIn("done: the journal ends with {epoch 1, seq 14}", out)
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.seqs(), list(range(1, 15)))
        for i in range(14, self.FRAMES):
            self.assertIn(f"command {i}".encode(), self.kept())
        self.assertIn(b"why:  a torn tail", self.kept())
        self.assertIn("sound: ", self.repair("--apply", expect=0))
        # A next epoch goes on.
        self.maker().do("journal " + self.journal, "write new").kill()
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.seqs(), list(range(1, 17)))

    def test_damage_of_what_was_synced_is_cut_only_by_its_seq(self):
        self.mark(17)
        self.flip(15)
        out = self.run_kekbit("verify", self.journal, expect=1)[0].decode()
        self.assertIn("no torn tail: ", out)
        self.assertIn(f"kekbit repair {self.journal}", out)
        for args in [], ["--apply"], ["--lose-from", "14"], ["--apply", "--lose-from", "16"]:
            out = self.repair(*args, expect=1)
            self.assertIn("damage: ", out)
            self.assertIn(f"kekbit repair {self.journal} --apply --lose-from 15. That loses every command from seq 15 on, "
                          "of which those up to seq 17 were synced", out)
        self.repair("--lose-from", "15", expect=1)
        self.repair("--apply", "--lose-from", "15", expect=0)
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.seqs(), list(range(1, 15)))
        self.assertIn(b"command 18", self.kept())
        self.assertIn(b"by an operator's order", self.kept())
        # The mark does not claim any more what is gone; what it was is kept, too.
        self.assertIn(SYNCED_MAGIC + struct.pack("<Q", 17), self.kept())
        self.assertIn("sound: ", self.repair(expect=0))

    def test_an_end_that_is_missing(self):
        self.mark(self.FRAMES + 3)
        out = self.run_kekbit("verify", self.journal, expect=1)[0].decode()
        self.assertIn(f"everything up to seq {self.FRAMES + 3} was synced", out)
        self.repair("--apply", expect=1)
        self.repair("--apply", "--lose-from", str(self.FRAMES + 2), expect=0)
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.seqs(), list(range(1, self.FRAMES + 2)))

    def test_bad_files_beside_the_segments(self):
        self.mark(3)
        for name in "epoch", "synced":
            self.patch(os.path.join(self.journal, name), 0, b"nonsense")
        with open(os.path.join(self.journal, "lease"), "wb") as file:
            file.write(b"nobody knows whose lease it is..")
        found = self.damages(self.journal)
        self.assertEqual([os.path.basename(file) for file, _, _ in found], ["epoch", "synced", "lease"])
        out = self.repair(expect=1)
        self.assertEqual(out.count("move: "), 2)
        self.repair("--apply", expect=0)
        self.assertIn("sound: ", self.repair(expect=0))
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.kept().count(b"nonsense"), 2)

    def test_an_epoch_older_than_the_journal(self):
        self.patch(os.path.join(self.journal, "epoch"), 8, bytes(8))
        self.assertIn("says that epoch 0 is the newest, the journal ends in epoch 1", self.damages(self.journal)[0][2])

    def test_a_living_primary_is_left_alone(self):
        self.flip(15)
        with open(os.path.join(self.journal, "lease"), "w+b") as lease:
            fcntl.fcntl(lease, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            before = self.files()
            for args in [], ["--apply"]:
                self.expect_unusable("repair", self.journal, *args, says="a primary lives")
            self.assertEqual(self.files(), before)
            self.assertNotIn(b"torn tail", self.run_kekbit("verify", self.journal, expect=1)[0])
        self.repair("--apply", expect=0)

    def test_a_journal_whose_first_segments_were_dropped(self):
        self.maker().do("journal " + self.journal, "write late").kill()
        os.remove(self.segment(1))
        first = self.FRAMES + 2
        self.assertIn(f"the journal begins at seq {first}, ".encode(), self.run_kekbit("verify", self.journal)[0])
        self.assertEqual(self.json_lines("verify", self.journal)[0]["first_seq"], first)
        self.repair("--apply", expect=0)

    def test_what_is_no_journal(self):
        os.mkdir(self.path("empty"))
        self.expect_unusable("repair", self.path("empty"), says="a directory without a journal")
        self.expect_unusable("repair", self.path("nowhere"), says="nowhere")
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_json(self):
        self.flip(15)
        lines = self.json_lines("repair", self.journal, expect=1)
        self.assertEqual([line["action"] for line in lines], ["torn", "cut"])
        self.assertEqual({line["file"] for line in lines}, {self.segment(1)})
        lines = self.json_lines("repair", self.journal, "--apply")
        self.assertEqual([line["action"] for line in lines], ["torn", "cut", "kept", "done"])
        self.assertTrue(os.path.exists(lines[2]["file"]))


if __name__ == "__main__":
    main()
