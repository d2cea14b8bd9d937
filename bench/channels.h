// Channels to measure, and bare mappings of the same kind to measure their limits.
//
// They lie in /dev/shm, or on a disk: in the directory that the environment variable
// KEKBIT_BENCH_DIRECTORY names, else in TMPDIR, else in /tmp. Only a killed process leaves files.
// Whatever fails ends the benchmark's process.

#ifndef KEKBIT_BENCH_CHANNELS_H_
#define KEKBIT_BENCH_CHANNELS_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/measure.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/channel_format.h"
#include "kekbit/header.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"

namespace kekbit::bench {

enum class Medium { kMemory, kDisk };

inline std::string DirectoryOn(Medium medium) {
  if (medium == Medium::kMemory) return "/dev/shm";
  for (const char* name : {"KEKBIT_BENCH_DIRECTORY", "TMPDIR"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "/tmp";
}

// Returns a payload of `size` bytes.
inline std::vector<uint8_t> MakePayload(size_t size) {
  std::vector<uint8_t> payload(size);
  std::iota(payload.begin(), payload.end(), uint8_t{1});
  return payload;
}

inline Header MakeHeader(uint32_t capacity) {
  return Header::Make({.writer_id = 1, .channel_id = 1, .capacity = capacity}).value();
}

// Returns a path that no other process uses, and no other call of this process returned.
inline std::string FreshPath(Medium medium) {
  static int count = 0;
  return absl::StrCat(DirectoryOn(medium), "/kekbit_bench.", ::getpid(), ".", ++count, ".kekbit");
}

// BenchChannel is a new channel; its file goes with the object.
class BenchChannel final {
 public:
  BenchChannel(Medium medium, uint32_t capacity, WriterOptions options)
      : path_(FreshPath(medium)),
        writer_(ShmWriter::CreateAt(path_, MakeHeader(capacity), std::move(options)).value()) {}
  BenchChannel(const BenchChannel&) = delete;
  BenchChannel& operator=(const BenchChannel&) = delete;
  ~BenchChannel() {
    ::unlink(path_.c_str());
    ::unlink(WakePath(path_).c_str());
  }

  ShmWriter& writer() { return writer_; }
  const std::string& path() const { return path_; }

  // Makes every page ready for stores, now.
  void TouchAll() { KB_CHECK(writer_.mapping()->Touch(0, writer_.mapping()->size()).ok()); }

  // Waits until the page toucher has made `bytes` of the data area ready.
  void AwaitTouched(uint64_t bytes) {
    const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    KB_CHECK(pagemap >= 0);
    const auto last = reinterpret_cast<uintptr_t>(writer_.mapping()->data() + kDataOffset + bytes - 1);
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    constexpr uint64_t kPresent = uint64_t{1} << 63;
    for (uint64_t entry = 0; (entry & kPresent) == 0;) {
      KB_CHECK(::pread(pagemap, &entry, sizeof entry, static_cast<off_t>(last / page * sizeof entry)) == sizeof entry);
      if ((entry & kPresent) == 0) ::usleep(200);
    }
    ::close(pagemap);
  }

 private:
  std::string path_;
  ShmWriter writer_;
};

// Returns a bare mapping of a file without a name.
inline std::unique_ptr<MappedFile> MakeMapping(Medium medium, uint64_t size) {
  const std::string directory = DirectoryOn(medium);
  std::unique_ptr<File> file = FileSystem::Posix().CreateUnnamed(directory, directory).value();
  KB_CHECK(file->Allocate(size).ok());
  return file->Map(Access::kReadWrite, size).value();
}

// Returns how many records with a payload of `size` bytes fill `bytes` of a data area after the
// first heartbeat.
inline uint64_t RecordsIn(uint64_t bytes, uint64_t size) { return (bytes - kLengthBytes) / RecordBytes(size); }

// The writer's loop, which is measured. Returns nanoseconds per record.
inline double WriteRecords(ShmWriter& writer, Bytes payload, uint64_t records) {
  return NanosPerItem(records, [&] {
    for (uint64_t i = 0; i < records; ++i) KB_CHECK(writer.Write(payload).ok());
  });
}

// The limit of WriteRecords(): the same bytes by memcpy, with the same words around them, and
// nothing else.
inline double StoreRecords(uint8_t* to, Bytes payload, uint64_t records) {
  return NanosPerItem(records, [&] {
    const uint64_t step = RecordBytes(payload.size());
    for (uint64_t i = 0; i < records; ++i, to += step) {
      std::memcpy(to + kLengthBytes, payload.data(), payload.size());
      PrepareWord(to + step, kWatermark);
      PublishWord(to, payload.size());
    }
  });
}

// Runs StoreRecords() in a mapping of its own, each page ready.
inline double StoreRecordsTouched(Medium medium, Bytes payload, uint64_t records) {
  const uint64_t bytes = records * RecordBytes(payload.size()) + kFooterBytes;
  const std::unique_ptr<MappedFile> mapping = MakeMapping(medium, bytes);
  KB_CHECK(mapping->Touch(0, bytes).ok());
  return StoreRecords(mapping->data(), payload, records);
}

}  // namespace kekbit::bench

#endif  // KEKBIT_BENCH_CHANNELS_H_
