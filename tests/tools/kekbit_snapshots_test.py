#!/usr/bin/env python3
"""Damages the snapshots of a ledger's journal, and what is before and behind them; then verify, repair, and open it."""

import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import DATA_OFFSET, KekbitTest, main
from kekbit_cli import MAKER as LEDGER


class Snapshots(KekbitTest):
    EVERY = 3000  # frames from one snapshot to the next; of some 900 in a segment

    def setUp(self):
        super().setUp()
        self.bank = self.path("bank")
        process = self.open(subprocess.PIPE)
        for count in 1, 2:
            self.ask(process, "open ada 1000000", f"open bob{count} 0", *[f"transfer ada bob{count} 1"] * (self.EVERY - 2))
            while len(self.snapshots()) < count:  # it comes within moments
                self.assertIsNone(process.poll())
        self.ask(process, *["transfer ada bob2 1"] * 2000)
        self.digest = self.ask(process, "digest")
        process.stdin.close()
        process.wait()
        for pipe in process.stdout, process.stderr:
            pipe.close()
        self.frames = [item for item in self.dump(self.bank) if "frame" in item]
        self.first = self.frames[0]["seq"]
        self.last = self.frames[-1]["seq"]
        self.older, self.newest = self.snapshots()
        self.assertGreater(self.first, 1)
        self.run_kekbit("verify", self.bank)

    def open(self, stdin):
        return subprocess.Popen([LEDGER, "serve", "--directory", self.bank, "--segment-bytes", "65536",
                                 "--snapshot-on-primary", "--snapshot-every", str(self.EVERY)], stdin=stdin,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @staticmethod
    def ask(process, *lines):
        process.stdin.write("".join(line + "\n" for line in lines).encode())
        process.stdin.flush()
        for _ in lines:
            answer = process.stdout.readline().decode()
        return answer.split()[-1]

    def snapshots(self):
        """Their paths, the oldest first."""
        directory = os.path.join(self.bank, "snapshots")
        if not os.path.isdir(directory):
            return []
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(".snapshot")]

    @staticmethod
    def seq_of(snapshot):
        return int(os.path.basename(snapshot).split(".")[0], 16)

    def segment_of(self, seq):
        """The path and number of the segment, and where the frame stands in it."""
        frame = self.frames[seq - self.first]
        self.assertEqual(frame["seq"], seq)
        return self.segment(frame["segment"]), frame["segment"], frame["offset"]

    def segment(self, number):
        return os.path.join(self.bank, f"segments/0000_0000/0000_{number:04x}.kekbit")

    def flip(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def flip_payload(self, snapshot):
        self.flip(snapshot, os.path.getsize(snapshot) // 2)

    def flip_length(self, seq):
        """So that nothing behind it in its segment is found from its beginning."""
        path, _, offset = self.segment_of(seq)
        self.flip(path, DATA_OFFSET + offset + 5)

    def expect_opens(self, lost=False):
        """A replica opens the journal, and has the state; returns what it says of the opening."""
        result = subprocess.run([LEDGER, "serve", "--directory", self.bank], input=b"digest\nopen eve 1\n",
                                capture_output=True, timeout=50, check=False)
        said = result.stderr.decode()
        self.assertEqual(result.returncode, 0, said)
        digest, opened = result.stdout.decode().splitlines()
        self.assertTrue(opened.startswith("ok "), opened)
        self.assertEqual(digest.split()[-1] == self.digest, not lost)
        self.run_kekbit("verify", self.bank)
        return said

    def expect_refused(self):
        result = subprocess.run([LEDGER, "serve", "--directory", self.bank], input=b"", capture_output=True, timeout=50,
                                check=False)
        self.assertNotEqual(result.returncode, 0)
        return result.stderr.decode()

    def repair(self, *args, expect):
        return self.run_kekbit("repair", self.bank, *args, expect=expect)[0].decode()

    def aside(self):
        return sorted(name for name in os.listdir(os.path.join(self.bank, "aside")) if not name.endswith(".txt"))

    def test_a_good_one_is_shown(self):
        out = self.run_kekbit("verify", self.bank)[0].decode()
        for snapshot in self.older, self.newest:
            self.assertIn(f"{snapshot}: ok, a snapshot behind {{epoch 1, seq {self.seq_of(snapshot)}}}\n", out)
        lines = [line for line in self.json_lines("verify", self.bank) if line["kind"] == "snapshot"]
        self.assertEqual([(line["file"], line["seq"]) for line in lines],
                         [(path, self.seq_of(path)) for path in (self.newest, self.older)])

    def test_a_damaged_newest_one_is_passed_over(self):
        self.flip_payload(self.newest)
        (path, offset, reason), = self.damages(self.bank)
        self.assertEqual(path, self.newest)
        self.assertGreater(offset, 0)
        self.assertIn(f"at offset {offset}", reason)
        self.assertIn(f"a replica passes it over: for the one of seq {self.seq_of(self.older)}", reason)
        out = self.run_kekbit("verify", self.bank, expect=1)[0].decode()
        self.assertIn(f"can be opened: {self.bank}: a replica begins with the snapshot {self.older}", out)
        self.assertIn(f"would move: {self.newest} to ", self.repair(expect=1))
        self.repair("--apply", expect=0)
        self.assertEqual(self.aside(), [f"snapshots.{os.path.basename(self.newest)}.moved_1"])
        self.assertIn("sound: ", self.repair(expect=0))
        self.expect_opens()

    def test_each_byte_of_a_snapshot_counts(self):
        size = os.path.getsize(self.newest)
        for at in [*range(0, size, max(1, size // 40)), size - 1]:
            self.flip(self.newest, at)
            self.assertEqual([path for path, _, _ in self.damages(self.bank)], [self.newest], at)
            self.flip(self.newest, at)
        with open(self.newest, "r+b") as file:
            file.truncate(size - 1)
        self.assertEqual([path for path, _, _ in self.damages(self.bank)], [self.newest])

    def test_both_damaged_and_the_beginning_cut(self):
        for snapshot in self.older, self.newest:
            self.flip_payload(snapshot)
        said = self.expect_refused()
        for snapshot in self.older, self.newest:
            self.assertIn(snapshot + ": damaged at offset ", said)
        self.assertIn(f"seq 1 is no longer kept, the first one is {self.first}", said)
        self.assertIn(f"kekbit verify {self.bank}", said)
        found = self.damages(self.bank)
        self.assertEqual([path for path, _, _ in found], [self.newest, self.older, self.bank])
        self.assertIn("a replica passes it over: there is no good one", found[0][2])
        self.assertIn("no replica opens the journal", found[2][2])
        out = self.repair("--apply", expect=1)
        self.assertRegex(out, f"kekbit repair {self.bank} --apply --lose-from 1. That loses everything, of which those up to "
                         rf"seq \d+ were synced; whole frames are there up to seq {self.last}\n")
        self.assertFalse(os.path.exists(os.path.join(self.bank, "aside")))
        self.repair("--apply", "--lose-from", "1", expect=0)
        self.expect_opens(lost=True)

    def test_a_snapshot_of_another_history_is_named_and_moved(self):
        other = self.path("other")
        process = subprocess.Popen([LEDGER, "serve", "--directory", other, "--snapshot-on-primary", "--snapshot-every",
                                    str(self.seq_of(self.newest))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        self.ask(process, "open ada 5", *["open x 1"] * (self.seq_of(self.newest) + 100))
        while not os.path.isdir(os.path.join(other, "snapshots")) or not any(
                name.endswith(".snapshot") for name in os.listdir(os.path.join(other, "snapshots"))):
            self.assertIsNone(process.poll())
        process.stdin.close()
        process.wait()
        process.stdout.close()
        theirs, = [name for name in os.listdir(os.path.join(other, "snapshots")) if name.endswith(".snapshot")]
        foreign = os.path.join(self.bank, "snapshots", theirs)
        os.rename(os.path.join(other, "snapshots", theirs), foreign)
        self.assertIn("another history", self.expect_refused())
        (path, _, reason), = self.damages(self.bank)
        self.assertEqual(path, foreign)
        self.assertIn("another history", reason)
        self.assertIn("it is the newest good one, so no replica opens the journal", reason)
        self.repair("--apply", expect=0)
        self.assertEqual(self.aside(), [f"snapshots.{theirs}.moved_1"])
        self.expect_opens()

    def test_damage_before_the_newest_one_is_in_nobodys_way(self):
        # In the same segment, at its very beginning, and up to the snapshot's own frame.
        seq = self.seq_of(self.newest)
        path, number, _ = self.segment_of(seq)
        same = [frame["seq"] for frame in self.frames if frame["segment"] == number and frame["seq"] <= seq]
        with open(path, "rb") as file:
            whole = file.read()
        for damaged in same[0], same[len(same) // 2], same[-2], same[-1]:
            self.flip_length(damaged)
            out = self.run_kekbit("verify", self.bank, expect=1)[0].decode()
            self.assertIn(f"can be opened: {self.bank}: a replica begins with the snapshot {self.newest}, needs nothing "
                          "that is damaged, and reads up to {epoch 1, seq " + str(self.last) + "}", out)
            with open(path, "wb") as file:
                file.write(whole)
        self.flip_length(same[-1])
        self.assertIn(f"snapshot {self.newest} of seq {seq}", self.say_opens())

    def say_opens(self):
        result = subprocess.run([LEDGER, "serve", "--directory", self.bank], input=b"digest\n", capture_output=True,
                                timeout=50, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.decode().split()[-1], self.digest)
        return result.stderr.decode()

    def test_damaged_segments_before_the_newest_one_are_moved(self):
        seq = self.seq_of(self.newest)
        number = self.segment_of(seq)[1]
        before = [frame for frame in self.frames if frame["segment"] == number - 1]
        self.flip_length(before[10]["seq"])
        self.run_kekbit("verify", self.bank, expect=1)
        out = self.repair(expect=1)
        moved = {frame["segment"] for frame in self.frames if frame["segment"] < number}
        for each in moved:
            self.assertIn(f"would move: {self.segment(each)} to ", out)
        self.assertIn(f"would move: {self.older} to ", out)
        self.repair("--apply", expect=0)
        self.assertEqual(len(self.aside()), len(moved) + 1)
        self.expect_opens()

    def test_damage_behind_the_newest_one_loses_what_is_behind_it(self):
        seq = self.seq_of(self.newest)
        bad = seq + 100
        self.flip_length(bad)
        out = self.repair("--apply", expect=1)
        self.assertIn(f"--apply --lose-from {bad}. That loses every command from seq {bad} on", out)
        self.repair("--apply", "--lose-from", str(bad), expect=0)
        self.expect_opens(lost=True)

    def test_the_segment_of_the_newest_one_is_missing(self):
        seq = self.seq_of(self.newest)
        os.remove(self.segment_of(seq)[0])
        self.assertIn("is missing", self.expect_refused())
        out = self.repair("--apply", expect=1)
        self.assertIn(f"damage: the journal does not go on behind the snapshot {self.newest}: ", out)
        self.assertRegex(out, f"--apply --lose-from {seq + 1}. That loses every command from seq {seq + 1} on"
                         rf"(, of which those up to seq \d+ were synced)?; whole frames are there up to seq {self.last}\n")
        self.repair("--apply", "--lose-from", str(seq + 1), expect=0)
        self.assertIn(f"snapshot {self.newest} of seq {seq}, 0 frame(s) replayed", self.expect_opens(lost=True))

    def test_the_journal_ends_before_the_newest_one(self):
        seq = self.seq_of(self.newest)
        for number in {frame["segment"] for frame in self.frames if frame["seq"] >= seq}:
            os.remove(self.segment(number))
        os.remove(os.path.join(self.bank, "synced"))
        out = self.run_kekbit("verify", self.bank, expect=1)[0].decode()
        self.assertRegex(out, f"damage: {re.escape(self.newest)}: the snapshot stands behind .* is not reached yet")
        out = self.repair(expect=1)
        self.assertIn(f"loss: none: the snapshot holds the effects of every command that is known, up to seq {seq}", out)
        self.assertTrue(out.endswith(f"run: kekbit repair {self.bank} --apply\n"), out)
        self.repair("--apply", expect=0)
        self.assertIn(f"snapshot {self.newest} of seq {seq}, 0 frame(s) replayed", self.expect_opens(lost=True))

    def test_the_last_segment_is_gone(self):
        gone = self.frames[-1]["segment"]
        os.remove(self.segment(gone))
        self.assertIn(f"segment {gone} was made since the machine started, and is gone", self.damages(self.bank)[-1][2])
        bad = min(frame["seq"] for frame in self.frames if frame["segment"] == gone)
        self.assertIn(f"--apply --lose-from {bad}. That loses every command from seq {bad} on", self.repair(expect=1))
        self.repair("--apply", "--lose-from", str(bad), expect=0)
        self.expect_opens(lost=True)

    def test_all_segments_are_gone(self):
        for number in {frame["segment"] for frame in self.frames}:
            os.remove(self.segment(number))
        os.remove(os.path.join(self.bank, "epoch"))
        found = self.damages(self.bank)
        self.assertIn("is gone", found[-1][2])
        seq = self.seq_of(self.newest)
        self.assertIn(f"--apply --lose-from {seq + 1}. That loses every command from seq {seq + 1} on", self.repair(expect=1))
        self.repair("--apply", "--lose-from", str(seq + 1), expect=0)
        self.assertIn(f"snapshot {self.newest} of seq {seq}, 0 frame(s) replayed", self.expect_opens(lost=True))

    def test_whoever_lives_is_left_alone(self):
        primary = self.start()
        self.ask(primary, "digest")  # it leads, then
        standby = self.start()
        # Until the standby has loaded the snapshot that is damaged next.
        while sum(line["kind"] == "replica" and line["state"] == "alive" and line["applied_seq"] >= self.last
                  for line in self.json_lines("stat", self.bank)) < 2:
            pass
        self.flip_payload(self.newest)
        self.expect_unusable("repair", self.bank, "--apply", says="a primary lives")
        standby.send_signal(signal.SIGSTOP)
        os.waitpid(standby.pid, os.WUNTRACED)
        primary.kill()
        primary.wait()
        self.assertIn("would move: ", self.repair(expect=1))
        out = self.expect_unusable("repair", self.bank, "--apply",
                                   says=f"a replica in process {standby.pid} follows the journal; end it, then repair")
        self.assertEqual(out, b"")
        self.assertFalse(os.path.exists(os.path.join(self.bank, "aside")))
        standby.kill()
        standby.wait()
        self.repair("--apply", expect=0)

    def start(self):
        process = self.open(subprocess.PIPE)
        self.addCleanup(lambda: [process.kill(), process.wait(), process.stdin.close(), process.stdout.close(),
                                 process.stderr.close()])
        return process


if __name__ == "__main__":
    main()
