#!/usr/bin/env python3
"""Puts directories into the places of a ledger's small files, snapshots and segments, and files into those of its
directories; then verify, repair, and open it."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import KekbitTest, main
from kekbit_cli import MAKER as LEDGER

EVERY = 1000  # frames from one snapshot to the next; of some 900 in a segment


class WrongKind(KekbitTest):
    def setUp(self):
        super().setUp()
        self.whole, self.bank = self.path("whole"), self.path("bank")
        process = subprocess.Popen([LEDGER, "serve", "--directory", self.whole, "--segment-bytes", "65536",
                                    "--snapshot-on-primary", "--snapshot-every", str(EVERY)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for count in 1, 2:
            self.ask(process, "open ada 1000000", f"open bob{count} 0", *[f"transfer ada bob{count} 1"] * EVERY)
            while len(self.snapshots(self.whole)) < count:  # it comes within moments
                self.assertIsNone(process.poll())
        self.digest = self.ask(process, *["transfer ada bob2 1"] * 500, "digest").split()[-1]
        process.stdin.close()
        process.wait()
        process.stdout.close()
        self.older, self.newest = self.snapshots(self.whole)
        self.fresh()
        self.run_kekbit("verify", self.bank)

    @staticmethod
    def ask(process, *lines):
        process.stdin.write("".join(line + "\n" for line in lines).encode())
        process.stdin.flush()
        for _ in lines:
            answer = process.stdout.readline().decode()
        return answer

    @staticmethod
    def snapshots(journal):
        directory = os.path.join(journal, "snapshots")
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def fresh(self):
        shutil.rmtree(self.bank, ignore_errors=True)
        shutil.copytree(self.whole, self.bank)

    def put_directory(self, name):
        path = os.path.join(self.bank, name)
        if os.path.exists(path):
            os.remove(path)
        os.makedirs(path)
        with open(os.path.join(path, "inside"), "wb") as file:
            file.write(b"is kept")
        return path

    def put_file(self, name):
        path = os.path.join(self.bank, name)
        shutil.rmtree(path, ignore_errors=True)
        with open(path, "wb") as file:
            file.write(b"no directory")
        return path

    def repair(self, *args, expect):
        return self.run_kekbit("repair", self.bank, *args, expect=expect)[0].decode()

    def expect_opens(self, lost=False):
        result = subprocess.run([LEDGER, "serve", "--directory", self.bank], input=b"digest\nopen eve 1\n",
                                capture_output=True, timeout=50, check=False)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        digest, opened = result.stdout.decode().splitlines()
        self.assertTrue(opened.startswith("ok "), opened)
        self.assertEqual(digest.split()[-1] == self.digest, not lost)
        self.run_kekbit("verify", self.bank)
        return result.stderr.decode()

    def expect_moved(self, path, says, *args):
        """Verify names it first, and repair moves it aside, with what is in it."""
        self.assertEqual(self.damages(self.bank)[0][0], path)
        self.assertTrue(self.damages(self.bank)[0][2].startswith(f"{path}: {says}"), self.damages(self.bank))
        out = self.repair(expect=1)
        self.assertIn(f"would move: {path} to ", out)
        self.assertTrue(os.path.exists(path))
        self.repair("--apply", *args, expect=0)
        name = os.path.relpath(path, self.bank).replace("/", ".") + ".moved_1"
        self.assertIn(name, os.listdir(os.path.join(self.bank, "aside")))
        self.run_kekbit("verify", self.bank)
        self.assertIn("sound: ", self.repair(expect=0))

    def test_a_directory_in_the_place_of_a_small_file(self):
        for name, means in (("epoch", "no replica opens the journal"), ("synced", "no replica opens the journal"),
                            ("wake", "no replica opens the journal"), ("lease", "no replica becomes primary"),
                            ("lease.next", "no replica becomes primary"), ("readers/audit", "the reader can't go on")):
            with self.subTest(name=name):
                self.fresh()
                path = self.put_directory(name)
                (found, _, reason), = self.damages(self.bank)
                self.assertEqual(found, path)
                self.assertIn(means, reason)
                self.assertNotIn("--remove", reason)
                out = self.run_kekbit("verify", self.bank, expect=1)[0].decode()
                opens = f"can't be opened: {self.bank}: {path} is in the way; " if "no replica" in means else "can be opened: "
                self.assertIn(opens, out)
                self.expect_moved(path, "is a directory, not a file; ")
                with open(os.path.join(self.bank, "aside", name.replace("/", ".") + ".moved_1", "inside"), "rb") as file:
                    self.assertEqual(file.read(), b"is kept")
                self.expect_opens()

    def test_a_directory_in_the_place_of_a_snapshot(self):
        for name, begins in (self.newest, self.older), (self.older, self.newest):
            with self.subTest(name=name):
                self.fresh()
                path = self.put_directory("snapshots/" + name)
                result = subprocess.run([LEDGER, "serve", "--directory", self.bank], input=b"digest\n",
                                        capture_output=True, timeout=50, check=False)
                self.assertEqual(result.returncode, 0, result.stderr.decode())
                self.assertIn(f"snapshot {self.bank}/snapshots/{begins} ", result.stderr.decode())
                self.expect_moved(path, "is a directory, not a file; a replica passes it over")
                self.expect_opens()

    def test_a_directory_in_the_place_of_a_segment(self):
        segments = sorted(os.listdir(os.path.join(self.whole, "segments/0000_0000")))
        newest = next(line["segment"] for line in self.json_lines("dump", self.bank) if line.get("seq") ==
                      int(self.newest.split(".")[0], 16))
        for name in segments:
            with self.subTest(name=name):
                self.fresh()
                number = int(name[5:9], 16)
                seqs = [line["seq"] for line in self.json_lines("dump", self.bank) if line.get("segment") == number
                        and "seq" in line]
                path = self.put_directory("segments/0000_0000/" + name)
                out, args = self.repair(expect=1), []
                if number >= newest:
                    lost = seqs[0] if number > newest else int(self.newest.split(".")[0], 16) + 1
                    args = ["--lose-from", str(lost)]
                    self.assertIn(f"--apply --lose-from {lost}. That loses every command from seq {lost} on", out)
                    self.assertIn("damage: ", out)
                    self.assertIn("would move: ", self.repair("--apply", expect=1))
                    self.assertTrue(os.path.isdir(path))
                self.expect_moved(path, "is a directory, not a file", *args)
                self.expect_opens(lost=number >= newest)
        # One that no primary made.
        self.fresh()
        path = self.put_directory("segments/0000_0000/" + f"0000_{number + 1:04x}.kekbit")
        seq = seqs[-1] + 1
        self.assertIn(f"--apply --lose-from {seq}. That loses every command from seq {seq} on", self.repair(expect=1))
        self.expect_moved(path, "is a directory, not a file", "--lose-from", str(seq))
        self.expect_opens()

    def test_a_link_that_leads_nowhere(self):
        for name in "epoch", "synced", "wake", "readers", "segments/0000_0000/0000_0001.kekbit":
            with self.subTest(name=name):
                self.fresh()
                path = os.path.join(self.bank, name)
                if os.path.isfile(path):
                    os.remove(path)
                os.symlink("/nowhere/at/all", path)
                self.assertEqual(self.damages(self.bank)[0][0], path)
                self.assertIn(f"would move: {path} to {self.bank}/aside: {path}: is a link that leads nowhere",
                              self.repair(expect=1))
                self.repair("--apply", expect=0)
                self.assertTrue(os.path.islink(os.path.join(self.bank, "aside", name.replace("/", ".") + ".moved_1")))
                self.run_kekbit("verify", self.bank)
                self.expect_opens()

    def test_a_file_in_the_place_of_a_directory(self):
        for name in "readers", "replicas":
            with self.subTest(name=name):
                self.fresh()
                self.expect_moved(self.put_file(name), "is a file, not a directory; ")
                self.expect_opens()

    def test_a_file_in_the_place_of_the_snapshots(self):
        path = self.put_file("snapshots")
        self.assertIn("--lose-from 1. That loses everything", self.repair(expect=1))
        self.expect_moved(path, "is a file, not a directory; the snapshots are gone", "--lose-from", "1")
        self.expect_opens(lost=True)

    def test_a_file_in_the_place_of_the_segments(self):
        seq = int(self.newest.split(".")[0], 16) + 1
        for name in "segments", "segments/0000_0000":
            with self.subTest(name=name):
                self.fresh()
                path = self.put_file(name)
                for line in self.run_kekbit("verify", self.bank, expect=1)[0].decode().splitlines():
                    self.assertLess(line.count("kekbit repair"), 2)
                self.assertIn(f"--lose-from {seq}. That loses every command from seq {seq} on", self.repair(expect=1))
                self.expect_moved(path, "is a file, not a directory; the segments are gone", "--lose-from", str(seq))
                self.expect_opens(lost=True)

    def test_a_file_in_the_place_of_what_was_kept(self):
        path = self.put_file("aside")
        (found, _, reason), = self.damages(self.bank)
        self.assertEqual(found, path)
        self.assertIn("move it away by hand", reason)
        for args in [], ["--apply"]:
            self.expect_unusable("repair", self.bank, *args, says=f"{path}: is a file, not a directory, so nothing can be "
                                                                  "kept there; move it away by hand first")
        os.remove(path)
        self.assertIn("sound: ", self.repair(expect=0))


if __name__ == "__main__":
    main()
