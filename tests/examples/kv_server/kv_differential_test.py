#!/usr/bin/env python3
"""Gives the same commands to kv_server and to redis-server, some listed and very many random ones, and compares each
reply, the text of errors included.

KV_SEED and KV_COMMANDS make the random ones others, or more.
"""

import os
import random
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kv_redis import DEADLINE_S, KvTest, ReplyError, encode, main, needs

COMMANDS = int(os.environ.get("KV_COMMANDS", "20000"))
SEED = int(os.environ.get("KV_SEED", "7"))
BATCH = 50

KEYS = ["a", "b", "c", "d", "e", "f", "", "k\r\n\0\xff"]
VALUES = ["", "v", "10", "-7", "007", "+1", " 1", "1.5", "9223372036854775807", "-9223372036854775808",
          "9223372036854775808", "x" * 200, "two words", "\r\n"]
FIELDS = ["f1", "f2", "f3", "", "f\n"]
INTEGERS = ["0", "1", "-1", "2", "5", "-5", "100", "-100", "9223372036854775807", "-9223372036854775808",
            "9223372036854775808", "01", "x", "", "1 ", "-0", "3.0"]
# Long enough that nothing expires in between, or not at all.
TIMES = ["100000", "200000", "0", "-1", "9223372036854775807", "9223372036854775", "-9223372036854775808", "x", ""]
EXPIRE_OPTIONS = ["NX", "XX", "GT", "LT", "nx", "ZZ"]
SET_OPTIONS = ["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT", "nx", "get", "bogus"]
PATTERNS = ["*", "a", "?", "[a-c]", "[^a-c]", "", "*b*", "\\a", "[c-a]", "[ab", "k*", "x"]

# Replies whose order is Redis' own business.
UNORDERED = {"SMEMBERS", "HGETALL", "SCAN"}
# Replies that change while one compares: milliseconds may have passed.
CLOSE = {"TTL", "PTTL"}


def some(choice, values, least, most):
    return [choice(values) for _ in range(choice(range(least, most + 1)))]


def random_command(rng):
    """A list of words, most of them such that the command makes sense."""
    pick = rng.choice
    key = pick(KEYS)
    table = [
        lambda: ["GET", key],
        lambda: ["SET", key, pick(VALUES)],
        lambda: ["SET", key, pick(VALUES), pick(SET_OPTIONS[:4])],
        lambda: ["SET", key, pick(VALUES), pick(["EX", "PX", "ex"]), pick(TIMES)],
        lambda: ["SET", key, pick(VALUES), *some(pick, SET_OPTIONS + ["9999999999999"], 0, 4)],
        lambda: ["DEL", *some(pick, KEYS, 1, 3)],
        lambda: ["EXISTS", *some(pick, KEYS, 1, 4)],
        lambda: [pick(["EXPIRE", "PEXPIRE"]), key, pick(TIMES), *some(pick, EXPIRE_OPTIONS, 0, 2)],
        lambda: [pick(["EXPIRE", "PEXPIRE"]), key, pick(TIMES[:2]) + "000"],
        lambda: [pick(["TTL", "PTTL"]), key],
        lambda: ["PERSIST", key],
        lambda: [pick(["INCR", "DECR"]), key],
        lambda: [pick(["INCRBY", "DECRBY"]), key, pick(INTEGERS)],
        lambda: ["APPEND", key, pick(VALUES)],
        lambda: ["STRLEN", key],
        lambda: ["MGET", *some(pick, KEYS, 1, 4)],
        lambda: ["MSET", *some(pick, KEYS, 1, 6)],
        lambda: ["HSET", key, *some(pick, FIELDS, 1, 6)],
        lambda: ["HSET", key, pick(FIELDS), pick(VALUES)],
        lambda: ["HGET", key, pick(FIELDS)],
        lambda: ["HDEL", key, *some(pick, FIELDS, 1, 3)],
        lambda: ["HGETALL", key],
        lambda: [pick(["LPUSH", "RPUSH"]), key, *some(pick, VALUES, 1, 3)],
        lambda: [pick(["LPOP", "RPOP"]), key],
        lambda: [pick(["LPOP", "RPOP"]), key, *some(pick, INTEGERS, 1, 2)],
        lambda: ["LRANGE", key, pick(INTEGERS), pick(INTEGERS)],
        lambda: ["LLEN", key],
        lambda: ["SADD", key, *some(pick, FIELDS, 1, 3)],
        lambda: ["SREM", key, *some(pick, FIELDS, 1, 3)],
        lambda: ["SMEMBERS", key],
        lambda: ["SISMEMBER", key, pick(FIELDS)],
        lambda: ["SCAN", pick(["0", "x", "", "-"]), "COUNT", "1000", "MATCH", pick(PATTERNS)],
        lambda: ["SCAN", "0", "TYPE", pick(["string", "hash", "list", "set", "zset"]), "COUNT", "1000"],
        lambda: ["SCAN", "0", "COUNT", pick(["1000", "0", "-1", "x"]), *some(pick, ["MATCH", "*", "FOO"], 0, 2)],
        lambda: ["DBSIZE"],
        lambda: ["PING", *some(pick, VALUES, 0, 2)],
        lambda: ["ECHO", *some(pick, VALUES, 0, 2)],
        lambda: [pick(["NOSUCH", "", "G\r\nET", "x" * 300]), *some(pick, VALUES, 0, 4)],
    ]
    words = pick(table)()
    if rng.random() < 0.01:
        words = ["FLUSHALL", *some(pick, ["ASYNC", "SYNC", "NOW"], 0, 2)]
    if rng.random() < 0.02:
        words = words[:rng.randrange(len(words)) + 1]
    if rng.random() < 0.1:
        words[0] = rng.choice([str.lower, str.title])(words[0])
    return [word.encode("latin-1") for word in words]


