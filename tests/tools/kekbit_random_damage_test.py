#!/usr/bin/env python3
"""Damages a ledger's journal at random, follows what `kekbit repair` prints, and opens it: there is always a way out.

What verify says is compared with what a replica does: a journal that it calls sound opens, and has the whole state.
The third argument is the number of damaged journals, the fourth the first seed."""

import os
import random
import re
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import KekbitTest, main
from kekbit_cli import MAKER as LEDGER

COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 25
FIRST_SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1


class RandomDamage(KekbitTest):
    def setUp(self):
        super().setUp()
        self.whole = self.path("whole")
        for epoch in range(2):
            if epoch == 1:
                shutil.copytree(self.whole, self.path("earlier"))
            self.write(epoch)
        shutil.copytree(self.whole, self.path("opened"))
        self.digest = self.open(self.path("opened"))[1]
        shutil.rmtree(self.path("opened"))

    def write(self, epoch):
        process = subprocess.Popen([LEDGER, "serve", "--directory", self.whole, "--segment-bytes", "65536",
                                    "--snapshot-on-primary", "--snapshot-every", "1500"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def ask(*lines):
            process.stdin.write("".join(line + "\n" for line in lines).encode())
            process.stdin.flush()
            for _ in lines:
                process.stdout.readline()

        transfer = f"transfer ada bob{epoch} 1"
        before = self.snapshots()
        ask("open ada 1000000", f"open bob{epoch} 0", *[transfer] * 1600)
        while self.snapshots() == before:  # it comes within moments
            self.assertIsNone(process.poll())
        ask(*[transfer] * 1100)
        process.stdin.close()
        process.wait()
        process.stdout.close()

    def snapshots(self):
        directory = os.path.join(self.whole, "snapshots")
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    @staticmethod
    def files(journal):
        found = [os.path.join(directory, name) for directory, _, names in os.walk(journal) for name in names]
        return sorted(path for path in found if not path.endswith("/lease"))

    @staticmethod
    def open(journal):
        """Whether a replica opens it, the digest of its state, and what it says."""
        result = subprocess.run([LEDGER, "serve", "--directory", journal], input=b"digest\nopen eve 1\n",
                                capture_output=True, timeout=50, check=False)
        digest = result.stdout.split()[2] if result.returncode == 0 else b""
        return result.returncode == 0, digest, result.stderr.decode()

    def damage(self, chance, journal):
        """Returns what it did; whether something is wrong that nobody can know of."""
        done, secret = [], False
        for _ in range(chance.choice([1, 1, 2, 3])):
            files = self.files(journal)
            of_kind = [[path for path in files if kind in path] for kind in ("/segments/", "/segments/", "/snapshots/", "/")]
            path = chance.choice(chance.choice([paths for paths in of_kind if paths]))
            size = os.path.getsize(path)
            at = chance.randrange(max(1, size if chance.random() < 0.7 else min(size, 1200)))
            kind = chance.choice(["flip", "flip", "sector", "zeros", "cut", "delete", "restart", "older"])
            done.append((kind, os.path.relpath(path, journal), at))
            if kind == "delete":
                os.remove(path)
            elif kind == "cut":
                os.truncate(path, at)
            elif kind == "older":
                older = path.replace(journal, self.path("earlier"))
                if os.path.exists(older):
                    shutil.copy(older, path)
                    secret = secret or not path.endswith((".kekbit", ".snapshot"))
            elif kind == "restart":
                # What was never synced may be gone then.
                secret = True
                mark = os.path.join(journal, "synced")
                if os.path.exists(mark) and os.path.getsize(mark) >= 32:
                    self.write_at(mark, 24, chance.randbytes(8))
            elif size > 0:
                with open(path, "rb") as file:
                    file.seek(at)
                    byte = file.read(1)[0]
                if kind == "sector":
                    at = at // 512 * 512
                self.write_at(path, at, {"flip": bytes([byte ^ 1 << chance.randrange(8)]),
                                         "sector": chance.randbytes(min(512, size - at)),
                                         "zeros": bytes(size - at)}[kind])
            # It holds what tells of missing segments, as long as the machine runs.
            secret = secret or path.endswith("/synced")
        return done, secret

    @staticmethod
    def write_at(path, at, data):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def status(self, *args):
        result = subprocess.run([sys.argv[1], *args], capture_output=True, timeout=50, check=False)
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def test_there_is_always_a_way_out(self):
        for seed in range(FIRST_SEED, FIRST_SEED + COUNT):
            journal, opened = self.path("journal"), self.path("opened")
            for directory in journal, opened:
                shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(self.whole, journal)
            done, secret = self.damage(random.Random(seed), journal)
            with self.subTest(seed=seed, done=done):
                shutil.copytree(journal, opened)
                opens, digest, said = self.open(opened)
                code, found, error = self.status("verify", journal)
                self.assertIn(code, (0, 1), error)
                if code == 0:
                    self.assertTrue(opens, said)
                    self.assertTrue(secret or digest == self.digest, said)
                self.repair(journal)
                opens, digest, said = self.open(journal)
                self.assertTrue(opens, said)
                code, found, error = self.status("verify", journal)
                self.assertTrue(code == 0 or "can be opened: " in found, found + error)

    def repair(self, journal):
        """By the commands that it prints itself."""
        for _ in range(2):
            code, out, error = self.status("repair", journal)
            self.assertIn(code, (0, 1), out + error)
            if code == 0:
                return
            command = re.search(r"kekbit (repair \S+ --apply(?: --lose-from \d+)?)", out.splitlines()[-1])
            self.assertIsNotNone(command, out)
            code, out, error = self.status(*shlex.split(command.group(1)))
            self.assertEqual(code, 0, out + error)
        self.fail("repair has something to do again and again")


if __name__ == "__main__":
    main()
