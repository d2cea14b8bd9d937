#!/usr/bin/env python3
"""Runs `kekbit verify` and `kekbit repair` on journals with torn tails, damage, and bad files beside the segments."""

import fcntl
import os
import shlex
import shutil
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
                if os.path.islink(path):
                    continue
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

    def test_lose_from_where_something_else_is_to_be_repaired_is_refused(self):
        self.flip(15)
        before = self.files()
        self.expect_unusable("repair", self.journal, "--apply", "--lose-from", "10",
                             says="what is left to do needs no --lose-from, and leaves everything up to {epoch 1, seq 14}")
        self.assertEqual(self.files(), before)

    def test_frames_of_a_sound_journal_are_given_up_by_their_first_seq(self):
        out = self.repair("--lose-from", "15", expect=1)
        self.assertRegex(out, r"^would lose: 7 frame\(s\), seq 15 to 21, written from \S+Z to \S+Z; none of it is known to")
        self.assertTrue(out.endswith(f"\nrun: kekbit repair {self.journal} --apply --lose-from 15\n"), out)
        self.repair("--apply", "--lose-from", "15", expect=0)
        self.assertEqual(self.seqs(), list(range(1, 15)))
        self.assertIn(b"command 18", self.kept())
        self.assertIn(b"by an operator's order everything from seq 15 on is given up, though none of it is damaged",
                      self.kept())
        self.run_kekbit("verify", self.journal)
        self.maker().do("journal " + self.journal, "write new").kill()
        self.assertEqual([(item["epoch"], item["seq"]) for item in self.dump(self.journal) if "frame" in item][-2:],
                         [(2, 15), (2, 16)])

    # It used to move the only evidence aside, and then to cut what had been acknowledged as synced, without a word.
    def test_a_bad_mark_of_syncs_leaves_doubt(self):
        synced, aside = os.path.join(self.journal, "synced"), os.path.join(self.journal, "aside")
        whole = self.path("whole")
        self.flip(15)
        shutil.copytree(self.journal, whole)

        def put_nonsense():
            self.mark(17)
            self.patch(synced, 0, b"nonsense")

        def move_by_hand():
            put_nonsense()
            os.makedirs(aside, exist_ok=True)
            os.rename(synced, os.path.join(aside, "synced.moved_1"))
        for spoil, why in ((put_nonsense, "can't be read"), (lambda: os.symlink(synced, synced), "can't be read"),
                           (lambda: os.mkdir(synced), "can't be read"), (move_by_hand, "was damaged, and moved away")):
            shutil.rmtree(self.journal)
            shutil.copytree(whole, self.journal)
            spoil()
            for _ in range(2):
                for args in [], ["--apply"], ["--apply", "--lose-from", "14"]:
                    out = self.run_kekbit("repair", self.journal, *args, expect=1)[0].decode()
                    self.assertIn(f"seq 15 may have been acknowledged as synced: {synced}, which would say, {why}", out)
                    self.assertIn(f"--apply --lose-from 15. That loses every command from seq 15 on", out)
                self.assertEqual(self.seqs()[-1], 21)
            out = self.run_kekbit("verify", self.journal, expect=1)[0].decode()
            if why == "can't be read":
                self.assertNotIn("nothing shows that seq 15 was synced", out)
            self.run_kekbit("repair", self.journal, "--apply", "--lose-from", "15")
            self.assertEqual(self.seqs(), list(range(1, 15)))
            self.run_kekbit("verify", self.journal)
            self.assertIn("sound: ", self.repair(expect=0))
            # The new mark is true: what is left is synced.
            with open(synced, "rb") as file:
                self.assertEqual(struct.unpack("<QQQ", file.read()[:24]), (int.from_bytes(SYNCED_MAGIC, "little"), 14, 0))

    # A bad file of epochs was made anew as 0: then an epoch that lost frames had could be granted a second time.
    def test_an_epoch_of_lost_frames_is_not_granted_again(self):
        self.maker().do("journal " + self.journal, "write later").kill()
        self.maker().do("journal " + self.journal, "write last").kill()
        self.patch(os.path.join(self.journal, "epoch"), 0, b"nonsense")
        self.flip(15)
        self.repair("--apply", expect=0)
        self.assertEqual(self.seqs(), list(range(1, 15)))
        self.maker().do("journal " + self.journal, "write new").kill()
        self.assertGreater(max(item["epoch"] for item in self.dump(self.journal) if "frame" in item), 3)
        self.run_kekbit("verify", self.journal)

    def test_a_segment_is_missing_between_others(self):
        for i in range(2):
            self.maker().do("journal " + self.journal, f"write later {i}").kill()
        self.mark(self.FRAMES + 5)
        os.remove(self.segment(2))
        missing = self.FRAMES + 2
        self.assertIn("segment 3 comes after segment 1: what is between them is missing",
                      self.damages(self.journal)[0][2])
        for args in [], ["--apply"], ["--lose-from", "1"]:
            out = self.repair(*args, expect=1)
            self.assertIn(f"damage: {self.journal}: seq {missing} was in segment 2, the first one kept behind it is 3", out)
            self.assertIn(f"--apply --lose-from {missing}. That loses every command from seq {missing} on, of which those "
                          f"up to seq {missing + 3} were synced", out)
        self.repair("--apply", "--lose-from", str(missing), expect=0)
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.seqs(), list(range(1, missing)))
        self.assertIn(b"later 1", self.kept())

    def test_a_torn_tail_is_cut_when_told_to(self):
        self.flip(15)
        self.assertIn("torn tail: ", self.run_kekbit("verify", self.journal, expect=1)[0].decode())
        out = self.repair(expect=1)
        self.assertIn("torn: " + self.segment(1), out)
        self.assertIn("would cut: ", out)
        self.assertIn(f"6 whole frame(s) were found behind it, up to seq {self.FRAMES + 1}", out)
        self.assertTrue(out.endswith(f"\nrun: kekbit repair {self.journal} --apply\n"), out)
        out = self.repair("--apply", expect=0)
        self.assertIn("done: the journal ends with {epoch 1, seq 14}", out)
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.seqs(), list(range(1, 15)))
        for i in range(14, self.FRAMES):
            self.assertIn(f"command {i}".encode(), self.kept())
        self.assertIn(b"why:  a torn tail", self.kept())
        self.assertIn("sound: ", self.repair("--apply", expect=0))
        self.assertNotIn("would", out)
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
        out = self.repair("--lose-from", "15", expect=1)
        self.assertTrue(out.endswith(f"\nrun: kekbit repair {self.journal} --apply --lose-from 15\n"), out)
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
        self.assertEqual([os.path.basename(file) for file, _, _ in found], ["epoch", "synced"])
        self.assertIn("note: " + os.path.join(self.journal, "lease"),
                      self.run_kekbit("verify", self.journal, expect=1)[0].decode())
        out = self.repair(expect=1)
        self.assertEqual(out.count("would move: "), 2)
        self.assertTrue(out.endswith(f"\nrun: kekbit repair {self.journal} --apply\n"), out)
        self.repair("--apply", expect=0)
        self.assertIn("sound: ", self.repair(expect=0))
        self.run_kekbit("verify", self.journal)
        self.assertEqual(self.kept().count(b"nonsense"), 2)

    def test_small_files_in_each_kind_of_damage(self):
        readers, replicas = os.path.join(self.journal, "readers"), os.path.join(self.journal, "replicas")
        os.mkdir(readers)
        os.mkdir(replicas)
        ones = b"\xff" * 8
        for name, content, says in (
                ("epoch", b"KKBEPCH1" + struct.pack("<Q", 1) + bytes(4), "has 20 bytes, not 64; no replica opens the"),
                ("epoch", ones * 8, "no file of epochs; no replica opens the journal"),
                ("epoch", b"KKBEPCH1" + ones + bytes(48), "there is none after it; no replica opens the journal, or none"),
                ("epoch", b"", "has 0 bytes, not 64"),
                ("synced", SYNCED_MAGIC + bytes(20), "has 28 bytes, not 64; no replica opens"),
                ("synced", ones * 8, "no file of syncs"),
                ("synced", SYNCED_MAGIC + ones + bytes(48), "says that everything up to seq 18446744073709551615 was synced"),
                ("wake", b"no event", "has 8 bytes, not 64: no event of kekbit's; no replica opens the journal"),
                ("wake", ones * 8, "is no event of kekbit's"),
                ("readers/audit", bytes(100), "has 100 bytes, not 128; the reader can't go on"),
                ("readers/audit", ones * 16, "no reader's cursor; the reader can't go on")):
            path = os.path.join(self.journal, name)
            before = None
            if os.path.exists(path):
                with open(path, "rb") as file:
                    before = file.read()
            with open(path, "wb") as file:
                file.write(content)
            (found, _, reason), = self.damages(self.journal)
            self.assertEqual(found, path)
            self.assertIn(says, reason)
            self.assertIn(f"would move: {path} to ", self.repair(expect=1))
            self.repair("--apply", expect=0)
            self.assertIn(content, self.kept())
            self.run_kekbit("verify", self.journal)
            self.assertIn("sound: ", self.repair(expect=0))
            if before is not None:
                with open(path, "wb") as file:
                    file.write(before)
        self.assertEqual(self.seqs(), list(range(1, self.FRAMES + 2)))

    def test_a_path_that_a_shell_would_split(self):
        self.flip(15)
        spaced = self.path("it's a journal")
        os.rename(self.journal, spaced)
        out = self.run_kekbit("repair", spaced, expect=1)[0].decode()
        self.assertEqual(shlex.split(out.splitlines()[-1]), ["run:", "kekbit", "repair", spaced, "--apply"])

    def test_an_epoch_older_than_the_journal(self):
        self.patch(os.path.join(self.journal, "epoch"), 8, bytes(8))
        self.assertIn("says that epoch 0 is the newest, the journal ends in epoch 1", self.damages(self.journal)[0][2])

    def test_a_living_primary_is_left_alone(self):
        self.flip(15)
        with open(os.path.join(self.journal, "lease"), "w+b") as lease:
            fcntl.fcntl(lease, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            before = self.files()
            for args in [], ["--apply"]:
                self.expect_unusable("repair", self.journal, *args, says="keeps all others from the lease")
            self.assertEqual(self.files(), before)
            self.assertNotIn(b"torn tail", self.run_kekbit("verify", self.journal, expect=1)[0])
        self.repair("--apply", expect=0)

    def test_a_journal_whose_first_segments_were_dropped(self):
        self.maker().do("journal " + self.journal, "write late").kill()
        os.remove(self.segment(1))
        first = self.FRAMES + 2
        self.assertIn(f"the journal begins at seq {first}, ".encode(), self.run_kekbit("verify", self.journal, expect=1)[0])
        self.assertEqual(self.json_lines("verify", self.journal, expect=1)[0]["first_seq"], first)
        self.assertIn("there is no good snapshot to begin with: no replica opens the journal",
                      self.damages(self.journal)[0][2])
        for args in [], ["--apply"]:
            out = self.repair(*args, expect=1)
            self.assertTrue(out.endswith(f"kekbit repair {self.journal} --apply --lose-from 1. That loses everything; "
                                         f"whole frames are there up to seq {first + 1}\n"), out)
        self.assertIn("done: the journal ends with {epoch 0, seq 0}", self.repair("--apply", "--lose-from", "1", expect=0))
        self.assertIn(b"late", self.kept())
        self.maker().do("journal " + self.journal, "write anew").kill()
        self.run_kekbit("verify", self.journal)
        # Of an epoch that nothing had before.
        self.assertEqual([(item["epoch"], item["seq"]) for item in self.dump(self.journal) if "frame" in item],
                         [(3, 1), (3, 2)])

    def test_what_is_no_journal(self):
        os.mkdir(self.path("empty"))
        self.expect_unusable("repair", self.path("empty"), says="a directory without a journal")
        self.expect_unusable("repair", self.path("nowhere"), says="nowhere")
        self.expect_unusable("repair", self.path("journal/epoch"), says="is no directory: only a journal is repaired")
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_json(self):
        self.flip(15)
        lines = self.json_lines("repair", self.journal, expect=1)
        self.assertEqual([line["action"] for line in lines], ["torn", "cut", "run"])
        self.assertEqual([line["file"] for line in lines], [self.segment(1), self.segment(1), self.journal])
        lines = self.json_lines("repair", self.journal, "--apply")
        self.assertEqual([line["action"] for line in lines], ["torn", "cut", "kept", "done"])
        self.assertTrue(os.path.exists(lines[2]["file"]))


if __name__ == "__main__":
    main()