LISTED = """
SET n 10 | INCR n | DECR n | INCRBY n 9223372036854775807 | DECRBY n -9223372036854775808 | GET n
SET t v EX 100 | TTL t | SET t w KEEPTTL | TTL t | SET t x | TTL t | SET t y PX 0 | SET t y EX -5 | SET t y EX x
SET t y NX XX | SET t y EX 1 PX 1 | SET t y EX | SET t y NX GET | SET new y NX GET | GET new | SET none y XX GET
SADD s a b | SET s z GET | SET s z XX GET | GET s | SET s z | GET s
EXPIRE t 100 NX | EXPIRE t 200 NX | EXPIRE t 50 GT | EXPIRE t 300 GT | EXPIRE t 400 LT | EXPIRE t 100 LT XX | TTL t
EXPIRE t 100 GT LT | EXPIRE t 100 NX XX | EXPIRE t 100 FOO | PERSIST t | PERSIST t | EXPIRE t 100 LT | EXPIRE t 0
EXISTS t | EXPIRE gone 100 | PEXPIRE n 9223372036854775807 | EXPIRE n 9223372036854775 | SET p v PXAT 9223372036854775807
RPUSH l a b c d e | LRANGE l 0 -1 | LRANGE l -2 100 | LRANGE l 3 1 | LPOP l 2 | RPOP l 0 | RPOP l 100 | LPOP l | LPOP l 1
LPOP l -1 | LPOP l 1 2 | LPOP s 1 | LPOP s | LLEN s | LRANGE s 0 0 | LRANGE l x 0
HSET h a 1 b 2 | HSET h a 3 | HSET h a | HGET h a | HGET h z | HDEL h a b | EXISTS h | HGETALL h | HGET n a
MSET x 1 y 2 x 3 | MGET x y none s | MSET x | APPEND x 5 | STRLEN x | APPEND l z | STRLEN none
SMEMBERS none | SISMEMBER none a | SREM none a | SADD n a | INCR h2 | INCR s | GET | SCAN 0 COUNT 0 | SCAN x
COMMAND COUNT x | COMMAND LIST x | COMMAND INFO nosuch other | INFO nosuch
FLUSHALL | SCAN -1 | SCAN +1 | SCAN 00 | SCAN 18446744073709551615 | SCAN 18446744073709551616 | SCAN 0x10 | SCAN 1.0
FLUSHALL SYNC | FLUSHALL NOW | DBSIZE | ECHO | ECHO a b | PING a b | PING a | nosuch a b
"""

# What is no request, or hardly one. In each, all bytes are read before the connection ends.
NO_REQUESTS = [
    b"*1\r\n$04\r\nPING\r\n", b"*01\r\n", b"*+1\r\n", b"* 1\r\n", b"*1\r\n$ 4\r\n", b"*1\r\nPING\r\n", b"*x\r\n", b"*\r\n",
    b"*1\r\n$x\r\n", b"*1\r\n$\r\n", b"*1\r\n$4\nPING\r\n", b"*2147483648\r\n", b"*99999999999999999999\r\n",
    b"*1\r\n$" + b"1" * 40 + b"\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n*1\r\n", b"*1\r\n+PING\r\n",
    b"*1\r\n\"PING\r\n", b"*1\r\n\\PING\r\n", b"*1\r\n\tPING\r\n", b"*1\r\n\xffPING\r\n",
    *[b"*1\r\n" + kind + b"1\r\n" for kind in (b"_", b"#", b"(", b",", b"%", b"~", b">", b"=", b"!", b"|", b":", b"-")],
    b"PING \"a\r\n", b"PING 'a'b\r\n", b"*0\r\n*-1\r\nQUIT\r\n", b"\n \r\nPING 'a b' \r\nQUIT\r\n",
]


