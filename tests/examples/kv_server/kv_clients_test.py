#!/usr/bin/env python3
"""kv_server with clients that people have: python3-redis, whose pipelines are transactions unless told otherwise, with and
without python3-hiredis; redis-cli; redis-benchmark."""

import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kv_redis import KvTest, main, needs, skip

try:
    import redis
    import redis.connection
except ImportError:
    redis = None


class PythonRedis(KvTest):
    def serve(self, *options, password=None, parser=None):
        self.connect(process=self.kv_server(*options)).close()
        arguments = {} if parser is None else {"parser_class": parser}
        pool = redis.ConnectionPool(host="127.0.0.1", port=self.port, password=password, decode_responses=True,
                                    client_name="tester", **arguments)
        self.addCleanup(pool.disconnect)
        return redis.Redis(connection_pool=pool)

    def check_a_pipeline(self, client):
        with client.pipeline() as pipeline:
            pipeline.set("a", 1).incr("a").get("a").hset("h", mapping={"f": "v"}).hgetall("h").sadd("s", "m")
            pipeline.smembers("s").lpush("l", "x", "y").lrange("l", 0, -1).get("none").expire("a", 100).delete("h")
            self.assertEqual(pipeline.execute(),
                             [True, 2, "2", 1, {"f": "v"}, 1, {"m"}, 2, ["y", "x"], None, True, 1])
        self.assertEqual(client.get("a"), "2")

    def test_the_default_pipeline(self):
        client = self.serve()
        self.check_a_pipeline(client)
        self.assertEqual(client.client_getname(), "tester")
        self.assertEqual(client.client_list()[0]["cmd"], "client")
        self.assertTrue(client.ping())
        self.assertEqual(client.info("server")["redis_version"], "7.0.0")
        self.assertEqual(client.config_get("save"), {"save": ""})
        self.assertEqual(client.wait(0, 0), 0)
        self.assertEqual(client.command_count(), len(client.command()))

    def test_each_parser(self):
        self.check_a_pipeline(self.serve(parser=redis.connection.PythonParser))

    def test_with_hiredis(self):
        if not redis.connection.HIREDIS_AVAILABLE:
            self.skipTest("there is no python3-hiredis here")
        self.check_a_pipeline(self.serve(parser=redis.connection.HiredisParser))

    def test_a_password(self):
        client = self.serve("--requirepass", "secret", password="secret")
        self.check_a_pipeline(client)
        for password, error in (None, redis.exceptions.AuthenticationError), ("x", redis.exceptions.ResponseError):
            with self.assertRaises(error):
                redis.Redis(host="127.0.0.1", port=self.port, password=password).get("a")

    def test_a_pipeline_longer_than_a_frame(self):
        client = self.serve("--segment-bytes", str(8 << 20))  # a frame takes 64 KiB
        pipeline = client.pipeline()
        for i in range(20000):
            pipeline.set(f"key:{i}", i)
        self.assertEqual(pipeline.execute(), [True] * 20000)
        self.assertEqual(client.dbsize(), 20000)
        # One command that is too long keeps all of them from being done.
        pipeline.set("key:0", "changed").set("b", "x" * (64 << 10))
        with self.assertRaisesRegex(redis.exceptions.ExecAbortError, "command is longer than|takes more than"):
            pipeline.execute()
        self.assertEqual((client.get("key:0"), client.exists("b")), ("0", 0))

    def test_what_a_pipeline_of_errors_does(self):
        client = self.serve()
        client.sadd("s", "m")
        pipeline = client.pipeline().set("a", 1).get("s").incr("a").execute_command("SET", "a", 5, "EX", "x")
        results = pipeline.execute(raise_on_error=False)
        self.assertEqual((results[0], results[2]), (True, 2))
        self.assertRegex(str(results[1]), "wrong kind of value")
        self.assertRegex(str(results[3]), "not an integer")
        # An error while it is queued: nothing is done.
        with self.assertRaisesRegex(redis.exceptions.ResponseError, "unknown command"):
            client.pipeline().set("a", 7).execute_command("NOSUCH").execute()
        self.assertEqual(client.get("a"), "2")

    def test_watched_keys(self):
        client = self.serve()
        rounds, threads = 100, 4
        conflicts = []

        def count():
            for _ in range(rounds):
                with client.pipeline() as pipeline:
                    while True:
                        try:
                            pipeline.watch("n")
                            value = int(pipeline.get("n") or 0)
                            pipeline.multi()
                            pipeline.set("n", value + 1)
                            pipeline.rpush("values", value + 1)
                            pipeline.execute()
                            break
                        except redis.WatchError:
                            conflicts.append(value)
        workers = [threading.Thread(target=count) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(client.get("n"), str(rounds * threads))
        self.assertEqual(client.lrange("values", 0, -1), [str(i + 1) for i in range(rounds * threads)])
        print(f"{len(conflicts)} conflicts")


class RedisTools(KvTest):
    def run_tool(self, *words, lines=None):
        return subprocess.run(words, input=lines, capture_output=True, check=True, timeout=60, text=True).stdout

    def test_redis_cli(self):
        self.connect(process=self.kv_server("--requirepass", "secret")).close()
        cli = ["redis-cli", "-p", str(self.port), "-a", "secret", "--no-auth-warning"]
        self.assertEqual(self.run_tool(*cli, lines="MULTI\nSET a 1\nHSET h f v\nHGETALL h\nEXEC\nGET a\n").splitlines(),
                         ["OK", "QUEUED", "QUEUED", "QUEUED", "OK", "1", "f", "v", "1"])
        self.assertEqual(self.run_tool(*cli, "-3", "--json", "hgetall", "h").strip(), '{"f":"v"}')
        self.assertEqual(self.run_tool(*cli, "-3", "--no-raw", "get", "none").strip(), "(nil)")
        self.assertEqual(self.run_tool(*cli, "-n", "0", "type", "h").strip(), "hash")
        self.assertEqual(self.run_tool(*cli[:3], "get", "a").strip(), "NOAUTH Authentication required.")
        self.assertIn("(nil)", self.run_tool(*cli, "--no-raw", lines="WATCH a\nSET a 2\nMULTI\nPING\nEXEC\n"))

    def test_redis_benchmark(self):
        self.connect(process=self.kv_server("--requirepass", "secret")).close()
        output = subprocess.run(["redis-benchmark", "-p", str(self.port), "-a", "secret", "-n", "1000", "-P", "8", "--csv",
                                 "-t", "set,get,incr"], capture_output=True, check=True, timeout=60)
        self.assertEqual(output.stdout.count(b"\n"), 4, output.stdout)
        # It asks for the configuration first.
        self.assertNotIn(b"WARNING", output.stdout + output.stderr)
        self.assertNotIn(b"rror", output.stdout + output.stderr)


if __name__ == "__main__":
    needs("redis-benchmark", "redis-cli")
    if redis is None:
        skip("there is no python3-redis here")
    main()
