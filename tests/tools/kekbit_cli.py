"""What the tests of the kekbit command share: running it, checking its JSON, a live writer, the channel format."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

KEKBIT = os.path.abspath(sys.argv[1]) if len(sys.argv) > 2 else ""
MAKER = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else ""

DATA_OFFSET = 1024
CLOSE = 0xFFFFFFFFFFFFFFFF
WATERMARK = 0xFFFFFFFF11111111
KINDS = {"record", "heartbeat", "watermark", "close", "end", "damage"}
# A dump's fields, in their order.
FIELDS = ["segment", "offset", "kind", "length", "payload", "text", "frame", "epoch", "seq", "time", "crc", "command",
          "reason"]


def strict_object(line):
    """The JSON object in a line of bytes; no duplicate names, no NaN, no raw control characters, valid UTF-8."""
    def no_duplicates(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), f"a name twice in {line}"
        return dict(pairs)

    def no_constant(name):
        raise AssertionError(f"{name} in {line}")

    assert line.endswith(b"\n") and line.count(b"\n") == 1, line
    value = json.loads(line.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=no_constant)
    assert isinstance(value, dict), line
    return value


def check_item(item):
    """A line of `dump` or `tail`."""
    assert item["kind"] in KINDS, item
    assert [field for field in FIELDS if field in item] == list(item), f"order or unknown field: {item}"
    has_payload = "payload" in item
    assert has_payload or item["kind"] != "record", item
    if has_payload:
        payload = bytes.fromhex(item["payload"])
        assert item["payload"] == payload.hex() and len(payload) == item["length"], item
        said = bytes.fromhex(item["command"]) if "frame" in item else payload
        assert ("text" in item) == is_text(said), item
        assert item.get("text", "").encode() == (said if "text" in item else b""), item
    assert ("reason" in item) or item["kind"] != "damage", item
    return item


def is_text(data):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(c in "\t\n" or not (ord(c) < 32 or 0x7F <= ord(c) < 0xA0) for c in text)


class Maker:
    """A channel_maker process: a live writer."""

    def __init__(self):
        self.process = subprocess.Popen([MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def do(self, *lines):
        for line in lines:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            assert answer == b"ok\n", f"{line}: {answer}"
        return self

    def kill(self):
        self.process.kill()
        self.stop()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class KekbitTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def maker(self):
        maker = Maker()
        self.addCleanup(maker.kill)
        return maker

    def run_kekbit(self, *args, expect=0):
        """Runs it and returns what it says, (standard output, standard error), as bytes. `expect`: the exit code, or
        those that may be."""
        expect = expect if isinstance(expect, tuple) else (expect,)
        result = subprocess.run([KEKBIT, *args], capture_output=True, timeout=50, check=False)
        self.assertIn(result.returncode, expect, f"{args}: {result.stdout[-500:]!r} {result.stderr!r}")
        if result.returncode != 2:
            self.assertEqual(result.stderr, b"")
        return result.stdout, result.stderr

    def json_lines(self, *args, expect=0):
        return [strict_object(line) for line in self.run_kekbit(*args, "--json", expect=expect)[0].splitlines(True)]

    def dump(self, path, *args):
        return [check_item(item) for item in self.json_lines("dump", path, *args)]

    def expect_unusable(self, *args, says):
        out, error = self.run_kekbit(*args, expect=2)
        self.assertIn(says.encode(), error)
        self.assertTrue(error.startswith(b"kekbit: ") and error.count(b"\n") == 1, error)
        return out

    def damages(self, path):
        """(offset, reason) of each damage that verify finds in a path that has some."""
        lines = self.json_lines("verify", path, expect=1)
        out = self.run_kekbit("verify", path, expect=1)[0].decode()
        found = [line for line in lines if "reason" in line]
        self.assertTrue(found)
        for line in found:
            self.assertEqual((line["kind"], line["ok"]), ("damage", False))
            self.assertIn("damage: " + line["reason"], out)
            self.assertIn(line["file"], line["reason"])
        return [(line["file"], line["offset"], line["reason"]) for line in found]


def patch(path, offset, data):
    """Writes into the data area of a channel's file."""
    with open(path, "r+b") as file:
        file.seek(DATA_OFFSET + offset)
        file.write(data)


def word(value):
    return struct.pack("<Q", value)


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(seed, data):
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
