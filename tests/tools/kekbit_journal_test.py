#!/usr/bin/env python3
"""Runs `kekbit` on journals: of several segments and epochs, live, and damaged in each way that verify knows."""

import os
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kekbit_cli import DATA_OFFSET, KEKBIT, KekbitTest, check_item, crc32c, main, patch, strict_object

FRAME = struct.Struct("<IBBHQQqII")  # crc32c, kind, flags, type_version, epoch, seq, time_ns, type_id, reserved
CRC, KIND, EPOCH, SEQ, TIME = 0, 1, 4, 5, 6
EPOCH_START = 2
# The segment's last hint: the checksum that its first frame is seeded with.
FOLLOWS_CRC_AT = 128 + 24 + 3 * 8


def reseal(path, change):
    """Lets `change(index, header, payload)` change the header and payload of each frame of a segment, then makes all
    checksums fit: so what is wrong is not the checksums."""
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        crc = struct.unpack_from("<I", data, FOLLOWS_CRC_AT)[0]
        at, index = DATA_OFFSET, 0
        while 0 < (length := struct.unpack_from("<Q", data, at)[0]) < 1 << 32:
            header = list(FRAME.unpack_from(data, at + 8))
            payload = bytearray(data[at + 8 + FRAME.size:at + 8 + length])
            change(index, header, payload)
            record = bytearray(FRAME.pack(*header) + payload)
            crc = crc32c(crc, record[4:])
            struct.pack_into("<I", record, 0, crc)
            data[at + 8:at + 8 + length] = record
            at += (8 + length + 7) // 8 * 8
            index += 1
        file.seek(0)
        file.write(data)


class Journal(KekbitTest):
    """Two epochs: the first fills two segments and a bit, the second begins the fourth. Both primaries were killed."""

    FIRST_EPOCH = 410
    SECOND_EPOCH = 5

    def setUp(self):
        super().setUp()
        self.journal = self.path("journal")
        maker = self.maker().do("journal " + self.journal)
        for i in range(self.FIRST_EPOCH):
            maker.do(f"write command {i}")
        maker.kill()
        self.live = self.maker().do("journal " + self.journal)
        for i in range(self.SECOND_EPOCH):
            self.live.do(f"write late {i}")

    def segment(self, number):
        return os.path.join(self.journal, f"segments/0000_0000/0000_{number:04x}.kekbit")

    def frames(self):
        return [item for item in self.dump(self.journal) if "frame" in item]


