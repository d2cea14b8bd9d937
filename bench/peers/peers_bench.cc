// Durable commits of 128 bytes by 1, 8 and 64 threads that each wait for their own. A replica's
// Execute at Ack::kSynced against RocksDB, SQLite and LMDB, each with every commit on stable
// storage.
//
// Each row measures kekbit and a peer in direct succession, in the same run on the same disk. `ns`
// is kekbit's per commit, `limit_ns` the peer's, so `of_limit` below 1 says that kekbit is ahead.
// `times_as_fast` is 1 / of_limit.
//
//   RocksDB  its write-ahead log, WriteOptions::sync; it groups the commits of its callers
//   SQLite   journal_mode=WAL, synchronous=FULL, one connection a thread; one row a transaction
//   LMDB     default flags, one environment; one key a transaction
//
// Kekbit is measured in a prepared segment, as all are but the first of a journal. Keys are new, in
// ascending order for each thread. The store lies in KEKBIT_BENCH_DIRECTORY, TMPDIR or /tmp.

#include <lmdb.h>
#include <sqlite3.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "bench/journals.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "kekbit/replication/replica.h"
#include "rocksdb/db.h"

namespace kekbit::bench {
namespace {

constexpr size_t kCommitBytes = 128;  // a key of 8 bytes, and a value

struct Commit {
  uint64_t words[kCommitBytes / 8] = {};
};

// Commits in succession; `key` is new each time. Called by one thread.
using CommitOne = std::function<void(uint64_t key, const Commit& commit)>;
// Connect gives each thread what the thread commits with.
using Connect = std::function<CommitOne()>;

// Returns nanoseconds per commit.
double Run(uint64_t threads, uint64_t commits, const Connect& connect) {
  std::vector<CommitOne> commit;
  for (uint64_t i = 0; i < threads; ++i) commit.push_back(connect());
  const auto work = [&](uint64_t thread) {
    Commit value;
    for (uint64_t i = 0; i < commits; ++i) {
      value.words[0] = thread << 32 | i;
      commit[thread](value.words[0], value);
    }
  };
  return NanosPerItem(threads * commits, [&] {
    std::vector<std::thread> others;
    for (uint64_t i = 1; i < threads; ++i) others.emplace_back(work, i);
    work(0);
    for (std::thread& thread : others) thread.join();
  });
}

// Counter is kekbit's side.

struct Counter {
  struct Command {
    uint64_t words[kCommitBytes / 8];

    template <class Archive>
    void serialize(Archive& archive) {
      for (uint64_t& word : words) archive(word);
    }
  };
  using Result = uint64_t;

  Result Apply(const Command& command, const ApplyContext& /*context*/) { return sum += command.words[0]; }

