#!/usr/bin/env python3
"""Kills the primary again and again, or lets it hand over, while redis-benchmark and clients of its own write, and sees that the standby has
everything that was acknowledged, and the state that the journal makes.

KV_KILLS: how many times.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kv_redis import KV_SERVER, Client, KvTest, ReplyError, encode, main, needs

KILLS = int(os.environ.get("KV_KILLS", "2"))
WRITERS = 3
BATCH = 16
# Acknowledged batches of each writer between two kills.
BATCHES = 150


class Writer(threading.Thread):
    """Writes numbered values, a batch at a time, and records what was acknowledged and what it does not know about.

    Each batch sets keys that nobody else sets, counts one up, appends to a list, and sets a key that soon expires.
    """

    def __init__(self, number, port):
        super().__init__()
        self.name = f"writer{number}"
        self.port = port
        self.batch = 0  # the one that is being written
        self.acknowledged = 0  # batches
        self.unknown = 0  # batches that were sent and not answered; each is sent again
        self.stopping = False
        self.failure = None
        self.last_answer = time.monotonic()
        self.outages = []  # seconds from the last answer of a primary to the first one of the next

    def commands(self):
        for i in range(BATCH):
            yield "SET", f"{self.name}:{self.batch}:{i}", f"{self.batch * BATCH + i}"
        yield "INCR", f"{self.name}:count"
        yield "RPUSH", f"{self.name}:list", self.batch
        yield "SET", f"{self.name}:soon:{self.batch % 50}", "gone", "PX", 1 + self.batch % 40

    def run(self):
        try:
            while not self.stopping:
                self.write()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def write(self):
        """Until the connection breaks, or it is enough."""
        sent = False
        try:
            with Client(self.port) as client:
                while not self.stopping:
                    commands = list(self.commands())
                    sent = True
                    client.socket.sendall(b"".join(encode(*command) for command in commands))
                    replies = [client.reply() for _ in commands]
                    for command, reply in zip(commands, replies):
                        assert not isinstance(reply, ReplyError), f"{command}: {reply}"
                    if self.unknown and len(self.outages) < self.unknown:
                        self.outages.append(time.monotonic() - self.last_answer)
                    self.acknowledged = self.batch = self.batch + 1
                    sent = False
                    self.last_answer = time.monotonic()
        except (EOFError, ConnectionError):
            self.unknown += sent
            time.sleep(0.001)  # leaves the processor to the standby

    def check(self, test, client):
        """That all acknowledged batches are there, as they were written."""
        for first in range(0, self.acknowledged, 100):
            batches = range(first, min(first + 100, self.acknowledged))
            keys = [f"{self.name}:{batch}:{i}" for batch in batches for i in range(BATCH)]
            wanted = [str(batch * BATCH + i).encode() for batch in batches for i in range(BATCH)]
            test.assertEqual(client.do("MGET", *keys), wanted)
        # A batch without an answer was done or not, and then it was written again.
        count = int(client.do("GET", f"{self.name}:count"))
        test.assertLessEqual(self.acknowledged, count)
        test.assertLessEqual(count, self.acknowledged + self.unknown)
        pushed = [int(value) for value in client.do("LRANGE", f"{self.name}:list", 0, -1)]
        test.assertEqual(sorted(set(pushed))[:self.acknowledged], list(range(self.acknowledged)))
        test.assertEqual(pushed, sorted(pushed))
        test.assertLessEqual(len(pushed), self.acknowledged + self.unknown)


class TransactionWriter(threading.Thread):
    """Writes transactions, short ones and such that take several frames: each adds one to all of its keys."""

    KEYS = 200

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.acknowledged = 0
        self.unknown = 0
        self.stopping = False
        self.failure = None

    def run(self):
        try:
            while not self.stopping:
                self.write()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def write(self):
        sent = False
        try:
            with Client(self.port) as client:
                while not self.stopping:
                    padding = "x" * (100 if self.acknowledged % 2 else 1)
                    commands = [("MULTI",), ("GET", "sum:0"), *[("INCR", f"sum:{i}") for i in range(self.KEYS)],
                                ("SET", "padding", padding), ("RPUSH", "sums", "x"), ("LLEN", "sums"), ("EXEC",)]
                    sent = True
                    client.socket.sendall(b"".join(encode(*command) for command in commands))
                    replies = [client.reply() for _ in commands]
                    done = replies[-1]
                    assert isinstance(done, list), replies
                    count = done[1]
                    # It saw all of the one before, and its own effect.
                    assert done == [str(count - 1).encode() if count > 1 else None, *[count] * self.KEYS, b"OK", count,
                                    count], done
                    self.acknowledged += 1
                    sent = False
        except (EOFError, ConnectionError):
            self.unknown += sent
            time.sleep(0.001)


class Failover(KvTest):
    def start_pair(self, *options):
        primary = self.kv_server(*options)
        self.connect(process=primary).close()
        return primary, self.start_standby(*options)

    def start_standby(self, *options):
        standby = self.kv_server(*options)
        self.until("the standby's word", lambda: "standby on" in self.words(standby))
        return standby

    def start_benchmark(self):
        return self.start("redis-benchmark", "-p", str(self.port), "-c", "20", "-P", "4", "-n", "100000000", "-r", "5000",
                          "-q", "set", "benchmark:__rand_int__", "__rand_int__")

    def expect_state_of_journal(self, client):
        """That the primary's state is what another process makes of the journal, at the same seq."""
        def compare():
            seq = int(client.info()["seq"])
            digest = client.do("DEBUG", "DIGEST").decode()
            found = self.digest_of_journal()
            # Keys that expire in between move the seq.
            if seq != int(client.info()["seq"]) or found[0] != seq:
                return False
            self.assertEqual(found, (seq, client.do("DBSIZE"), digest))
            return True
        self.until("a quiet moment", compare)

    def run_failovers(self, *options, by_command=False):
        """Under load: kills the primary, or tells it to hand over, KILLS times."""
        primary, standby = self.start_pair(*options)
        writers = [Writer(i, self.port) for i in range(WRITERS)]
        self.addCleanup(lambda: [setattr(writer, "stopping", True) for writer in writers])
        for writer in writers:
            writer.start()
        for kill in range(KILLS + 1):
            benchmark = self.start_benchmark()
            enough = [writer.acknowledged + BATCHES for writer in writers]
            self.until("the writers", lambda: self.all_at(writers, enough))
            self.assertIsNone(benchmark.poll(), self.words(benchmark))
            if kill == KILLS:
                self.stop(benchmark)
                break
            if by_command:
                with self.connect() as client:
                    self.assertEqual(client.do("FAILOVER"), b"OK")
            else:
                self.stop(primary)
            self.until("the other primary", lambda: self.epoch() == kill + 2)
            # It ends as its connections do; but for those that broke while it wrote: it forgets them, and then waits.
            self.stop(benchmark)
            if by_command:
                primary, standby = standby, primary
            else:
                primary, standby = standby, self.start_standby(*options)
        for writer in writers:
            writer.stopping = True
            writer.join()
            self.assertIsNone(writer.failure)
        with self.connect() as client:
            self.assertEqual(int(client.info()["epoch"]), KILLS + 1)
            self.assertGreater(client.do("EXISTS", *[f"benchmark:{i:012}" for i in range(5000)]), 0)
            for writer in writers:
                writer.check(self, client)
            self.expect_state_of_journal(client)
        outages = sorted(1000 * outage for writer in writers for outage in writer.outages)
        print(f"{KILLS} failovers {options}, {sum(writer.acknowledged for writer in writers)} batches acknowledged, "
              f"from the last answer to the next: {outages[len(outages) // 2]:.1f} ms, at most {outages[-1]:.1f} ms")
        self.assertEqual([self.stop(process, signal.SIGTERM) for process in (standby, primary)], [0, 0])

    def test_transactions_are_whole_or_not_there(self):
        """Whenever the primary is killed: the next one has all of a transaction, or nothing."""
        options = "--segment-bytes", str(1 << 18)  # a frame takes 2 KiB: a transaction is cut into some ten
        primary, standby = self.start_pair(*options)
        writer = TransactionWriter(self.port)
        self.addCleanup(setattr, writer, "stopping", True)
        writer.start()
        for kill in range(KILLS + 1):
            enough = writer.acknowledged + 10
            self.until("the writer", lambda enough=enough: writer.failure or writer.acknowledged >= enough)
            self.assertIsNone(writer.failure)
            self.stop(primary)
            self.until("the other primary", lambda kill=kill: self.epoch() == kill + 2)
            acknowledged = writer.acknowledged  # the other primary may soon acknowledge more
            with self.connect() as client:
                self.assertEqual([client.do("MULTI"), client.do("LLEN", "sums"),
                                  client.do("MGET", *[f"sum:{i}" for i in range(writer.KEYS)])],
                                 [b"OK", b"QUEUED", b"QUEUED"])
                count, sums = client.do("EXEC")
                self.assertEqual(sums, [str(count).encode()] * writer.KEYS)
                self.assertGreaterEqual(count, acknowledged)
            primary, standby = standby, self.start_standby(*options)
        writer.stopping = True
        writer.join()
        self.assertIsNone(writer.failure)
        with self.connect() as client:
            self.assertLessEqual(client.do("LLEN", "sums"), writer.acknowledged + writer.unknown)
            self.expect_state_of_journal(client)
            self.assertEqual(client.do("WAIT", 1, 0), 1)
            self.stop(standby)
            self.until("the end of the standby", lambda: client.do("WAIT", 1, 0) == 0)

    def epoch(self):
        try:
            with Client(self.port) as client:
                return int(client.info()["epoch"])
        except (EOFError, ConnectionError):
            return 0

    def all_at(self, writers, enough):
        for writer in writers:
            if writer.failure:
                raise writer.failure
        return all(writer.acknowledged >= wanted for writer, wanted in zip(writers, enough))

    def test_kills_under_load(self):
        self.run_failovers()

    def test_kills_under_load_when_synced(self):
        self.run_failovers("--ack", "synced")

    def test_kills_under_load_with_snapshots(self):
        self.run_failovers("--snapshot-every", "5000", "--segment-bytes", str(1 << 20))
        snapshots = os.listdir(os.path.join(self.journal, "snapshots"))
        self.assertTrue(snapshots)
        segments = os.path.join(self.journal, "segments", "0000_0000")
        self.assertNotIn("0000_0001.kekbit", os.listdir(segments), "the journal was not cut")

    def test_a_primary_alone_takes_snapshots_if_it_may(self):
        options = "--snapshot-every", "1000", "--snapshot-on-primary", "--segment-bytes", str(1 << 16)
        primary = self.kv_server(*options)
        client = self.connect(process=primary)
        first = os.path.join(self.journal, "segments", "0000_0000", "0000_0001.kekbit")

        def cut():
            for _ in range(500):
                client.send("INCR", "n")
            self.assertEqual(len([client.reply() for _ in range(500)]), 500)
            return not os.path.exists(first)
        self.until("the journal to be cut behind the older of two snapshots", cut)
        self.assertEqual(len(os.listdir(os.path.join(self.journal, "snapshots"))), 2)
        count = client.do("GET", "n")
        self.stop(primary)
        with self.connect(process=self.kv_server(*options)) as client:
            self.assertEqual(client.do("GET", "n"), count)
            self.expect_state_of_journal(client)

    def test_handing_over_under_load(self):
        self.run_failovers(by_command=True)

    def test_handing_over_to_nobody(self):
        primary = self.kv_server()
        client = self.connect(process=primary)
        with self.assertRaisesRegex(ReplyError, "^ERR FAILOVER requires connected replicas.$"):
            raise client.do("FAILOVER")
        self.assertEqual(client.do("SET", "a", "b"), b"OK")
        self.assertEqual(client.info()["epoch"], "1")

    def test_what_it_says_of_itself(self):
        primary, standby = self.start_pair()
        self.assertRegex(self.words(primary), f"primary in epoch 1, at seq 1, pid {primary.pid}; listening on ")
        self.assertRegex(self.words(standby), f"standby on .* at seq 1, pid {standby.pid}; takes over")
        with self.connect() as client:
            self.assertEqual(client.do("FAILOVER"), b"OK")
        self.until("the other primary", lambda: "primary in epoch 2" in self.words(standby))
        self.until("the word of the one before", lambda: "no longer the primary: a standby" in self.words(primary))
        for process in primary, standby:
            for line in self.words(process).splitlines():
                self.assertRegex(line, r"^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z kv_server: ")
        self.assertRegex(self.words(standby), "takeover: epoch 2 behind seq")
        said = subprocess.run([KV_SERVER, "--help"], capture_output=True, check=True).stdout.decode()
        self.assertRegex(said, "Commands: APPEND .* FAILOVER .* GET .* TTL")

    def test_the_standby_does_not_listen(self):
        primary = self.kv_server()
        client = self.connect(process=primary)
        primary_port, self.port = self.port, self.free_port()
        standby = self.start_standby()
        with self.assertRaises(ConnectionRefusedError):
            Client(self.port)
        self.assertEqual(client.do("SET", "a", "b"), b"OK")
        self.stop(primary)
        with self.connect(process=standby) as second:
            self.assertEqual(second.do("GET", "a"), b"b")
            self.assertEqual(second.info()["epoch"], "2")
        with self.assertRaises(ConnectionRefusedError):
            Client(primary_port)

    def test_what_the_primary_says_of_its_standby(self):
        primary = self.kv_server()
        client = self.connect(process=primary)
        info = client.info()
        self.assertEqual((info["kekbit_role"], info["connected_slaves"], info["lag"]), ("primary", "0", "0"))
        standby = self.start_standby()
        self.assertEqual([client.do("INCR", "n") for _ in range(1000)], list(range(1, 1001)))
        info = self.until("the standby to catch up", lambda: (now := client.info())["lag"] == "0" and now)
        self.assertEqual(info["connected_slaves"], "1")
        self.assertEqual(info["slave0"], f"pid={standby.pid},seq={info['seq']},lag=0")
        # One that has stopped falls behind, and that shows.
        standby.send_signal(signal.SIGSTOP)
        os.waitpid(standby.pid, os.WUNTRACED)
        self.assertEqual([client.do("INCR", "n") for _ in range(500)], list(range(1001, 1501)))
        self.assertEqual(client.info()["lag"], "500")
        standby.send_signal(signal.SIGCONT)
        self.until("the standby to catch up", lambda: client.info()["lag"] == "0")

    def test_a_planned_end(self):
        primary, standby = self.start_pair()
        with self.connect() as client:
            self.assertEqual(client.do("SET", "a", "b", "PX", 600000), b"OK")
        self.assertEqual(self.stop(primary, signal.SIGTERM), 0)
        with self.connect(process=standby) as client:
            self.assertEqual(client.do("GET", "a"), b"b")
            # Its time goes on where it was.
            self.assertGreater(client.do("PTTL", "a"), 0)
            self.assertLessEqual(client.do("PTTL", "a"), 600000)
        self.assertEqual(self.stop(standby, signal.SIGINT), 0)
        # And again, from the journal alone.
        with self.connect(process=self.kv_server()) as client:
            self.assertEqual(client.do("GET", "a"), b"b")
            self.expect_state_of_journal(client)

    def test_a_whole_benchmark_and_redis_cli(self):
        server = self.kv_server()
        self.connect(process=server).close()
        benchmark = subprocess.run(
            ["redis-benchmark", "-p", str(self.port), "-n", "2000", "-P", "8", "--csv", "-t",
             "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,lrange,mset"],
            capture_output=True, check=True, timeout=60)
        self.assertNotIn(b"rror", benchmark.stdout)
        self.assertEqual(benchmark.stdout.count(b"\n"), 18, benchmark.stdout)

        def cli(*words):
            return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, check=True,
                                  timeout=60).stdout.decode().splitlines()
        self.assertEqual(cli("flushall"), ["OK"])
        with self.connect() as client:
            for i in range(1000):
                client.send("SET", f"key:{i}", i)
            self.assertEqual([client.reply() for _ in range(1000)], [b"OK"] * 1000)
        self.assertEqual(sorted(cli("--scan")), sorted(f"key:{i}" for i in range(1000)))
        self.assertEqual(sorted(cli("--scan", "--pattern", "key:99?")), [f"key:{i}" for i in range(990, 1000)])
        self.assertIn("role:master", cli("info"))
        self.assertIn("kekbit_role:primary", cli("info"))


if __name__ == "__main__":
    needs("redis-benchmark", "redis-cli")
    main()
