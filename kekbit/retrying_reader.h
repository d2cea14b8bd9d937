// RetryingReader tries several times, with growing pauses, before it says that there is nothing to
// read.
//
//   RetryingReader reader(*ShmReader::Open(root, channel_id));
//   while (!reader.reader().exhausted()) {
//     // returns nullopt after some 20 us without a record
//     if (auto payload = reader.TryRead()) Use(*payload);
//   }
//
// Thread safety, publication, lifetimes: as ShmReader.

#ifndef KEKBIT_RETRYING_READER_H_
#define KEKBIT_RETRYING_READER_H_

#include <optional>
#include <utility>

#include "kekbit/base/backoff.h"
#include "kekbit/shm_reader.h"

namespace kekbit {

class RetryingReader final {
 public:
  explicit RetryingReader(ShmReader reader) : reader_(std::move(reader)) {}

  // Returns the payload of the next record, or nullopt if none came during the tries, or none ever
  // will.
  std::optional<Bytes> TryRead() {
    std::optional<Bytes> payload = reader_.TryRead();
    while (!payload && !reader_.exhausted() && !backoff_.completed()) {
      backoff_.Pause();
      payload = reader_.TryRead();
    }
    backoff_.Reset();
    return payload;
  }

  ShmReader& reader() { return reader_; }

 private:
  ShmReader reader_;
  Backoff backoff_;
};

}  // namespace kekbit

#endif  // KEKBIT_RETRYING_READER_H_
