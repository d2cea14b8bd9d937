// Short forms for what nearly each test of channels does.

#ifndef KEKBIT_TESTS_SUPPORT_TEST_CHANNEL_H_
#define KEKBIT_TESTS_SUPPORT_TEST_CHANNEL_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kekbit/base/bytes.h"
#include "kekbit/header.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"

namespace kekbit {

// The smallest channel there is: 16 KiB of data, payloads up to 120 bytes.
inline constexpr HeaderOptions kSmallChannel = {
    .writer_id = 850, .channel_id = 42, .capacity = kCapacityMin, .max_msg_len = 1000, .creation_time = 1};

// A header of valid options. A test that gives others ends the process.
inline Header MakeHeader(const HeaderOptions& options = kSmallChannel) {
  absl::StatusOr<Header> header = Header::Make(options);
  if (!header.ok()) std::abort();
  return *header;
}

// Returns options of a writer that starts no thread and makes no second file, for tests that fork
// or look at a directory.
inline WriterOptions QuietWriter() { return {.wakes_readers = false, .touch_ahead_bytes = 0}; }

// A new channel that must come about.
inline ShmWriter MakeWriter(const std::string& path, const HeaderOptions& header = kSmallChannel,
                            const WriterOptions& options = QuietWriter()) {
  absl::StatusOr<ShmWriter> writer = ShmWriter::CreateAt(path, MakeHeader(header), options);
  if (!writer.ok()) {
    std::fprintf(stderr, "%s\n", writer.status().ToString().c_str());
    std::abort();
  }
  return *std::move(writer);
}

inline ShmReader MakeReader(const std::string& path, const ReaderOptions& options = {}) {
  absl::StatusOr<ShmReader> reader = ShmReader::OpenAt(path, options);
  if (!reader.ok()) {
    std::fprintf(stderr, "%s\n", reader.status().ToString().c_str());
    std::abort();
  }
  return *std::move(reader);
}

// All payloads that are published now.
inline std::vector<std::string> ReadAll(ShmReader& reader) {
  std::vector<std::string> payloads;
  for (const Bytes payload : reader) payloads.emplace_back(AsText(payload).data(), payload.size());
  return payloads;
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_TEST_CHANNEL_H_
