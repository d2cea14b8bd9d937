// CerealStreamCodec encodes any type that cereal serializes, to and from a stream, for what is too
// large for a span.
//
//   KB_RETURN_IF_ERROR(CerealStreamCodec::Save(ledger, output));     // output: a ByteOutput
//   KB_RETURN_IF_ERROR(CerealStreamCodec::Load(input, &ledger));     // input: a ByteInput
//
// The bytes are those of CerealPortableCodec, and so are the checks (see cereal_span_archive.h):
// what is loaded takes memory for bytes that are really there. In addition, a class whose version
// (CEREAL_CLASS_VERSION) is newer than the code's is not loaded: FailedPrecondition. An older
// version is loaded: serialize(archive, version) gets its version.
//
// Errors of Save(): that of the stream; InvalidArgument for a value that has no encoding. Of
// Load(): that of the stream; DataLoss for bytes that are no encoding of the type;
// ResourceExhausted if there is no memory for the value.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_STREAM_CODEC_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_STREAM_CODEC_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cereal/cereal.hpp"
#include "kekbit/base/byte_stream.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_span_archive.h"
#include "kekbit/codecs/cereal/cereal_span_dispatch.h"
#include "kekbit/codecs/codec_errors.h"
#include "kekbit/codecs/data_format.h"

namespace kekbit {
namespace internal {

class StreamSink final {
 public:
  explicit StreamSink(ByteOutput& output) : output_(output) {}

  ABSL_ATTRIBUTE_ALWAYS_INLINE void Save(const void* data, size_t size) {
    used_ += size;
    if (ABSL_PREDICT_FALSE(!output_.Write(Bytes(static_cast<const uint8_t*>(data), size)).ok())) {
      FailArchive("the stream has failed");  // the stream has its own error
    }
  }

  uint64_t used() const { return used_; }

 private:
  ByteOutput& output_;
  uint64_t used_ = 0;
};

class StreamSource final {
 public:
  static constexpr bool kRefusesNewerVersions = true;

  explicit StreamSource(ByteInput& input) : input_(input) {}

  ABSL_ATTRIBUTE_ALWAYS_INLINE void Load(void* data, size_t size) {
    if (ABSL_PREDICT_FALSE(!input_.Read(MutableBytes(static_cast<uint8_t*>(data), size)).ok())) {
      FailArchive("the stream has failed");
    }
  }

  uint64_t left() const { return input_.left(); }
  uint64_t backed() const { return input_.backed(); }

 private:
  ByteInput& input_;
};

using StreamOutputArchive = BasicOutputArchive<true, StreamSink>;
using StreamInputArchive = BasicInputArchive<true, StreamSource>;

}  // namespace internal

struct CerealStreamCodec {
  static constexpr uint64_t kDataFormat = kCerealPortableDataFormat;

  // True if cereal serializes the type.
  template <typename T>
  static constexpr bool kSerializes = cereal::traits::is_output_serializable<T, internal::StreamOutputArchive>::value&&
      cereal::traits::is_input_serializable<T, internal::StreamInputArchive>::value;

  // True if the function that serializes the type takes a version, which then stands in the bytes.
  template <typename T>
  static constexpr bool kIsVersioned =
      cereal::traits::has_member_versioned_serialize<T, internal::StreamOutputArchive>::value ||
      cereal::traits::has_non_member_versioned_serialize<T, internal::StreamOutputArchive>::value ||
      cereal::traits::has_member_versioned_save<T, internal::StreamOutputArchive>::value ||
      cereal::traits::has_non_member_versioned_save<T, internal::StreamOutputArchive>::value ||
      cereal::traits::has_member_versioned_save_minimal<T, internal::StreamOutputArchive>::value ||
      cereal::traits::has_non_member_versioned_save_minimal<T, internal::StreamOutputArchive>::value;

  // True if the function that saves the type takes a const object. That says nothing of the types
  // of its members.
  template <typename T>
  static constexpr bool kSavesConst = internal::SavesConst<T, internal::StreamOutputArchive>();

  // The version that CEREAL_CLASS_VERSION gives the class; 0 if it gives none.
  template <typename T>
  static uint32_t ClassVersion() {
    return cereal::detail::Version<T>::version;
  }

  template <typename T>
  static absl::Status Save(const T& value, ByteOutput& output) {
    try {
      internal::StreamOutputArchive archive(output);
      archive(value);
      if (ABSL_PREDICT_TRUE(archive.CheckElements())) return output.Write(Bytes());
      return absl::InvalidArgumentError("can't encode: a container has more elements than bytes");
    } catch (...) {
      absl::Status status = output.Write(Bytes());
      return status.ok() ? internal::EncodingException() : status;
    }
  }

  // `has_version`: false if T was saved by code in which T had no version; then T is loaded as of
  // version 0.
  template <typename T>
  static absl::Status Load(ByteInput& input, T* value, bool has_version = true) {
    try {
      internal::StreamInputArchive archive(input);
      if (!has_version) archive.template AssumeNoVersion<T>();
      archive(*value);
      return input.Read(MutableBytes());
    } catch (const internal::NewerVersion& e) {
      return absl::FailedPreconditionError(absl::StrCat("can't decode: ", e.what()));
    } catch (...) {
      absl::Status status = input.Read(MutableBytes());
      return status.ok() ? internal::DecodingException() : status;
    }
  }
};

}  // namespace kekbit

CEREAL_REGISTER_ARCHIVE(kekbit::internal::StreamOutputArchive)
CEREAL_REGISTER_ARCHIVE(kekbit::internal::StreamInputArchive)
CEREAL_SETUP_ARCHIVE_TRAITS(kekbit::internal::StreamInputArchive, kekbit::internal::StreamOutputArchive)

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_STREAM_CODEC_H_
