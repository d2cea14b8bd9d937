#!/usr/bin/env python3
"""Runs the drill: a ledger whose journal is copied while it serves, the disk is lost, and the journal restored: to its
last moment, to a seq, and to a time before a mistake."""

import glob
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import KEKBIT
from kekbit_cli import MAKER as LEDGER
from kekbit_cli import KekbitTest, main


class ArchiveTest(KekbitTest):
    def setUp(self):
        super().setUp()
        self.bank = self.path("bank")
        self.archive = self.path("archive")

    def ledger(self, directory, *lines):
        """What a ledger answers to these lines."""
        run = subprocess.run([LEDGER, "serve", "--directory", directory], input="".join(line + "\n" for line in lines),
                             capture_output=True, text=True, check=True)
        return [line for line in run.stdout.splitlines() if not line.startswith("primary")]

    def start(self):
        ledger = subprocess.Popen([LEDGER, "serve", "--directory", self.bank], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)

        def end():
            ledger.kill()
            ledger.wait()
            ledger.stdin.close()
            ledger.stdout.close()
        self.addCleanup(end)
        return ledger

    def ask(self, ledger, line):
        ledger.stdin.write(line + "\n")
        ledger.stdin.flush()
        answer = ledger.stdout.readline().strip()
        while answer.startswith("primary"):
            answer = ledger.stdout.readline().strip()
        return answer

    def balance(self, directory, name):
        return self.ledger(directory, "balance " + name)[0]

    def test_the_disk_is_lost(self):
        ledger = self.start()
        self.assertIn("ok", self.ask(ledger, "open ada 1000"))
        self.assertIn("ok", self.ask(ledger, "open bob 0"))
        follow = subprocess.Popen([KEKBIT, "archive", self.bank, self.archive, "--follow", "--interval", "0.05"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertIn("archived up to {epoch 1, seq 3}", follow.stdout.readline())
            for _ in range(50):
                self.assertIn("ok", self.ask(ledger, "transfer ada bob 1"))
            before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
            # Whole seconds: the mistake has a later one.
            while time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) <= before:
                pass
            self.assertIn("ok", self.ask(ledger, "transfer ada bob 950"))
            while "seq 54}" not in (line := follow.stdout.readline()):
                self.assertTrue(line, "the copier has ended")
            # Not two for one journal.
            self.expect_unusable("archive", self.bank, self.archive, says="another reader")
        finally:
            follow.kill()
            follow.wait()
            follow.stdout.close()
            follow.stderr.close()
        ledger.send_signal(signal.SIGKILL)
        ledger.wait()
        shutil.rmtree(self.bank)

        line, = self.json_lines("verify", self.archive)
        self.assertEqual((line["bad"], line["last_seq"], line["every_moment_since"][:4]),
                         (0, 54, time.strftime("%Y", time.gmtime())))
        line, = self.json_lines("restore", self.archive, self.bank)
        self.assertEqual((line["seq"], line["frames"], line["snapshot"]), (54, 54, 0))
        self.assertEqual(self.balance(self.bank, "ada")[-2:], " 0")
        for n, (option, seq) in enumerate([(("--to-time", before), 53), (("--to-seq", "53"), 53), (("--to-seq", "3"), 3)]):
            directory = self.path(f"then-{n}")
            line, = self.json_lines("restore", self.archive, directory, *option)
            self.assertEqual(line["seq"], seq)
            self.assertTrue(self.balance(directory, "ada").endswith(" 950" if seq == 53 else " 1000"))
        # The restored journal goes on, to the same archive.
        self.ledger(self.bank, "open eve 7")
        self.assertIn(b"archived up to", self.run_kekbit("archive", self.bank, self.archive)[0])
        self.run_kekbit("restore", self.archive, self.path("again"))
        self.assertTrue(self.balance(self.path("again"), "eve").endswith(" 7"))

    def test_what_is_missing_or_damaged_is_named(self):
        self.ledger(self.bank, "open ada 1", "open bob 1")
        self.run_kekbit("archive", "--zstd", self.bank, self.archive)
        self.assertIn(b"0 of them missing or damaged", self.run_kekbit("verify", self.archive)[0])
        frames, = glob.glob(self.archive + "/frames/*")
        with open(frames, "r+b") as file:
            file.seek(200)
            file.write(b"?")
        out = self.run_kekbit("verify", self.archive, expect=1)[0].decode()
        self.assertIn("damage: " + frames, out)
        self.assertIn("can be restored: nothing", out)
        self.expect_unusable("restore", self.archive, self.path("new"), says="checksum")
        os.unlink(frames)
        self.expect_unusable("restore", self.archive, self.path("new"), says="missing")
        self.assertFalse(os.path.exists(self.path("new")))

    def test_arguments(self):
        self.ledger(self.bank, "open ada 1")
        self.run_kekbit("archive", self.bank, self.archive)
        self.expect_unusable("restore", self.archive, self.bank, says="is not empty")
        self.expect_unusable("restore", self.path("nowhere"), self.path("new"), says="no archive")
        self.expect_unusable("restore", self.archive, self.path("new"), "--to-seq", "99", says="can be restored: seq 1 to 2")
        self.expect_unusable("restore", self.archive, self.path("new"), "--to-time", "yesterday", says="is no time")
        self.expect_unusable("restore", self.archive, self.path("new"), "--incarnation", "xyz", says="is no incarnation")
        self.expect_unusable("archive", self.path("nowhere"), self.archive, says="there is no journal")
        self.assertFalse(os.path.exists(self.path("nowhere")))
        self.expect_unusable("archive", self.bank, "s4://bucket", says="is no archive")

    def test_what_is_given_up_is_no_part_of_the_new_history(self):
        self.ledger(self.bank, "open ada 1", "open bob 1", "open eve 1")
        self.run_kekbit("archive", self.bank, self.archive)
        self.run_kekbit("repair", self.bank, "--lose-from", "4", "--apply")
        self.ledger(self.bank, "open zoe 5")
        self.run_kekbit("archive", self.bank, self.archive)
        self.run_kekbit("restore", self.archive, self.path("new"))
        self.assertTrue(self.balance(self.path("new"), "zoe").endswith(" 5"))
        self.assertIn("error", self.balance(self.path("new"), "eve"))


if __name__ == "__main__":
    main()
