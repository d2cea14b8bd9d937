"""What the tests of the kv_server example share: starting servers, and a client of the Redis protocol."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

KV_SERVER = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
# Longer than anything here takes: what ends a wait is what the test is about.
DEADLINE_S = 60


class ReplyError(Exception):
    """An error as reply, or in place of one."""

    def __eq__(self, other):
        return isinstance(other, ReplyError) and self.args == other.args

    __hash__ = None


class Pairs(list):
    """A map."""


class Members(list):
    """A set."""


class Verbatim(bytes):
    """Text for people."""


def needs(*programs):
    """Ends the test as passed, and says so, if one of Redis' programs is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        skip(f"there is no {' and no '.join(missing)} here (redis-server, redis-tools)")


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(0)


def encode(*words):
    """A request."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Client:
    def __init__(self, port, timeout=DEADLINE_S):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")

    def close(self):
        self.input.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        self.socket.sendall(encode(*words))

    def reply(self):
        """The next reply: bytes, an int, None, a list, or a ReplyError; in the protocol's version 3 also Pairs, Members,
        or a Verbatim. EOFError if there is none."""
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.body(int(rest))
        if kind == b"_":
            return None
        if kind == b"=":
            return Verbatim(self.body(int(rest)))
        if kind == b"%":
            return Pairs((self.reply(), self.reply()) for _ in range(int(rest)))
        if kind == b"~":
            return Members(self.reply() for _ in range(int(rest)))
        assert kind == b"*", line
        return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]

    def body(self, size):
        data = self.input.read(size + 2)
        if len(data) != size + 2:
            raise EOFError("the server closed the connection")
        assert data.endswith(b"\r\n"), data
        return data[:-2]

    def do(self, *words):
        self.send(*words)
        return self.reply()

    def info(self):
        lines = self.do("INFO").decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)


class KvTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.journal = os.path.join(self.directory, "journal")
        self.port = self.free_port()

    @staticmethod
    def free_port():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def start(self, *command, **environment):
        """A process that does not outlive the test; its words go to a file."""
        words = open(os.path.join(self.directory, f"words_{time.monotonic_ns()}"), "w+b")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                                   env={**os.environ, **environment})
        process.words = words
        self.addCleanup(self.stop, process, signal.SIGKILL)
        return process

    @staticmethod
    def stop(process, how=signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(how)
            process.wait()
        if not process.words.closed:
            process.words.close()
        return process.returncode

    def words(self, process):
        with open(process.words.name, encoding="utf-8") as file:
            return file.read()

    def kv_server(self, *options, **environment):
        if "--segment-bytes" not in options:
            options += ("--segment-bytes", str(8 << 20))
        return self.start(KV_SERVER, "--directory", self.journal, "--port", str(self.port), *options,
                          **environment)

    def redis_server(self, port, *options):
        return self.start("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                          "no", "--dir", self.directory, *options)

    def until(self, what, condition):
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.002)
        return self.fail(f"waited in vain for {what}")

    def connect(self, port=None, process=None):
        """A client, once the server takes one."""
        def attempt():
            if process is not None and process.poll() is not None:
                self.fail(f"the server ended: {self.words(process)}")
            try:
                return Client(port or self.port)
            except ConnectionError:
                return None
        client = self.until("a connection", attempt)
        self.addCleanup(client.close)
        return client

    def digest_of_journal(self):
        """What a replica of its own makes of the journal: (seq, keys, digest)."""
        result = subprocess.run([KV_SERVER, "--directory", self.journal, "--digest"], capture_output=True, check=True,
                                timeout=DEADLINE_S)
        words = result.stdout.decode().split()
        self.assertEqual(words[::2], ["seq", "keys", "digest"])
        return int(words[1]), int(words[3]), words[5]


def main():
    unittest.main(argv=sys.argv[:1]+sys.argv[2:], verbosity=2)