class Differential(KvTest):
    def setUp(self):
        super().setUp()
        self.redis_port = self.free_port()
        server = self.redis_server(self.redis_port)
        ours = self.kv_server()
        self.redis = self.connect(self.redis_port, server)
        self.kv = self.connect(process=ours)

    def run_both(self, commands):
        """Gives both all commands at once; compares the replies one by one."""
        batch = b"".join(encode(*command) for command in commands)
        self.redis.socket.sendall(batch)
        self.kv.socket.sendall(batch)
        for command in commands:
            expected, actual = self.redis.reply(), self.kv.reply()
            self.assertTrue(self.same(command[0].upper().decode("latin-1"), expected, actual),
                            f"{command} (seed {SEED}):\nredis-server: {expected!r}\nkv_server:    {actual!r}")

    @staticmethod
    def same(name, expected, actual):
        if name in CLOSE and isinstance(expected, int) and isinstance(actual, int) and min(expected, actual) >= 0:
            return abs(expected - actual) <= (2 if name == "TTL" else 2000)
        if name in UNORDERED and isinstance(expected, list) and isinstance(actual, list):
            if name == "SCAN":
                return len(actual) == 2 and expected[0] == actual[0] and sorted(expected[1]) == sorted(actual[1])
            if name == "HGETALL":
                return sorted(zip(expected[::2], expected[1::2])) == sorted(zip(actual[::2], actual[1::2]))
            return sorted(expected) == sorted(actual)
        return type(expected) is type(actual) and expected == actual

    def test_listed(self):
        commands = [part.split() for line in LISTED.strip().splitlines() for part in line.split("|")]
        self.run_both([[word.encode() for word in command] for command in commands])

    def test_random(self):
        rng = random.Random(SEED)
        for _ in range(COMMANDS // BATCH):
            self.run_both([random_command(rng) for _ in range(BATCH)])

    def test_what_is_no_request(self):
        for data in NO_REQUESTS:
            answers = []
            for port in self.redis_port, self.port:
                with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
                    connection.sendall(data)
                    with connection.makefile("rb") as file:
                        answers.append(file.read())
            self.assertEqual(answers[0], answers[1], f"{data}: redis-server, kv_server")

    def test_sections_of_info(self):
        def heads(*words):
            return [line for line in self.kv.do("INFO", *words).split(b"\r\n") if line.startswith(b"#")]
        every = [b"# Server", b"# Clients", b"# Stats", b"# Replication", b"# Keyspace"]
        for words in [], ["all"], ["DEFAULT"], ["nosuch", "everything"]:
            self.assertEqual(heads(*words), every)
        self.assertEqual(heads("replication"), [b"# Replication"])
        self.assertEqual(heads("KEYSPACE", "server"), [b"# Server", b"# Keyspace"])
        self.assertTrue(self.kv.do("INFO", "replication").startswith(b"# Replication\r\nrole:master\r\n"))

    def test_what_commands_there_are(self):
        names = self.kv.do("COMMAND", "LIST")
        self.assertEqual(self.kv.do("COMMAND", "COUNT"), len(names))
        for name, ours, theirs in zip(names, self.kv.do("COMMAND"), self.redis.do("COMMAND", "INFO", *names)):
            self.assertEqual(ours, self.kv.do("COMMAND", "INFO", name.upper())[0])
            # Redis' say more, and take options that ours do not.
            if name not in (b"failover", b"debug"):
                self.assertEqual(ours[:2] + ours[3:], theirs[:2] + theirs[3:6])

    def test_errors_are_told_from_values(self):
        self.assertFalse(self.same("GET", ReplyError("ERR a"), ReplyError("ERR b")))
        self.assertFalse(self.same("GET", b"1", 1))
        self.assertFalse(self.same("SMEMBERS", [b"a"], [b"b"]))
        self.assertFalse(self.same("TTL", 100, -1))


if __name__ == "__main__":
    needs("redis-server")
    main()
