#!/usr/bin/env python3
"""Keys expire in time, and not before it, whatever the machine's clock is set to meanwhile."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kv_redis import KvTest, main

SHIFTED_CLOCK = os.path.abspath(sys.argv.pop(2)) if len(sys.argv) > 2 else ""
DAY_S = 24 * 3600


class Clock(KvTest):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.directory, "clock")

    def set_clock(self, seconds):
        with open(self.file + ".new", "w", encoding="ascii") as file:
            file.write(str(seconds))
        os.rename(self.file + ".new", self.file)

    def serve(self):
        self.server = self.kv_server(LD_PRELOAD=SHIFTED_CLOCK, SHIFTED_CLOCK=self.file)
        return self.connect(process=self.server)

    def expect_time_passes(self, client):
        """A key that has a short time ends, one that has a long time does not."""
        self.assertEqual(client.do("SET", "long", "v", "EX", 10000), b"OK")
        self.assertEqual(client.do("SET", "short", "v", "PX", 500), b"OK")
        self.assertIn(client.do("PTTL", "short"), [-2, *range(501)])
        self.assertEqual(client.do("SET", "unread", "v", "PX", 500), b"OK")
        self.until("the expiry", lambda: client.do("GET", "short") is None)
        self.until("the expiry of a key that nobody reads", lambda: client.do("DBSIZE") == 1)
        self.assertIn(client.do("TTL", "long"), range(9900, 10001))

    def test_a_clock_that_was_a_day_ahead(self):
        self.set_clock(DAY_S)
        client = self.serve()
        self.expect_time_passes(client)
        self.set_clock(0)
        self.assertIn(client.do("TTL", "long"), range(9900, 10001))
        self.expect_time_passes(client)
        # And for the next primary, which never saw the wrong clock.
        self.stop(self.server, signal.SIGKILL)
        self.expect_time_passes(self.serve())

    def test_a_clock_that_jumps_a_day_ahead(self):
        self.set_clock(0)
        client = self.serve()
        self.expect_time_passes(client)
        self.set_clock(DAY_S)
        self.assertIn(client.do("TTL", "long"), range(9900, 10001))
        self.expect_time_passes(client)
        self.set_clock(0)
        self.expect_time_passes(client)

    def test_a_clock_that_goes_back(self):
        self.set_clock(0)
        client = self.serve()
        self.expect_time_passes(client)
        self.set_clock(-DAY_S)
        self.expect_time_passes(client)


if __name__ == "__main__":
    main()
