#!/usr/bin/env python3
"""What kv_server does with clients that send nonsense, too much, or do not read; with keys that expire; with options that
make no sense."""

import os
import random
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kv_redis import KV_SERVER, Client, KvTest, ReplyError, encode, main


class Limits(KvTest):
    def serve(self, *options):
        self.server = self.kv_server(*options)
        return self.connect(process=self.server)

    def raw(self, data):
        """Sends bytes and nothing more; returns all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            answer = b""
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while more := connection.recv(65536):
                    answer += more
            except ConnectionError:
                pass
            return answer

    def test_a_command_longer_than_a_frame(self):
        client = self.serve()
        longest = (8 << 20) // 128
        reply = client.do("SET", "a", "x" * longest)
        self.assertIsInstance(reply, ReplyError)
        self.assertRegex(reply.args[0], r"^ERR .*command is longer than [0-9]+ bytes")
        # Nothing else is refused, and nothing was done.
        self.assertEqual(client.do("EXISTS", "a"), 0)
        self.assertEqual(client.do("SET", "a", "x" * (longest - 200)), b"OK")
        self.assertEqual(client.do("STRLEN", "a"), longest - 200)

    def test_what_is_no_request_ends_the_connection(self):
        client = self.serve()
        self.assertEqual(self.raw(b"*1\r\n$4\r\nPING\r\n*1\r\n:1\r\n*1\r\n$4\r\nPING\r\n"),
                         b"+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n")
        self.assertEqual(self.raw(b"PING\r\nQUIT\r\nPING\r\n"), b"+PONG\r\n+OK\r\n")
        self.assertEqual(self.raw(b"*1\r\n$99999999999\r\n"), b"-ERR Protocol error: invalid bulk length\r\n")
        self.assertEqual(self.raw(b"*2\r\n$3\r\nGET\r\n$1"), b"")
        self.assertEqual(client.do("PING"), b"PONG")

    def test_a_client_reads_why_its_connection_ends(self):
        """Unread bytes in the socket when it is closed would reset the connection, and the error would be lost."""
        client = self.serve("--max-clients", "2")
        rest = b"x" * (1 << 20)
        for data, answer in [(b"*1\r\n:1\r\n" + rest, b"-ERR Protocol error: expected '$', got ':'\r\n"),
                             (b"PING\r\nQUIT\r\n" + rest, b"+PONG\r\n+OK\r\n")]:
            self.assertEqual(self.sent_before_reading(data), answer)
            self.until("room", lambda: client.info()["connected_clients"] == "1")
        self.assertEqual(self.connect().do("PING"), b"PONG")  # and now it is full
        self.assertEqual(self.sent_before_reading(encode("SET", "a", "x" * 100)),
                         b"-ERR max number of clients reached\r\n")

    def sent_before_reading(self, data):
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            try:
                connection.sendall(data)
                time.sleep(0.05)
                connection.sendall(data[-1:])
            except BrokenPipeError:
                pass  # ECONNRESET would have come first
            answer = b""
            while more := connection.recv(65536):
                answer += more
            return answer

    def test_a_client_that_does_not_leave(self):
        client = self.serve()
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(b"QUIT\r\n")
            self.assertEqual(connection.recv(100), b"+OK\r\n")
            self.assertEqual(connection.recv(100), b"")
            # It keeps its end open; the server does not wait for long.
            self.until("its end", lambda: client.info()["connected_clients"] == "1")

    def test_a_transaction_that_is_too_long(self):
        client = self.serve()
        self.assertEqual(client.do("MULTI"), b"OK")
        value = b"x" * (1 << 20)
        replies = [client.do("SET", "a", value) for _ in range(65)]
        self.assertEqual(replies[0], b"QUEUED")
        self.assertIsInstance(replies[-1], ReplyError)
        self.assertRegex(replies[-1].args[0], "^ERR the transaction takes more than [0-9]+ bytes$")
        self.assertEqual(client.do("EXEC"), ReplyError("EXECABORT Transaction discarded because of previous errors."))
        self.assertEqual(client.do("EXISTS", "a"), 0)

    def test_random_bytes(self):
        client = self.serve()
        rng = random.Random(1)
        pieces = [b"*", b"$", b"\r\n", b"-1", b"3", b"99999999999", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n", b"GET a\r\n", b"\0",
                  encode("SADD", "s", "x"), encode("SCAN", "0"), b"\"", b" ", encode("EXPIRE", "s", "100")]
        for _ in range(300):
            data = b"".join(rng.choice(pieces) if rng.random() < 0.9 else rng.randbytes(rng.randrange(50))
                            for _ in range(rng.randrange(1, 30)))
            self.raw(data)
        self.assertEqual(client.do("PING"), b"PONG")
        self.assertIsNone(self.server.poll())

    def test_one_client_too_many(self):
        client = self.serve("--max-clients", "3")
        others = [self.connect() for _ in range(2)]
        self.assertEqual(others[1].do("PING"), b"PONG")
        self.assertEqual(self.raw(b""), b"-ERR max number of clients reached\r\n")
        self.assertEqual(client.info()["connected_clients"], "3")
        others[0].close()
        self.until("room", lambda: client.info()["connected_clients"] == "2")
        self.assertEqual(self.connect().do("PING"), b"PONG")

    def test_a_client_that_does_not_read(self):
        client = self.serve("--max-output-bytes", str(4 << 20))
        self.assertEqual(client.do("SET", "a", "x" * 50000), b"OK")
        reader = self.connect()
        greedy = self.connect()
        batch = encode("GET", "a") * 100
        with self.assertRaises(ConnectionError):
            for _ in range(10000):
                greedy.socket.sendall(batch)
        # Who reads gets everything, however much it is.
        for _ in range(20):
            reader.socket.sendall(encode("GET", "a") * 10)
            self.assertEqual([len(reader.reply()) for _ in range(10)], [50000] * 10)
        self.until("the end of the greedy one", lambda: client.info()["connected_clients"] == "2")

    def test_keys_expire_by_themselves(self):
        client = self.serve()
        self.assertEqual(client.do("SET", "a", "b", "PX", 30), b"OK")
        self.assertEqual(client.do("SET", "c", "d", "EX", 1000), b"OK")
        seq = int(client.info()["seq"])
        # Nobody asks for the key.
        self.until("the expiry", lambda: client.info()["db0"] == "keys=1,expires=1,avg_ttl=0")
        self.assertEqual(int(client.info()["seq"]), seq + 1)
        self.assertIn(client.do("TTL", "c"), (999, 1000))

    def test_an_expired_key_is_never_seen(self):
        client = self.serve()
        for i in range(20):
            self.assertEqual(client.do("SET", "a", i, "PX", 5), b"OK")
            deadline = time.time() + 0.006
            while (now := time.time()) < deadline:
                pass
            self.assertIsNone(client.do("GET", "a"), now - deadline)

    def test_scan_while_keys_come_and_go(self):
        client = self.serve()
        for i in range(500):
            client.send("SET", f"stays:{i}", i)
        self.assertEqual([client.reply() for _ in range(500)], [b"OK"] * 500)
        seen, cursor, number = [], b"0", 0
        while True:
            cursor, keys = client.do("SCAN", cursor, "COUNT", 7)
            seen += keys
            if cursor == b"0":
                break
            for _ in range(20):
                number += 1
                client.do("SET", f"comes:{number}", number)
                client.do("DEL", f"comes:{number - 10}")
        stayed = [key for key in seen if key.startswith(b"stays:")]
        self.assertEqual(sorted(stayed), sorted(f"stays:{i}".encode() for i in range(500)))

    def test_options(self):
        def run(*options):
            result = subprocess.run([KV_SERVER, *options], capture_output=True, timeout=60, check=False)
            return result.returncode, (result.stdout + result.stderr).decode()
        code, words = run("--help")
        self.assertEqual(code, 0)
        for option in ["--directory", "--port", "--bind", "--ack", "--segment-bytes", "--max-clients", "--digest",
                       "--snapshot-every", "--snapshot-on-primary"]:
            self.assertIn(option, words)
        code, words = run("--directory", self.journal, "--snapshot-on-primary")
        self.assertEqual(code, 2)
        self.assertIn("--snapshot-on-primary requires --snapshot-every", words)
        self.assertEqual(run()[0], 2)
        self.assertEqual(run("--directory", self.journal, "--ack", "maybe")[0], 2)
        self.assertEqual(run("--directory", self.journal, "--port", "x")[0], 2)
        code, words = run("--directory", self.journal, "--bind", "nowhere")
        self.assertEqual(code, 1)
        self.assertIn("nowhere: is no address in numbers, as 127.0.0.1 or ::1", words)
        with socket.socket() as other:
            other.bind(("127.0.0.1", self.port))
            other.listen()
            code, words = run("--directory", self.journal, "--port", str(self.port), "--port-timeout", "0.1")
            self.assertEqual(code, 1)
            self.assertIn("Address already in use", words)


if __name__ == "__main__":
    main()
