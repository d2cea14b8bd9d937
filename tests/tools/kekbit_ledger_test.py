#!/usr/bin/env python3
"""Runs `kekbit stat` and `kekbit top` beside two ledgers: a primary and its standby, stopped, killed and taken over."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import MAKER as LEDGER
from kekbit_cli import KekbitTest, main


class Ledger:
    def __init__(self, directory):
        self.process = subprocess.Popen([LEDGER, "serve", "--directory", directory], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid

    def do(self, *lines):
        """Sends all commands, then awaits the answer to each; returns the last one."""
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())
        self.process.stdin.flush()
        for line in lines:
            answer = self.process.stdout.readline().decode()
            assert answer.startswith("ok "), f"{line}: {answer}"
        return answer

    def halt(self):
        """Stops it; returns when none of its threads runs any more."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Ends it by the end of its input."""
        self.process.stdin.close()
        self.process.wait()
        self.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        for pipe in self.process.stdin, self.process.stdout, self.process.stderr:
            pipe.close()


class TwoLedgers(KekbitTest):
    def setUp(self):
        super().setUp()
        self.bank = self.path("bank")
        self.primary = self.start()
        self.primary.do("open ada 1000000", "open bob 0", *["transfer ada bob 1"] * 500)
        self.standby = self.start()
        self.await_stat(lambda journal, replicas: self.standby.pid in replicas and
                        replicas[self.standby.pid]["applied_seq"] == journal["last_seq"])

    def start(self):
        ledger = Ledger(self.bank)
        self.addCleanup(ledger.kill)
        return ledger

    def stat(self):
        journal, *replicas = self.json_lines("stat", self.bank, expect=(0, 3))
        return journal, {replica["pid"]: replica for replica in replicas}

    def await_stat(self, reached):
        """Looks until it is so: what the test waits for comes by what it did, or the test does not end."""
        while not reached(*(seen := self.stat())):
            pass
        return seen

    def test_both_are_seen(self):
        journal, replicas = self.stat()
        self.assertEqual((journal["epoch"], journal["first_seq"], journal["last_seq"]), (1, 1, 503))
        self.assertEqual((journal["lease"], journal["primary_pid"]), ("held", self.primary.pid))
        self.assertEqual(journal["state_name"], "ledger")
        self.assertEqual((journal["replicas_alive"], journal["replicas_dead"]), (2, 0))
        primary, standby = replicas[self.primary.pid], replicas[self.standby.pid]
        self.assertEqual((primary["state"], primary["role"], primary["epoch"]), ("alive", "primary", 1))
        self.assertEqual((primary["published_seq"], primary["applied_seq"], primary["errors"]), (503, 503, 0))
        self.assertEqual(primary["takeovers"], 1)
        self.assertEqual((standby["state"], standby["role"], standby["may_lead"]), ("alive", "follower", True))
        self.assertEqual((standby["applied_seq"], standby["published_seq"], standby["takeovers"]), (503, 0, 0))
        self.assertEqual([standby[name] for name in ("lag_frames", "lag_bytes", "lag_ns")], [0, 0, 0])
        self.assertGreater(standby["apply_count"], 0)
        self.assertLess(standby["apply_count"], 100)

    def test_a_standby_that_is_stopped_falls_behind_and_catches_up(self):
        self.standby.halt()
        before = self.stat()[1][self.standby.pid]
        self.primary.do(*["transfer ada bob 1"] * 300)
        journal, replicas = self.stat()
        behind = replicas[self.standby.pid]
        self.assertEqual((behind["state"], behind["role"]), ("alive", "follower"))
        self.assertEqual(behind["applied_seq"], before["applied_seq"])
        self.assertEqual(behind["lag_frames"], 300)
        frames = [item for item in self.json_lines("dump", self.bank) if "frame" in item][-301:]
        self.assertEqual(behind["lag_bytes"], sum((8 + item["length"] + 7) // 8 * 8 for item in frames[1:]))
        self.assertEqual(behind["lag_ns"], frames[-1]["time"] - frames[0]["time"])
        self.assertEqual(journal["last_time"], frames[-1]["time"])
        self.standby.go_on()
        replicas = self.await_stat(lambda _, replicas: replicas[self.standby.pid]["lag_frames"] == 0)[1]
        self.assertEqual(replicas[self.standby.pid]["lag_bytes"], 0)

    def test_a_primary_that_hangs_is_seen(self):
        journal, _ = self.stat()
        self.assertEqual((journal["primary_hangs"], "primary_stopped" in journal), (False, False))
        self.primary.halt()
        self.assertTrue(self.stat()[0]["primary_stopped"])
        journal, replicas = self.await_stat(lambda journal, _: journal["primary_hangs"])
        self.assertGreaterEqual(journal["primary_silent_ns"], 3 * 10**9)
        self.assertEqual((journal["primary_pid"], replicas[self.primary.pid]["state"]), (self.primary.pid, "alive"))
        for command in ["stat"], ["top", "--once"]:
            out = self.run_kekbit(*command, self.bank)[0].decode()
            self.assertRegex(out, f"(?m)^primary          pid {self.primary.pid}, stopped by a signal or a debugger, "
                             r"no sign of life for \S+ (s|min)$")
            self.assertRegex(out, f"(?m)^ +{self.primary.pid}  hangs  primary ")
        self.primary.go_on()
        # Idle, it shows signs of life all the same.
        journal, _ = self.await_stat(lambda journal, _: not journal["primary_hangs"])
        self.assertNotIn("primary_stopped", journal)

    def test_a_takeover_is_seen_and_the_dead_one_too(self):
        self.primary.kill()
        self.standby.do("transfer ada bob 7")
        journal, replicas = self.stat()
        self.assertEqual((journal["epoch"], journal["last_epoch"], journal["last_seq"]), (2, 2, 505))
        self.assertEqual((journal["primary_pid"], journal["replicas_alive"], journal["replicas_dead"]),
                         (self.standby.pid, 1, 1))
        dead, primary = replicas[self.primary.pid], replicas[self.standby.pid]
        self.assertEqual((dead["state"], dead["role"], dead["epoch"], dead["published_seq"]), ("died", "primary", 1, 503))
        self.assertEqual((primary["role"], primary["epoch"], primary["published_seq"]), ("primary", 2, 505))
        self.assertEqual((primary["takeovers"], primary["takeover_epoch"]), (1, 2))
        self.assertEqual((primary["takeover_follows"], primary["lag_frames"]), (503, 0))
        self.assertGreater(primary["takeover_first_append_ns"], 0)
        out = self.run_kekbit("top", "--once", self.bank)[0].decode()
        self.assertRegex(out, f"(?m)^ +{self.standby.pid}  alive  primary .*\n(.*\n)* +takeover  1, the last into epoch 2: ")
        self.assertRegex(out, f"(?m)^ +{self.primary.pid}  died   primary ")
        self.standby.stop()
        journal, replicas = self.stat()
        self.assertEqual((journal["lease"], journal["replicas_alive"]), ("free", 0))
        self.assertEqual([replica["state"] for replica in replicas.values()], ["ended", "died"])


if __name__ == "__main__":
    main()
