// Snapshots of 1 GB: saving, against writing and syncing the same bytes plainly in the same run;
// and loading.
//
// Saving is everything: the state's bytes, checksums, sync, reading all back from the device, the
// name, the directory's sync. `block`: one block of bytes, by a Save() of the state's own. `map`: a
// std::map of a million accounts with 1 KB each, by cereal. `words`: a vector of numbers, by
// cereal. `pause_ms` is how long the state is held: Complete() and Publish() need the state no
// more. Loading is measured from memory's page cache, against reading the file's bytes and nothing
// else.
//
// They lie on the disk of KEKBIT_BENCH_DIRECTORY, TMPDIR or /tmp (see channels.h).

#include <unistd.h>

#include <cereal/types/map.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/channels.h"
#include "bench/measure.h"
#include "benchmark/benchmark.h"
#include "kekbit/replication/snapshot/snapshot_reader.h"
#include "kekbit/replication/snapshot/snapshot_writer.h"
#include "kekbit/replication/state_archive.h"

namespace kekbit::bench {
namespace {

constexpr uint64_t kStateBytes = uint64_t{1} << 30;

std::string Noise(size_t size) {
  std::string bytes(size, '\0');
  uint64_t x = 0x9E37'79B9'7F4A'7C15;
  for (size_t at = 0; at + sizeof x <= size; at += sizeof x) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    StoreUnaligned(reinterpret_cast<uint8_t*>(bytes.data()) + at, x);
  }
  return bytes;
}

struct Block {
  absl::Status Save(SnapshotOutput& output) const { return output.Write(AsBytes(bytes)); }
  absl::Status Load(SnapshotInput& input) {
    bytes.resize(input.left());
    return input.Read(MutableBytes(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()));
  }
  void Fill() { bytes = Noise(kStateBytes); }

  std::string bytes;
};

struct Map {
  template <class Archive>
  void serialize(Archive& archive) {
    archive(accounts);
  }
  void Fill() {
    const std::string value = Noise(1024 - 40);
    for (uint64_t i = 0; i < kStateBytes / 1024; ++i) accounts[absl::StrCat("account ", i)] = value;
  }

  std::map<std::string, std::string> accounts;
};

struct Words {
  template <class Archive>
  void serialize(Archive& archive) {
    archive(words);
  }
  void Fill() {
    words.resize(kStateBytes / sizeof(uint64_t));
    for (uint64_t i = 0; i < words.size(); ++i) words[i] = i * 0x9E37'79B9'7F4A'7C15;
  }

  std::vector<uint64_t> words;
};

std::string Directory() { return absl::StrCat(DirectoryOn(Medium::kDisk), "/kekbit_bench_snapshots.", ::getpid()); }

template <typename State>
SnapshotHeader HeaderFor(SnapshotCompression compression) {
  SnapshotHeader header;
  header.last.position = {.epoch = 1, .seq = 1};
  header.type = StateType<State>();
  header.compression = compression;
  return header;
}

void Remove(const SnapshotWriter& writer) {
  ::unlink(writer.path().c_str());
  ::rmdir(Directory().c_str());
}

// Writes plain bytes, in pieces as large as a chunk.
double WriteAndSync(Bytes bytes) {
  return NanosPerItem(kStateBytes, [bytes] {
    const std::string directory = DirectoryOn(Medium::kDisk);
    const std::unique_ptr<File> file = FileSystem::Posix().CreateUnnamed(directory, directory).value();
    for (uint64_t at = 0; at < bytes.size(); at += kSnapshotChunkBytes) {
      KB_CHECK(file->WriteAt(at, bytes.subspan(at, kSnapshotChunkBytes)).ok());
    }
    KB_CHECK(file->Sync().ok());
  });
}

template <typename State, SnapshotCompression kCompression>
void BM_SnapshotSave(benchmark::State& state) {
  State saved;
  saved.Fill();
  const std::string plain = Noise(kStateBytes);
  Figures pauses;
  uint64_t file_bytes = 0;
  Compare(
      state,
      [&] {
        std::unique_ptr<SnapshotWriter> writer;
        const double nanos = NanosPerItem(kStateBytes, [&] {
          const int64_t begin = NowNanos();
          writer = SnapshotWriter::Begin(FileSystem::Posix(), Directory(), HeaderFor<State>(kCompression)).value();
          KB_CHECK(SaveState(saved, *writer).ok());
          pauses.Add(static_cast<double>(NowNanos() - begin) * 1e-6);
          KB_CHECK(writer->Complete().ok());
          KB_CHECK(writer->Publish().ok());
        });
        file_bytes = writer->progress().file_bytes;
        Remove(*writer);
        return nanos;
      },
      [&] { return WriteAndSync(AsBytes(plain)); });
  state.counters["GB/s"] = 1 / state.counters["ns"];
  state.counters["speed_of_limit"] = 1 / state.counters["of_limit"];
  state.counters["pause_ms"] = pauses.Median();
  state.counters["file_GB"] = static_cast<double>(file_bytes) / 1e9;
}

// Reads the bytes of the file, and nothing else.
double ReadAll(const std::string& path) {
  std::vector<uint8_t> buffer(kSnapshotChunkBytes);
  return NanosPerItem(kStateBytes, [&] {
    const std::unique_ptr<File> file = FileSystem::Posix().Open(path, Access::kRead).value();
    for (uint64_t at = 0; file->ReadAt(at, MutableBytes(buffer)).value() == buffer.size();) at += buffer.size();
  });
}

template <typename State, SnapshotCompression kCompression>
void BM_SnapshotLoad(benchmark::State& state) {
  auto writer = SnapshotWriter::Begin(FileSystem::Posix(), Directory(), HeaderFor<State>(kCompression)).value();
  {
    State saved;
    saved.Fill();
    KB_CHECK(SaveState(saved, *writer).ok() && writer->Complete().ok() && writer->Publish().ok());
  }
  ReadAll(writer->path());
  Compare(
      state,
      [&] {
        State loaded;
        return NanosPerItem(kStateBytes, [&] {
          const auto reader = SnapshotReader::Open(FileSystem::Posix(), writer->path()).value();
          KB_CHECK(LoadState(*reader, &loaded).ok());
        });
      },
      [&] { return ReadAll(writer->path()); });
  state.counters["GB/s"] = 1 / state.counters["ns"];
  Remove(*writer);
}

BENCHMARK(BM_SnapshotSave<Block, SnapshotCompression::kNone>)->Name("BM_SnapshotSave_block")->Apply(Rounds<7>);
BENCHMARK(BM_SnapshotSave<Map, SnapshotCompression::kNone>)->Name("BM_SnapshotSave_map")->Apply(Rounds<5>);
BENCHMARK(BM_SnapshotSave<Words, SnapshotCompression::kNone>)->Name("BM_SnapshotSave_words")->Apply(Rounds<5>);
BENCHMARK(BM_SnapshotSave<Map, SnapshotCompression::kZstd>)->Name("BM_SnapshotSave_map_zstd")->Apply(Rounds<3>);
BENCHMARK(BM_SnapshotLoad<Block, SnapshotCompression::kNone>)->Name("BM_SnapshotLoad_block")->Apply(Rounds<5>);
BENCHMARK(BM_SnapshotLoad<Map, SnapshotCompression::kNone>)->Name("BM_SnapshotLoad_map")->Apply(Rounds<3>);
BENCHMARK(BM_SnapshotLoad<Map, SnapshotCompression::kZstd>)->Name("BM_SnapshotLoad_map_zstd")->Apply(Rounds<3>);

}  // namespace
}  // namespace kekbit::bench