class Sound(Journal):
    def test_dump_shows_all_frames_in_order(self):
        dump = self.dump(self.journal)
        frames = [item for item in dump if "frame" in item]
        self.assertEqual([item["seq"] for item in frames], list(range(1, self.FIRST_EPOCH + self.SECOND_EPOCH + 3)))
        self.assertEqual([item["epoch"] for item in frames], [1] * (self.FIRST_EPOCH + 1) + [2] * (self.SECOND_EPOCH + 1))
        self.assertEqual([item["text"] for item in frames if item["frame"] == "command"],
                         [f"command {i}" for i in range(self.FIRST_EPOCH)] +
                         [f"late {i}" for i in range(self.SECOND_EPOCH)])
        self.assertEqual([item["seq"] for item in frames if item["frame"] == "epoch start"], [1, self.FIRST_EPOCH + 2])
        self.assertEqual(sorted(item["time"] for item in frames), [item["time"] for item in frames])
        segments = [item["segment"] for item in dump]
        self.assertEqual((sorted(segments), set(segments)), (segments, {1, 2, 3}))
        self.assertEqual([item["kind"] for item in dump if "frame" not in item], ["close", "close", "watermark"])
        for item in frames:
            self.assertEqual(item["crc"], struct.unpack_from("<I", bytes.fromhex(item["payload"]))[0])
            self.assertEqual(item["payload"][2 * FRAME.size:], item["command"])

    def test_checksums_are_those_of_the_format(self):
        crc = 0
        for item in self.frames():
            crc = crc32c(crc, bytes.fromhex(item["payload"])[4:])
            self.assertEqual(item["crc"], crc)

    def test_a_segment_alone(self):
        alone = self.dump(self.segment(2))
        whole = [item for item in self.dump(self.journal) if item["segment"] == 2]
        self.assertEqual(alone, [{name: value for name, value in item.items() if name != "segment"} for item in whole])
        self.run_kekbit("verify", self.segment(2))
        self.assertEqual(self.dump(self.segment(2), "--from", str(alone[3]["offset"])), alone[3:])

    def test_tables_for_people(self):
        out = self.run_kekbit("dump", self.journal)[0].decode()
        self.assertEqual([line for line in out.splitlines() if line.startswith("segment ")],
                         [f"segment {n}: {self.segment(n)}" for n in (1, 2, 3)])
        self.assertRegex(out, r'\n +72  record +49      1           2  \S+Z  +[0-9a-f]{8}  "command 0"\n')
        self.assertIn(f"epoch start, follows {{epoch 1, seq {self.FIRST_EPOCH + 1}}}\n", out)

    def test_verify(self):
        lines = self.json_lines("verify", self.journal)
        self.assertEqual([(line["segment"], line["ok"], line["kind"]) for line in lines],
                         [(1, True, "close"), (2, True, "close"), (3, True, "watermark")])
        self.assertEqual((lines[-1]["epoch"], lines[-1]["seq"]), (2, self.FIRST_EPOCH + self.SECOND_EPOCH + 2))
        self.assertEqual(sum(line["records"] for line in lines), self.FIRST_EPOCH + self.SECOND_EPOCH + 2)

    def test_stat_of_segments(self):
        facts = self.json_lines("stat", "--segments", self.journal, expect=3)
        self.assertEqual([fact["kind"] for fact in facts], ["journal"] + ["segment"] * 3)
        facts = facts[1:]
        self.assertEqual([(fact["segment"], fact["state"], fact["writer"]) for fact in facts],
                         [(1, "closed", "gone"), (2, "closed", "gone"), (3, "open", "alive")])
        self.assertEqual([fact["last_seq"] for fact in facts[:-1]], [fact["follows_seq"] for fact in facts[1:]])
        self.assertEqual((facts[-1]["last_epoch"], facts[-1]["follows_epoch"]), (2, 1))
        self.assertNotIn("heartbeats", facts[0])
        out = self.run_kekbit("stat", "--segments", self.journal, expect=3)[0].decode()
        self.assertNotIn("heartbeats", out)
        self.assertEqual(out.count("data_format      2 (raw bytes)\n"), 3)
        self.assertEqual(len(self.json_lines("stat", self.segment(2))), 1)

    def test_tail_goes_back_over_segments(self):
        dump = self.dump(self.journal)
        frames = [item for item in dump if "frame" in item]
        for count in 0, 1, 6, 7, 250, 416, 417, 500:
            # The frames, and what stands behind the last one of each segment that is shown.
            first = frames[max(0, len(frames) - count):] or dump[-1:]
            expected = dump[dump.index(first[0]):]
            with self.subTest(count):
                self.assertEqual(self.json_lines("tail", "-n", str(count), self.journal), expected)
        out = self.run_kekbit("tail", "-n", "7", self.journal)[0].decode()
        self.assertEqual(re.findall(r"^segment (\d+):", out, re.M), ["2", "3"])

    def test_tail_crosses_segments(self):
        tail = subprocess.Popen([KEKBIT, "tail", "-f", "-n", "1", "--json", self.journal], stdout=subprocess.PIPE)
        self.addCleanup(tail.stdout.close)
        self.addCleanup(tail.wait)
        self.addCleanup(tail.kill)

        def next_item():
            return check_item(strict_object(tail.stdout.readline()))
        seq = next_item()["seq"]
        expected = self.frames()[-1]["seq"]
        self.assertEqual(seq, expected)
        self.live.do("fill 300 more")
        closed = []
        while seq < expected + 300:
            item = next_item()
            if item["kind"] == "close":
                closed.append(item["segment"])
                continue
            self.assertEqual(item["seq"], seq + 1)
            seq = item["seq"]
        self.assertEqual(closed, [3])
        # Its primary's death is not a journal's end.
        self.live.kill()
        other = self.maker().do("journal " + self.journal, "write after all")
        texts = []
        while not texts or texts[-1] != "after all":
            texts.append(next_item().get("text"))
        other.do("close")

    def test_usage(self):
        self.expect_unusable("dump", self.journal, "--from", "0", says="an offset is a place in one channel")
        os.mkdir(self.path("empty"))
        os.mkdir(self.path("empty/segments"))
        self.expect_unusable("verify", self.path("empty"), says="there are no segments")


