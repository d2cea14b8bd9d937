// Opens any bytes as a channel and reads them in every way there is: records or an error, and
// nothing else.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/channel_scan.h"
#include "kekbit/record_handlers.h"
#include "kekbit/retrying_reader.h"
#include "kekbit/shm_reader.h"
#include "kekbit/timeout_reader.h"

namespace kekbit {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// A file without a name that holds the input; its path leads through this process's descriptors.
class InputFile final {
 public:
  InputFile(const uint8_t* data, size_t size) : fd_(::memfd_create("input", MFD_CLOEXEC)) {
    Require(fd_ >= 0 && ::write(fd_, data, size) == static_cast<ssize_t>(size));
  }
  ~InputFile() { ::close(fd_); }
  std::string path() const { return absl::StrCat("/proc/self/fd/", fd_); }

 private:
  const int fd_;
};

uint64_t Sum(Bytes payload) {
  uint64_t sum = 0;
  for (const uint8_t byte : payload) sum += byte;
  return sum;
}

// Totals adds up what the reader gives; all that is true for any file is checked.
struct Totals {
  uint64_t records = 0, sum = 0;
  std::vector<uint64_t> places;  // the first few
  bool operator==(const Totals& other) const { return records == other.records && sum == other.sum; }
};

Totals ReadToTheEnd(ShmReader& reader) {
  Totals totals;
  while (const std::optional<Bytes> payload = reader.TryRead()) {
    Require(!payload->empty() && payload->size() <= reader.header().max_msg_len());
    totals.sum += Sum(*payload);
    ++totals.records;
    if (totals.places.size() < 8) totals.places.push_back(reader.position());
  }
  Require(reader.position() % 8 == 0 && reader.position() <= reader.header().capacity());
  const bool bad = reader.channel_end() == ChannelEnd::kDamaged || reader.channel_end() == ChannelEnd::kFileEnd;
  Require(reader.status().ok() == !bad);
  return totals;
}

void ReadByAllMeans(const std::string& path) {
  absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path);
  if (!reader.ok()) return;
  const Totals totals = ReadToTheEnd(*reader);
  const uint64_t end = reader->position();
  for (const uint64_t place : totals.places) Require(reader->MoveTo(place).ok() && reader->position() == place);
  for (uint64_t place = 0; place < 400; place += 3) reader->MoveTo(place).IgnoreError();
  Require(reader->MoveTo(0).ok());
  Require(ReadToTheEnd(*reader) == totals && reader->position() == end);
  reader->WriterAlive().IgnoreError();

  HandledReader handled(*ShmReader::OpenAt(path), SequenceHandler(), TimestampHandler(), Crc32cHandler());
  while (handled.TryRead()) {
  }
  handled.status().IgnoreError();
  TimeoutReader timeout(*ShmReader::OpenAt(path));
  while (timeout.TryRead()) {
  }
  RetryingReader retrying(*ShmReader::OpenAt(path));
  while (retrying.TryRead()) {
  }
  absl::StatusOr<ShmReader> journal = ShmReader::OpenAt(path, {.heartbeats = false});
  Require(ReadToTheEnd(*journal).records <= totals.records);
}

// The scan sees the same records, by other code.
void Scan(const std::string& path) {
  absl::StatusOr<ChannelScan> scan = ChannelScan::OpenAt(path);
  absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path);
  Require(scan.ok() == reader.ok());
  if (!scan.ok()) return;
  const Totals totals = ReadToTheEnd(*reader);
  Totals scanned;
  for (ChannelItem item = scan->Next(); !item.is_last(); item = scan->Next()) {
    if (item.kind != ChannelItemKind::kRecord) continue;
    ++scanned.records;
    scanned.sum += Sum(item.payload);
  }
  Require(scanned == totals);
  Require(scan->position() == reader->position());
}

}  // namespace
}  // namespace kekbit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const kekbit::InputFile file(data, size);
  kekbit::ReadByAllMeans(file.path());
  kekbit::Scan(file.path());
  return 0;
}
