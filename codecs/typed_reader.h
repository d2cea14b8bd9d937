// TypedReader reads the values of a channel, each decoded by a codec from the mapping itself.
//
//   auto reader = TypedReader<Transfer, CerealBinaryCodec>::Open(root, channel_id);
//   while (std::optional<Transfer> transfer = reader->TryRead()) Use(*transfer);
//   if (!reader->status().ok()) ...   // the channel is damaged, or a record is no Transfer
//
// A value that can't be decoded ends the reading: none is skipped.
//
// Thread safety, lifetimes: as ShmReader, which channel() gives for everything else.

#ifndef KEKBIT_CODECS_TYPED_READER_H_
#define KEKBIT_CODECS_TYPED_READER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/codecs/codec.h"
#include "kekbit/shm_reader.h"

namespace kekbit {

// REQUIRES: T is default constructible.
template <typename T, CodecFor<T> Codec>
class TypedReader final {
 public:
  // Opens a channel as ShmReader does. FailedPrecondition also if the channel has another data
  // format than the codec. A plain channel does not say its format, and is taken.
  static absl::StatusOr<TypedReader> Open(absl::string_view root, uint64_t channel_id, ReaderOptions options = {}) {
    options.data_format = Codec::kDataFormat;
    KB_ASSIGN_OR_RETURN(ShmReader channel, ShmReader::Open(root, channel_id, options));
    return TypedReader(std::move(channel));
  }
  static absl::StatusOr<TypedReader> OpenAt(const std::string& path, ReaderOptions options = {}) {
    options.data_format = Codec::kDataFormat;
    KB_ASSIGN_OR_RETURN(ShmReader channel, ShmReader::OpenAt(path, options));
    return TypedReader(std::move(channel));
  }

  // Returns the next value, or nullopt if none is published, or none ever will be: see exhausted()
  // and status().
  std::optional<T> TryRead() {
    if (ABSL_PREDICT_FALSE(!undecoded_.ok())) return std::nullopt;
    const uint64_t position = channel_.position();
    const std::optional<Bytes> payload = channel_.TryRead();
    if (!payload) return std::nullopt;
    std::optional<T> value(std::in_place);
    if (absl::Status status = Codec::Decode(*payload, &*value); ABSL_PREDICT_FALSE(!status.ok())) {
      undecoded_ = absl::Status(status.code(), absl::StrCat(channel_.path(), ": the record at or after offset ",
                                                            position, ": ", status.message()));
      return std::nullopt;
    }
    return value;
  }

  // Returns true if no value will ever come again.
  bool exhausted() const { return !undecoded_.ok() || channel_.exhausted(); }
  // Returns the error of the record that could not be decoded, else ShmReader's.
  absl::Status status() const { return undecoded_.ok() ? channel_.status() : undecoded_; }

  ShmReader& channel() { return channel_; }
  const ShmReader& channel() const { return channel_; }

 private:
  explicit TypedReader(ShmReader channel) : channel_(std::move(channel)) {}

  ShmReader channel_;
  absl::Status undecoded_;
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_TYPED_READER_H_
