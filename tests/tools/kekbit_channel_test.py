#!/usr/bin/env python3
"""Runs `kekbit` on channels: ours, the Rust library's, live ones, damaged ones, and on what is no channel."""

import os
import random
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import (CLOSE, DATA_OFFSET, KEKBIT, WATERMARK, KekbitTest, check_item, main, patch, strict_object, word)

SAMPLES = "tests/testdata/rust_kekbit_channels"


def manifest():
    """For each Rust sample: its path and the items that its manifest lists."""
    samples = []
    with open(os.path.join(SAMPLES, "MANIFEST.txt"), encoding="utf-8") as file:
        for line in file:
            if match := re.match(r"=== (\S+)", line):
                samples.append((os.path.join(SAMPLES, match[1]), []))
            elif match := re.match(r" +pos +(\d+) len (\d+) +(hex|text|heartbeat|empty record) ?(.*)", line):
                payload = bytes.fromhex(match[4]) if match[3] == "hex" else match[4][1:-1].encode()
                kind = "record" if match[3] in ("hex", "text") else "heartbeat"
                samples[-1][1].append((int(match[1]), kind, payload))
            elif match := re.match(r" +(CLOSE|WATERMARK) at pos (\d+)", line):
                samples[-1][1].append((int(match[2]), match[1].lower(), b""))
    return samples


def items(dump):
    return [(item["offset"], item["kind"], bytes.fromhex(item.get("payload", ""))) for item in dump]