  uint64_t sum = 0;
};

double RunKekbit(uint64_t threads, uint64_t commits) {
  const BenchDirectory directory(Medium::kDisk);
  const auto replica = Replica<Counter>::Open({.directory = directory.path(), .ack = Ack::kSynced}).value();
  KB_CHECK(replica->WaitForRole(Role::kPrimary, absl::Seconds(10)));
  EnterPreparedSegment(*replica, Counter::Command{}, kCommitBytes);
  return Run(threads, commits, [&]() -> CommitOne {
    return [&replica](uint64_t, const Commit& commit) {
      Counter::Command command;
      std::memcpy(command.words, commit.words, sizeof commit.words);
      KB_CHECK(replica->Execute(command).ok());
    };
  });
}

rocksdb::Slice SliceOf(const void* data, size_t size) { return rocksdb::Slice(static_cast<const char*>(data), size); }

double RunRocksDb(uint64_t threads, uint64_t commits) {
  const BenchDirectory directory(Medium::kDisk);
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* opened = nullptr;
  KB_CHECK(rocksdb::DB::Open(options, directory.path(), &opened).ok());
  const std::unique_ptr<rocksdb::DB> db(opened);
  return Run(threads, commits, [&]() -> CommitOne {
    return [&db](uint64_t key, const Commit& commit) {
      rocksdb::WriteOptions write;
      write.sync = true;
      KB_CHECK(db->Put(write, SliceOf(&key, sizeof key), SliceOf(commit.words + 1, kCommitBytes - sizeof key)).ok());
    };
  });
}

class SqliteConnection final {
 public:
  explicit SqliteConnection(const std::string& path) {
    KB_CHECK(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
    KB_CHECK(sqlite3_busy_timeout(db_, 60'000) == SQLITE_OK);
    Do("PRAGMA journal_mode=WAL");
    Do("PRAGMA synchronous=FULL");
    Do("CREATE TABLE IF NOT EXISTS commits(key INTEGER PRIMARY KEY, value BLOB)");
    KB_CHECK(sqlite3_prepare_v2(db_, "INSERT INTO commits VALUES(?, ?)", -1, &insert_, nullptr) == SQLITE_OK);
  }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;
  ~SqliteConnection() {
    sqlite3_finalize(insert_);
    sqlite3_close(db_);
  }

  void Insert(uint64_t key, const Commit& commit) {
    KB_CHECK(sqlite3_bind_int64(insert_, 1, static_cast<int64_t>(key)) == SQLITE_OK);
    KB_CHECK(sqlite3_bind_blob(insert_, 2, commit.words + 1, kCommitBytes - sizeof key, SQLITE_STATIC) == SQLITE_OK);
    KB_CHECK(sqlite3_step(insert_) == SQLITE_DONE);
    KB_CHECK(sqlite3_reset(insert_) == SQLITE_OK);
  }

 private:
  void Do(const char* sql) { KB_CHECK(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK); }

  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
};

double RunSqlite(uint64_t threads, uint64_t commits) {
  const BenchDirectory directory(Medium::kDisk);
  std::filesystem::create_directories(directory.path());
  return Run(threads, commits, [&]() -> CommitOne {
    const auto connection = std::make_shared<SqliteConnection>(directory.path() + "/db");
    return [connection](uint64_t key, const Commit& commit) { connection->Insert(key, commit); };
  });
}

double RunLmdb(uint64_t threads, uint64_t commits) {
  const BenchDirectory directory(Medium::kDisk);
  std::filesystem::create_directories(directory.path());
  MDB_env* env = nullptr;
  KB_CHECK(mdb_env_create(&env) == 0);
  KB_CHECK(mdb_env_set_mapsize(env, size_t{1} << 30) == 0);
  KB_CHECK(mdb_env_open(env, directory.path().c_str(), 0, 0644) == 0);
  MDB_txn* opening = nullptr;
  MDB_dbi dbi = 0;
  KB_CHECK(mdb_txn_begin(env, nullptr, 0, &opening) == 0);
  KB_CHECK(mdb_dbi_open(opening, nullptr, MDB_INTEGERKEY, &dbi) == 0);
  KB_CHECK(mdb_txn_commit(opening) == 0);
  const double nanos = Run(threads, commits, [env, dbi]() -> CommitOne {
    return [env, dbi](uint64_t key, const Commit& commit) {
      Commit copy = commit;
      MDB_val mdb_key = {.mv_size = sizeof key, .mv_data = &key};
      MDB_val value = {.mv_size = kCommitBytes - sizeof key, .mv_data = copy.words + 1};
      MDB_txn* txn = nullptr;
      KB_CHECK(mdb_txn_begin(env, nullptr, 0, &txn) == 0);
      KB_CHECK(mdb_put(txn, dbi, &mdb_key, &value, 0) == 0);
      KB_CHECK(mdb_txn_commit(txn) == 0);
    };
  });
  mdb_env_close(env);
  return nanos;
}

template <auto kPeer>
void BM_Commit(benchmark::State& state) {
  const auto threads = static_cast<uint64_t>(state.range(0));
  const uint64_t commits = threads == 1 ? 2'000 : threads == 8 ? 1'000 : 300;
  Compare(
      state, [&] { return RunKekbit(threads, commits); }, [&] { return kPeer(threads, commits); });
  state.counters["per_second"] = 1e9 / state.counters["ns"];
  state.counters["peer_per_second"] = 1e9 / state.counters["limit_ns"];
  state.counters["times_as_fast"] = 1 / state.counters["of_limit"];
}

void Threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("threads")->Arg(1)->Arg(8)->Arg(64)->Apply(Rounds<5>);
}
BENCHMARK(BM_Commit<RunRocksDb>)->Name("BM_Commit_rocksdb")->Apply(Threads);
BENCHMARK(BM_Commit<RunSqlite>)->Name("BM_Commit_sqlite")->Apply(Threads);
BENCHMARK(BM_Commit<RunLmdb>)->Name("BM_Commit_lmdb")->Apply(Threads);

}  // namespace
}  // namespace kekbit::bench
