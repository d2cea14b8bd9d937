#!/usr/bin/env python3
"""Gives the same commands to kv_server and to redis-server, some listed and very many random ones, and compares each
reply, the text of errors included.

KV_SEED and KV_COMMANDS make the random ones others, or more.
"""

import os
import random
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kv_redis import DEADLINE_S, KvTest, Members, Pairs, ReplyError, encode, main, needs, skip

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
UNORDERED = {"SMEMBERS", "HGETALL", "HKEYS", "HVALS", "KEYS", "SCAN"}
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
        lambda: ["TYPE", key],
        lambda: ["KEYS", pick(PATTERNS)],
        lambda: [pick(["SCARD", "HLEN", "HKEYS", "HVALS"]), key],
        lambda: ["HMSET", key, *some(pick, FIELDS, 1, 6)],
        lambda: ["SETEX", key, pick(TIMES), pick(VALUES)],
        lambda: ["PSETEX", key, pick(TIMES), pick(VALUES)],
        lambda: ["SETNX", key, pick(VALUES)],
        lambda: ["GETSET", key, pick(VALUES)],
        lambda: ["GETDEL", key],
        lambda: [pick(["RENAME", "RENAMENX"]), key, pick(KEYS)],
        lambda: ["UNLINK", *some(pick, KEYS, 1, 3)],
        lambda: [pick(["EXPIREAT", "PEXPIREAT"]), key, pick(["9999999999", "9999999999999", "1", "-1", "x", ""]),
                 *some(pick, EXPIRE_OPTIONS, 0, 2)],
        lambda: ["SELECT", pick(["0", "1", "-1", "x", "", "00"])],
        lambda: ["AUTH", *some(pick, ["default", "x", ""], 0, 3)],
        lambda: ["WAIT", pick(["0", "x", "-1"]), pick(["0", "x", "-1", "10"])],
        lambda: ["CLIENT", pick(["SETNAME", "GETNAME", "NO-EVICT", "NOSUCH", "setname"]),
                 *some(pick, ["on", "off", "", "a b", "name"], 0, 2)],
        lambda: ["CONFIG", "GET", "nosuch*", *some(pick, ["nor*this"], 0, 1)],
        lambda: ["UNWATCH"],
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


def random_transaction(rng):
    """Between MULTI and EXEC, mostly; errors and nested ones among them."""
    pick = rng.choice
    commands = [["WATCH", *some(pick, KEYS, 1, 3)] for _ in range(pick([0, 0, 1, 2]))]
    commands += [random_command(rng) for _ in range(pick([0, 0, 1]))]
    commands += [["MULTI"]] * pick([0, 1, 1, 1, 1, 1, 1, 1, 1, 2])
    inside = [random_command(rng) for _ in range(pick(range(8)))]
    # One that spoils the transaction would leave few that are not.
    if rng.random() < 0.8:
        inside = [words for words in inside if words[0].upper().decode("latin-1") in KNOWN and len(words) > 2]
    if rng.random() < 0.1:
        inside.insert(0, [b"WATCH", b"a"])
    commands += inside
    commands += [pick([["EXEC"]] * 8 + [["DISCARD"], ["EXEC", "x"], ["RESET"]])]
    return [[word if isinstance(word, bytes) else word.encode("latin-1") for word in words] for words in commands]


