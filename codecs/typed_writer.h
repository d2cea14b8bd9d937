// TypedWriter appends values to a channel, each encoded by a codec right into the mapping.
//
//   auto writer = TypedWriter<Transfer, CerealBinaryCodec>::Create(root, header);
//   writer->Write(Transfer{1, 2, 100});
//
// The channel says that its payloads are of the codec's data format.
//
// Thread safety, publication, durability: as ShmWriter, which channel() gives for everything else.

#ifndef KEKBIT_CODECS_TYPED_WRITER_H_
#define KEKBIT_CODECS_TYPED_WRITER_H_

#include <cstddef>
#include <cstdint>
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
#include "kekbit/header.h"
#include "kekbit/shm_writer.h"

namespace kekbit {

template <typename T, CodecFor<T> Codec>
class TypedWriter final {
 public:
  // Creates a channel as ShmWriter does; the data format of `options` is set here.
  static absl::StatusOr<TypedWriter> Create(absl::string_view root, const Header& header, WriterOptions options = {}) {
    options.extension.data_format = Codec::kDataFormat;
    KB_ASSIGN_OR_RETURN(ShmWriter channel, ShmWriter::Create(root, header, std::move(options)));
    return TypedWriter(std::move(channel));
  }
  static absl::StatusOr<TypedWriter> CreateAt(const std::string& path, const Header& header,
                                              WriterOptions options = {}) {
    options.extension.data_format = Codec::kDataFormat;
    KB_ASSIGN_OR_RETURN(ShmWriter channel, ShmWriter::CreateAt(path, header, std::move(options)));
    return TypedWriter(std::move(channel));
  }

  // Appends a record with the encoding of `value`; returns how many bytes of the channel the record
  // took. After an error nothing is published. ResourceExhausted: the encoding is longer than what
  // is left, or than a record may be. InvalidArgument: the value has no encoding, or an empty one,
  // which no record can hold.
  absl::StatusOr<uint64_t> Write(const T& value) {
    KB_ASSIGN_OR_RETURN(const MutableBytes claim, channel_.ClaimMost());
    const absl::StatusOr<size_t> used = Codec::Encode(value, claim);
    if (ABSL_PREDICT_TRUE(used.ok() && *used > 0)) return channel_.Publish(*used);
    channel_.Abort();
    return Refused(used.status());
  }

  ShmWriter& channel() { return channel_; }
  const ShmWriter& channel() const { return channel_; }

 private:
  explicit TypedWriter(ShmWriter channel) : channel_(std::move(channel)) {}

  absl::Status Refused(const absl::Status& status) const {
    if (status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(channel_.path(), ": the value's encoding is empty"));
    }
    return absl::Status(status.code(),
                        absl::StrCat(channel_.path(), ": offset ", channel_.write_offset(), ": ", status.message()));
  }

  ShmWriter channel_;
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_TYPED_WRITER_H_