class RustSamples(KekbitTest):
    def test_dump_shows_what_the_manifest_lists(self):
        samples = manifest()
        self.assertEqual(len(samples), 10)
        for path, expected in samples:
            with self.subTest(path):
                self.assertEqual(items(self.dump(path)), expected)

    def test_stat_and_verify(self):
        for path, expected in manifest():
            with self.subTest(path):
                [facts] = self.json_lines("stat", path)
                self.assertEqual(facts["records"], sum(kind == "record" for _, kind, _ in expected))
                self.assertEqual(facts["heartbeats"], sum(kind == "heartbeat" for _, kind, _ in expected))
                self.assertEqual(facts["payload_bytes"], sum(len(payload) for _, _, payload in expected))
                self.assertEqual(facts["used_bytes"], expected[-1][0])
                self.assertEqual(facts["state"], "closed" if expected[-1][1] == "close" else "open")
                self.assertEqual((facts["writer"], facts["writer_id"], facts["capacity"]), ("unknown", 850, 16384))
                self.assertNotIn("data_format", facts)
                [summary] = self.json_lines("verify", path)
                self.assertEqual((summary["ok"], summary["offset"], summary["kind"]), (True,) + expected[-1][:2])

    def test_a_full_one_ends_with_its_file(self):
        path = self.path("full.kekbit")
        shutil.copy(manifest()[2][0], path)
        end = 16384 + 128 + 32 - DATA_OFFSET
        patch(path, 0, (word(8) + word(0)) * (end // 16) + word(0) * (end // 8 % 2))
        dump = self.dump(path)
        self.assertEqual((dump[-1]["kind"], dump[-1]["offset"]), ("end", end))
        self.assertEqual(self.json_lines("stat", path)[0]["state"], "full")
        self.run_kekbit("verify", path)


class OurChannels(KekbitTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("channel.kekbit")

    def make(self, *lines):
        return self.maker().do("channel " + self.file, *lines)

    def test_dump_shows_every_item(self):
        self.make("write hello", "heartbeat", "hex 00ff", "close")
        self.assertEqual(items(self.dump(self.file)), [(0, "heartbeat", b""), (8, "record", b"hello"),
                                                       (24, "heartbeat", b""), (32, "record", b"\x00\xff"),
                                                       (48, "close", b"")])

    def test_text_is_told_from_bytes(self):
        payloads = [b'quotes " and \\ back', b"tab\tand\nline", "wörld ✓ 🎉 \u2028".encode(), b"\r", b"\x1b[31m",
                    b"\x7f", "\u0085".encode(), "\u00a0".encode(), b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                    b"cut \xe2\x9c", b"\x00"]
        self.make(*("hex " + payload.hex() for payload in payloads), "close")
        dump = [item for item in self.dump(self.file) if item["kind"] == "record"]  # checks text, too
        self.assertEqual([bytes.fromhex(item["payload"]) for item in dump], payloads)
        self.assertEqual(["text" in item for item in dump],
                         [True] * 3 + [False] * 4 + [True] + [False] * 5)

    def test_limit_and_from(self):
        self.make("write a", "write b", "write c")
        self.assertEqual([item["offset"] for item in self.dump(self.file, "--limit", "2")], [0, 8])
        self.assertEqual(self.dump(self.file, "--limit", "0"), [])
        self.assertEqual([item["offset"] for item in self.dump(self.file, "--from", "24")], [24, 40, 56])
        self.assertEqual([item["offset"] for item in self.dump(self.file, "--from", "24", "--limit", "1")], [24])
        self.assertEqual([item["kind"] for item in self.dump(self.file, "--from", "56")], ["watermark"])
        self.expect_unusable("dump", self.file, "--from", "25", says="offset 25 is inside an item, the next begins at 40")
        self.expect_unusable("dump", self.file, "--from", "64", says="there is no offset 64")
        self.expect_unusable("dump", self.file, "--from", "-1", says="--from")

    def test_tables_for_people(self):
        self.make("write hello", "hex 00ff", "close")
        out = self.run_kekbit("dump", self.file)[0].decode().splitlines()
        self.assertEqual([line.split() for line in out],
                         [["offset", "kind", "length", "payload"], ["0", "heartbeat", "0"],
                          ["8", "record", "5", '"hello"'], ["24", "record", "2", "00ff"], ["40", "close"]])
        self.assertEqual(len({line.index(key) for line, key in zip(out, ["kind", "heart", "rec", "rec", "close"])}), 1)
        self.assertIn("state            closed\n", self.run_kekbit("stat", self.file)[0].decode())
        self.assertEqual(self.run_kekbit("verify", self.file)[0].decode(),
                         f"{self.file}: ok, 2 record(s), 1 heartbeat(s); close at offset 40\n")

    def test_states_of_the_writer(self):
        maker = self.make("write hello")

        def state():
            facts = self.json_lines("stat", self.file)[0]
            self.assertEqual(facts["data_format_name"], "raw bytes")
            return facts["state"], facts["writer"], facts["data_format"]

        self.assertEqual(state(), ("open", "alive", 2))
        maker.kill()
        self.assertEqual(state(), ("abandoned", "gone", 2))
        self.assertEqual([item["kind"] for item in self.dump(self.file)], ["heartbeat", "record", "watermark"])
        os.remove(self.file)
        self.make("close")
        self.assertEqual(state(), ("closed", "gone", 2))

    def test_looking_writes_nothing(self):
        maker = self.make("write hello")

        def state():
            with open(self.file, "rb") as file:
                return sorted(os.listdir(self.directory)), file.read()
        before = state()
        os.chmod(self.file, stat.S_IRUSR)
        for command in "dump", "stat", "verify", "tail":
            self.run_kekbit(command, self.file)
        self.assertEqual(state(), before)
        maker.do("write more")
        self.assertEqual(self.dump(self.file)[-2]["text"], "more")

    def tail(self, *args):
        process = subprocess.Popen([KEKBIT, "tail", "-f", "--json", *args], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_tail_follows_until_the_close(self):
        maker = self.make("write one", "write two")
        tail = self.tail("-n", "1", self.file)
        self.assertEqual(strict_object(tail.stdout.readline())["text"], "two")
        for i in range(20):
            maker.do(f"write live {i}")
            self.assertEqual(check_item(strict_object(tail.stdout.readline()))["text"], f"live {i}")
        maker.do("heartbeat", "close")
        self.assertEqual([strict_object(line)["kind"] for line in tail.stdout], ["heartbeat", "close"])
        self.assertEqual(tail.wait(), 0)

    def test_tail_ends_with_the_writer(self):
        maker = self.make("write one")
        tail = self.tail(self.file)
        self.assertEqual([strict_object(tail.stdout.readline())["kind"] for _ in range(2)], ["heartbeat", "record"])
        maker.do("write last")
        maker.kill()
        self.assertEqual([strict_object(line)["kind"] for line in tail.stdout], ["record", "watermark"])
        self.assertEqual(tail.wait(), 0)

    def test_tail_of_what_is_there(self):
        self.make("fill 30 x", "close")
        self.assertEqual(len(self.json_lines("tail", self.file)), 11)
        self.assertEqual([line["kind"] for line in self.json_lines("tail", "-n", "2", self.file)],
                         ["record", "record", "close"])
        self.assertEqual([line["kind"] for line in self.json_lines("tail", "-n", "0", self.file)], ["close"])

    def test_a_full_channel(self):
        self.make("fill 1023 12345678")  # with the first heartbeat: up to 8 bytes before the end
        self.assertEqual(self.json_lines("stat", self.file)[0]["available_bytes"], 8)
        path = self.path("other.kekbit")
        maker = self.maker().do("channel " + path, "fill 1023 12345678", "heartbeat")
        self.assertEqual(self.json_lines("stat", path)[0]["state"], "full")
        self.assertEqual(items(self.dump(path))[-1], (16384, "watermark", b""))
        maker.do("close")
        self.assertEqual(items(self.dump(path))[-1], (16384, "close", b""))


class Pipes(KekbitTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("channel.kekbit")
        # More than a pipe holds, as JSON.
        self.writer = self.maker().do("channel " + self.file, "fill 960 12345678")

    def test_a_reader_that_leaves_is_no_error(self):
        for command in (["dump"], ["tail", "-f", "-n", "960"]):
            process = subprocess.Popen([KEKBIT, *command, "--json", self.file], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(timeout=50), 0)
            self.assertEqual(process.stderr.read(), b"")
            process.stderr.close()

    def test_a_full_disk_is_one(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([KEKBIT, "dump", self.file], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"standard output: No space left", result.stderr)


class Damage(KekbitTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("channel.kekbit")
        self.maker().do("channel " + self.file, *(f"write record {i}" for i in range(8)), "close").stop()
        self.whole = self.dump(self.file)
        self.copy = self.path("copy.kekbit")

    def damaged(self, offset, data):
        shutil.copy(self.file, self.copy)
        patch(self.copy, offset, data)
        return self.copy

    def test_each_flipped_length_is_named(self):
        for item in self.whole[:-1]:
            for length in (129, 1 << 32 | 8, CLOSE ^ 1, WATERMARK ^ 1 << 40, 1 << 63) if item["offset"] == 8 else (129,):
                path = self.damaged(item["offset"], word(length))
                with self.subTest(item=item, length=length):
                    [(file, offset, reason)] = self.damages(path)
                    self.assertEqual((file, offset), (path, item["offset"]))
                    self.assertIn(f"at offset {offset} stands 0x{length:016x}", reason)
                    dump = self.dump(path)
                    self.assertEqual((dump[-1]["kind"], dump[-1]["offset"]), ("damage", item["offset"]))
                    self.assertEqual(dump[:-1], [whole for whole in self.whole if whole["offset"] < item["offset"]])
                    self.assertEqual(self.json_lines("stat", path)[0]["state"], "damaged")

    def test_a_record_beyond_the_data_area(self):
        os.remove(self.file)
        self.maker().do("channel " + self.file, "fill 1023 12345678").stop()
        path = self.damaged(16384 - 24, word(17))
        [(_, offset, _)] = self.damages(path)
        self.assertEqual(offset, 16384 - 24)

    def test_each_cut_is_named(self):
        close = self.whole[-1]["offset"]
        for size in list(range(0, close + 8, 7)) + [close + 7]:
            shutil.copy(self.file, self.copy)
            os.truncate(self.copy, DATA_OFFSET + size)
            with self.subTest(size=size):
                [(file, offset, reason)] = self.damages(self.copy)
                self.assertEqual(file, self.copy)
                self.assertIn(f"the file ends at offset {size}, ", reason)
                last = self.dump(self.copy)[-1]
                self.assertEqual((last["kind"], last["offset"]), ("end", offset))
                self.assertEqual(self.json_lines("stat", self.copy)[0]["state"], "cut")
        # Behind the close there is nothing to lose.
        shutil.copy(self.file, self.copy)
        os.truncate(self.copy, DATA_OFFSET + close + 8)
        self.run_kekbit("verify", self.copy)

    def test_a_cut_behind_the_records_of_an_abandoned_channel(self):
        path = self.damaged(self.whole[-1]["offset"], word(WATERMARK))
        self.run_kekbit("verify", path)
        os.truncate(path, DATA_OFFSET + 8000)
        [(_, offset, reason)] = self.damages(path)
        self.assertEqual(offset, 8000)
        self.assertIn("the file was cut at offset 8000", reason)

    def test_a_damaged_header(self):
        for at, says in (32, "capacity is"), (56, "tick unit is"), (128 + 16, "extension block has checksum"):
            path = self.damaged(at - DATA_OFFSET, b"\x55")
            self.assertIn(says, self.damages(path)[0][2])
            self.expect_unusable("dump", path, says=says)
        shutil.copy(self.file, self.copy)
        os.truncate(self.copy, 100)
        self.assertIn("a file of 100 bytes is too short", self.damages(self.copy)[0][2])

    def test_any_bytes(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
        print("SEED", seed)
        rng = random.Random(seed)
        for _ in range(40):
            shutil.copy(self.file, self.copy)
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(-DATA_OFFSET, 300)
                patch(self.copy, at, rng.choice([rng.randbytes(1), word(rng.randrange(200)), rng.randbytes(8)]))
            os.truncate(self.copy, rng.choice([1 << 14, rng.randrange(1, 1500)]))
            for command in "dump", "verify", "stat":
                result = subprocess.run([KEKBIT, command, "--json", self.copy], capture_output=True, timeout=50,
                                        check=False)
                self.assertIn(result.returncode, [0, 1, 2])
                for line in result.stdout.splitlines(True):
                    strict_object(line)


class NoChannel(KekbitTest):
    def test_it_is_said(self):
        empty, text, fifo = self.path("empty"), self.path("text"), self.path("fifo")
        with open(empty, "wb"):
            pass
        with open(text, "w", encoding="utf-8") as file:
            file.write("no channel " * 100)
        os.mkfifo(fifo)
        for command in "dump", "stat", "tail", "verify":
            with self.subTest(command):
                for path, says in ((self.path("nowhere"), "No such file"), (empty, "too short"), (fifo, "is a pipe, not a file"),
                                   (text, "not a kekbit channel"), (self.directory, "a directory without a journal")):
                    out = self.expect_unusable(command, path, says=says)
                    self.expect_unusable(command, path, says=path)
                    self.assertEqual(out, b"")

    def test_arguments(self):
        self.expect_unusable(says="one of the subcommands dump, ")
        self.expect_unusable("dump", says="PATH is required; try kekbit dump --help\n")
        self.expect_unusable("dump", "x", "--explode", says="--explode")
        self.expect_unusable("repair", "x", "--lose-from", says="--lose-from")
        self.expect_unusable("explode", "x", says='there is no subcommand "explode"; it takes one of')
        for wrong in "many", "-1", "1.5", "18446744073709551616", "":
            self.expect_unusable("dump", "x", "--limit", wrong, says=f'--limit: "{wrong}" is not a number from 0 up; try kekbit dump --help\n')
        self.expect_unusable("top", "x", "--interval", "0", says='"0" is not a number of seconds')
        self.assertRegex(self.run_kekbit("--version")[0].decode(), r"^kekbit \d+\.\d+\.\d+.*, channel format 1\.0\.0\n$")
        for arguments in (["--help"], ["dump", "--help"], ["stat", "--help"], ["tail", "--help"], ["top", "--help"],
                          ["verify", "--help"]):
            self.assertIn(b"Usage", self.run_kekbit(*arguments)[0])


if __name__ == "__main__":
    main()