KNOWN = {"SET", "INCRBY", "APPEND", "MGET", "HSET", "HDEL", "LPUSH", "RPUSH", "SADD", "SREM", "RENAME", "EXISTS", "HMSET",
         "GETSET", "SETNX", "MSET", "LRANGE", "HGET", "SISMEMBER", "UNLINK"}

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
SET g v | GETDEL g | GETDEL g | GETDEL l2 | GETSET g a | GETSET g b | SET g x EX 100 | GETSET g y | TTL g | TYPE g | TYPE none
SETEX g 100 v | TTL g | SETEX g 0 v | SETEX g -1 v | SETEX g x v | PSETEX g 0 v | SETEX g 9223372036854775807 v | SETNX g w
RPUSH rl a | RENAME rl g | TYPE g | TTL g | RENAME none g | RENAME g g | RENAMENX g x | RENAMENX g y2 | RENAMENX y2 y2
HMSET hm a 1 b 2 | HMSET hm a | HLEN hm | HKEYS hm | HVALS hm | HMSET g2 | SCARD s | SCARD hm | HLEN none | KEYS * | KEYS h*
UNLINK hm none | EXPIREAT s 1 | EXISTS s | EXPIREAT s 9999999999 | PEXPIREAT x 99999999999999 NX | EXPIREAT x 9223372036854775807
SELECT 0 | SELECT 1 | SELECT x | SELECT 99999999999 | WAIT 0 0 | WAIT x 0 | WAIT 0 x | WAIT 0 -1 | AUTH x | AUTH default x
AUTH nobody x | AUTH a b c | HELLO x | HELLO 4 | HELLO 2 FOO | HELLO 2 SETNAME | HELLO 2 AUTH nobody x | HELLO 2 SETNAME a\tb
CLIENT | CLIENT NOSUCH | CLIENT SETNAME | CLIENT SETNAME a\tb | CLIENT SETNAME name | CLIENT GETNAME | CLIENT SETNAME "" x
CLIENT NO-EVICT on | CLIENT NO-EVICT maybe | CONFIG | CONFIG GET | CONFIG GET nosuch | CONFIG SET nosuch 1 | CONFIG NOSUCH
CONFIG RESETSTAT | COMMAND NOSUCH | COMMAND COUNT x | RESET | CLIENT GETNAME | RESET x | QUIT2
EXEC | DISCARD | MULTI | MULTI | SET a 1 | EXEC | MULTI | SET a | EXEC | MULTI | NOSUCH | EXEC | MULTI | DISCARD | EXEC
MULTI | EXEC | MULTI | SET a x | INCR a | LPUSH a v | GET a | SET a x EX x | SET a y EX 0 | EXEC | GET a | EXEC x | MULTI
GET a | EXEC x | EXEC | MULTI | WATCH a | GET a | EXEC | WATCH | WATCH a b | SET a 2 | MULTI | GET a | EXEC | GET a
WATCH a | UNWATCH | SET a 3 | MULTI | GET a | EXEC | WATCH a | MULTI | SET a 4 | EXEC | MULTI | GET a | EXEC | WATCH new
SET new 1 | DEL new | MULTI | GET a | EXEC | WATCH a | FLUSHALL | MULTI | GET a | EXEC | WATCH none | FLUSHALL | MULTI | PING
EXEC | SADD ws a | WATCH ws | SADD ws a | SREM ws x | MULTI | EXEC | WATCH ws | EXPIRE ws 100 | MULTI | EXEC | WATCH a | DISCARD
SET a 5 | MULTI | PING | ECHO x | DBSIZE | SELECT 0 | CLIENT GETNAME | UNWATCH | AUTH x | EXEC | MULTI | SET a 6 | RESET | EXEC
MULTI | SET a 7 | DISCARD | GET a | MULTI | GETDEL a | RENAME a b | HMSET h a 1 | SETNX h 1 | SETNX n 1 | HGETALL h | LPOP none 1
EXEC | MULTI | CLIENT NOSUCH | EXEC | MULTI | CONFIG GET | EXEC | WATCH k | SET k 1 PX 1000000 | MULTI | EXEC
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
    b"*-2\r\n*-99\r\nQUIT\r\n", b"*-2147483649\r\nQUIT\r\n", b"*-x\r\n", b"*-0\r\n", b"*1\r\n$-2\r\n", b"*1\rX$4\r\nQUIT\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"Host: localhost\r\n", b"*1\r\n$4\r\nPOST\r\n",
    b"  QUIT\r\n", b"*1\n$4\nQUIT\n\r\n", b"SET a \"\\x41\\n\"\r\nGET a\nQUIT\n",
    b"PING \"a\r\n", b"PING 'a'b\r\n", b"*0\r\n*-1\r\nQUIT\r\n", b"\n \r\nPING 'a b' \r\nQUIT\r\n",
]