class Damaged(Journal):
    def one_damage(self, says, segment, offset=None, path=None):
        found = self.damages(path or self.journal)
        self.assertEqual(len(found), 1, found)
        self.assertEqual(found[0][0], self.segment(segment))
        self.assertIn(says, found[0][2])
        if offset is not None:
            self.assertEqual(found[0][1], offset)
            self.assertIn(f"at offset {offset}", found[0][2])

    def test_a_flipped_byte_in_each_part_of_a_frame(self):
        frames = [item for item in self.frames() if item["segment"] == 2]
        for at in 8 + 4, 8 + 8, 8 + 16, 8 + 24, 8 + 32, 8 + FRAME.size:
            frame = frames[at]
            with open(self.segment(2), "rb") as file:
                whole = file.read()
            patch(self.segment(2), frame["offset"] + at, bytes([whole[DATA_OFFSET + frame["offset"] + at] ^ 0x10]))
            with self.subTest(at=at):
                self.one_damage("checksum is 0x", 2, frame["offset"])
                self.one_damage("checksum is 0x", 2, frame["offset"], path=self.segment(2))
                damaged = [item for item in self.dump(self.journal) if item["kind"] == "damage"]
                self.assertEqual([item["offset"] for item in damaged], [frame["offset"]])
            with open(self.segment(2), "wb") as file:
                file.write(whole)
        self.run_kekbit("verify", self.journal)

    def test_a_flipped_length(self):
        frame = [item for item in self.frames() if item["segment"] == 1][7]
        patch(self.segment(1), frame["offset"], struct.pack("<Q", 1 << 20))
        found = self.damages(self.journal)
        self.assertEqual([(file, offset) for file, offset, _ in found],
                         [(self.segment(1), frame["offset"]), (self.segment(2), 0)])

    def test_zeros_in_the_middle(self):
        # Pages that never reached the disk: the segment seems to end there, and the next one tells.
        frame = [item for item in self.frames() if item["segment"] == 1][100]
        patch(self.segment(1), frame["offset"], bytes(4096))
        self.one_damage("the segment follows {epoch 1, seq ", 2)

    def test_a_missing_segment(self):
        os.remove(self.segment(2))
        self.one_damage("segment 3 comes after segment 1: what is between them is missing", 3)

    def test_the_first_segments_are_missing(self):
        # What is left is whole, but without a snapshot nobody can begin with it.
        os.remove(self.segment(1))
        (path, _, reason), = self.damages(self.journal)
        self.assertEqual(path, self.journal)
        self.assertIn("there is no good snapshot to begin with", reason)

    def test_a_segment_of_another_journal(self):
        other = self.path("other")
        self.maker().do("journal " + other, "fill 500 other").stop()
        shutil.copy(os.path.join(other, "segments/0000_0000/0000_0002.kekbit"), self.segment(2))
        self.assertIn("the segment follows", self.damages(self.journal)[0][2])

    def test_a_channel_that_is_no_segment(self):
        os.remove(self.segment(3))
        self.maker().do("channel " + self.segment(3), "write hello", "close").stop()
        self.one_damage("not a segment of a journal", 3)

    def test_a_segment_that_is_no_channel(self):
        with open(self.segment(2), "wb"):
            pass
        self.one_damage("too short", 2)

    def test_a_hole_in_the_seq(self):
        def skip_one(index, header, _):
            header[SEQ] += index >= 3
        reseal(self.segment(3), skip_one)
        self.one_damage("a frame of {epoch 2, seq ", 3)

    def test_an_epoch_that_falls(self):
        def fall(index, header, _):
            header[EPOCH] -= index >= 3
        reseal(self.segment(3), fall)
        self.one_damage("a frame of {epoch 1, seq ", 3)

    def test_an_epoch_without_a_start(self):
        def grow(index, header, _):
            header[EPOCH] += index >= 3
        reseal(self.segment(3), grow)
        self.one_damage("a frame of {epoch 3, seq ", 3)

    def test_a_time_that_goes_back(self):
        def back(index, header, _):
            header[TIME] -= 1 << 50 if index == 5 else 0
        reseal(self.segment(3), back)
        self.one_damage("is before that of the last frame", 3)

    def test_an_epoch_start_that_follows_something_else(self):
        def change(index, header, payload):
            if header[KIND] == EPOCH_START:
                payload[8] ^= 1  # follows_seq
        reseal(self.segment(3), change)
        self.one_damage("an epoch start names {epoch 1, seq ", 3, 0)

    def test_a_frame_of_a_newer_version(self):
        def change(index, header, _):
            if index == 4:
                header[KIND] = 200
        reseal(self.segment(3), change)
        self.expect_unusable("verify", self.journal, says="a frame of kind 200 is unknown")
        self.assertEqual(self.frames()[-2]["frame"], "kind 200")

    def test_resealing_alone_changes_nothing(self):
        reseal(self.segment(3), lambda index, header, payload: None)
        self.run_kekbit("verify", self.journal)


if __name__ == "__main__":
    main()