class Differential(KvTest):
    options = ()

    def setUp(self):
        super().setUp()
        self.redis_port = self.free_port()
        server = self.redis_server(self.redis_port, "--databases", "1", *self.options)
        ours = self.kv_server(*self.options)
        self.redis = self.connect(self.redis_port, server)
        self.kv = self.connect(process=ours)

    def run_both(self, commands):
        """Gives both all commands at once; compares the replies one by one."""
        batch = b"".join(encode(*command) for command in commands)
        self.redis.socket.sendall(batch)
        self.kv.socket.sendall(batch)
        queued = []  # since MULTI
        for command in commands:
            name = command[0].upper().decode("latin-1")
            expected, actual = self.redis.reply(), self.kv.reply()
            if name == "EXEC" and isinstance(expected, list) and isinstance(actual, list):
                same = len(expected) == len(actual) == len(queued) and all(map(self.same, queued, expected, actual))
            else:
                same = self.same(name, expected, actual)
            self.assertTrue(same, f"{command} (seed {SEED}, in {commands}):\nredis-server: {expected!r}\n"
                                  f"kv_server:    {actual!r}")
            queued = queued + [name] if expected == b"QUEUED" else [] if name in ("MULTI", "EXEC") else queued

    @staticmethod
    def all_of(port, data):
        """What a server answers to these bytes until it closes the connection."""
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
            connection.sendall(data)
            with connection.makefile("rb") as file:
                return file.read()

    @staticmethod
    def same(name, expected, actual):
        if name in CLOSE and isinstance(expected, int) and isinstance(actual, int) and min(expected, actual) >= 0:
            return abs(expected - actual) <= (2 if name == "TTL" else 2000)
        if name in UNORDERED and isinstance(expected, list) and isinstance(actual, list):
            if name == "SCAN":
                return len(actual) == 2 and expected[0] == actual[0] and sorted(expected[1]) == sorted(actual[1])
            if name == "HGETALL":
                if isinstance(expected, Pairs) or isinstance(actual, Pairs):
                    return type(expected) is type(actual) and sorted(expected) == sorted(actual)
                return sorted(zip(expected[::2], expected[1::2])) == sorted(zip(actual[::2], actual[1::2]))
            return type(expected) is type(actual) and sorted(expected) == sorted(actual)
        return type(expected) is type(actual) and expected == actual

    def test_listed(self):
        commands = [part.split() for line in LISTED.strip().splitlines() for part in line.split("|")]
        self.run_both([[word.encode() for word in command] for command in commands])

    def test_random(self):
        rng = random.Random(SEED)
        for _ in range(COMMANDS // BATCH):
            self.run_both([random_command(rng) for _ in range(BATCH)])

    def test_random_transactions(self):
        rng = random.Random(SEED)
        for _ in range(COMMANDS // BATCH):
            commands = []
            while len(commands) < BATCH:
                commands += random_transaction(rng)
            self.run_both([*commands, [b"RESET"]])

    def test_the_third_version_of_the_protocol(self):
        rng = random.Random(SEED)
        for client in self.redis, self.kv:
            hello = dict(client.do("HELLO", 3))
            self.assertEqual({**hello, b"id": 0, b"version": 0}, {
                b"server": b"redis", b"version": 0, b"proto": 3, b"id": 0, b"mode": b"standalone", b"role": b"master",
                b"modules": []})
        self.run_both([[word.encode() for word in part.split()] for part in
                       """SADD s a b|SMEMBERS s|SMEMBERS none|HSET h a 1|HGETALL h|HGETALL none|GET none|MGET none s|LPOP none
                       |LPOP none 1|HGET h z|SET s x NX|CLIENT GETNAME|CONFIG GET nosuch|COMMAND INFO nosuch|MULTI|GET none
                       |HGETALL h|SMEMBERS s|LPOP none 1|EXEC|WATCH s|SREM s a|MULTI|PING|EXEC|HKEYS h|KEYS *|SCAN 0""".split("|")])
        self.assertIs(type(self.redis.do("INFO", "server")), type(self.kv.do("INFO", "server")))
        self.assertIs(type(self.redis.do("CLIENT", "INFO")), type(self.kv.do("CLIENT", "INFO")))
        for _ in range(COMMANDS // BATCH // 10):
            self.run_both([words for words in (random_command(rng) for _ in range(BATCH)) if words[0].upper() != b"RESET"])
            self.run_both([words for words in random_transaction(rng) + [[b"DISCARD"]] if words[0].upper() != b"RESET"])

    def test_other_clients_change_what_is_watched(self):
        rng = random.Random(SEED)
        others = self.connect(self.redis_port), self.connect()
        for _ in range(200):
            watched = [rng.choice(KEYS).encode("latin-1") for _ in range(2)]
            self.run_both([[b"WATCH", *watched]])
            command = random_command(rng)
            first, second = (other.do(*command) for other in others)
            self.assertTrue(self.same(command[0].upper().decode("latin-1"), first, second), (command, first, second))
            self.run_both([[b"MULTI"], [b"PING"], [b"APPEND", watched[0], b"x"], [b"EXEC"], [b"RESET"]])

    def test_a_watched_key_that_expires(self):
        for client in self.redis, self.kv:
            self.assertEqual(client.do("SET", "a", "b", "PX", "30"), b"OK")
            self.assertEqual(client.do("WATCH", "a"), b"OK")
            self.until("the expiry", lambda client=client: client.do("EXISTS", "a") == 0)
            self.assertEqual([client.do("MULTI"), client.do("PING"), client.do("EXEC")], [b"OK", b"QUEUED", None])

    def test_what_is_no_request(self):
        for data in NO_REQUESTS:
            answers = []
            for port in self.redis_port, self.port:
                answers.append(self.all_of(port, data))
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


class WithPassword(Differential):
    """The same, and what a client may do before it has said the password."""
    options = "--requirepass", "secret"

    def setUp(self):
        super().setUp()
        for client in self.redis, self.kv:
            self.assertEqual(client.do("GET", "a"), ReplyError("NOAUTH Authentication required."))
            self.assertEqual(client.do("AUTH", "secret"), b"OK")

    def test_random(self):
        """Without a password they are the same."""

    test_random_transactions = test_the_third_version_of_the_protocol = test_listed = test_random
    test_sections_of_info = test_what_commands_there_are = test_a_watched_key_that_expires = test_random
    test_other_clients_change_what_is_watched = test_random

    def test_strangers(self):
        for lines in STRANGERS.strip().splitlines():
            self.redis, self.kv = self.connect(self.redis_port), self.connect()
            self.run_both([[word.encode() for word in part.split()] for part in lines.split("|")])

    def test_what_strangers_may_send(self):
        for data in [b"*11\r\n", b"*10\r\n$16385\r\n", b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", b"*-2\r\nQUIT\r\n", b"QUIT\r\n",
                     b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*11\r\n" + b"$4\r\nMGET\r\n" * 11 + b"QUIT\r\n"]:
            self.assertEqual(self.all_of(self.redis_port, data), self.all_of(self.port, data), data)


STRANGERS = """
GET a | SET a b | PING | ECHO x | MULTI | EXEC | DISCARD | WATCH a | CLIENT ID | COMMAND COUNT | SELECT 0 | NOSUCH | GET
AUTH wrong | GET a | AUTH default wrong | AUTH nobody secret | AUTH default secret | GET a | AUTH wrong | GET a
HELLO | HELLO 2 | HELLO 3 | HELLO 2 AUTH default wrong | GET a | RESET | GET a
AUTH secret | RESET | GET a | AUTH secret | GET a | MULTI | AUTH wrong | GET a | EXEC
MULTI | AUTH secret | EXEC | AUTH secret | EXEC
"""


def redis_version():
    words = subprocess.run(["redis-server", "--version"], capture_output=True, check=True).stdout.decode()
    return re.search(r"v=(\d+\.\d+)", words).group(1)


if __name__ == "__main__":
    needs("redis-server")
    if redis_version() != "7.0":
        skip(f"this redis-server is {redis_version()}, and kv_server answers as 7.0 does")
    main()
