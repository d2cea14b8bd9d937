// CerealJsonCodec encodes any type that cereal serializes, as JSON by cereal's own archive.
//
//   CerealJsonCodec::Encode(Transfer{1, 2, 100}, to);
//   // {"value0": {"value0": 1, "value1": 2, "value2": 100}}
//
// This codec is for people and other programs to read, not for speed: a stream, the parser and its
// document allocate. Members have the names that the type gives them by CEREAL_NVP, else value0,
// value1, ...
//
// Decode() finds members by name in any order. Members that the type does not ask for are skipped,
// as JSON's readers do, and as cereal's archive does without telling. So a program does not notice
// a member that was added after it was built. All replicas must understand a Replica's commands
// alike: for them that is a reason for another codec, or for a new alternative in place of a new
// member. Text after the value, and a second value, are refused. So are the texts that RapidJSON or
// cereal would misread: see json_scan.h. Encode() answers InvalidArgument for a value that would
// become such a text, as a string with a zero character does. While the text is decoded, it takes
// memory in proportion to its length and to the size of the decoded types. A shared_ptr in JSON
// from an untrusted source is not safe with cereal's archive: its id may name an object of another
// type. Errors: see codec.h.

#ifndef KEKBIT_CODECS_CEREAL_CEREAL_JSON_CODEC_H_
#define KEKBIT_CODECS_CEREAL_CEREAL_JSON_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <istream>
#include <map>
#include <ostream>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cereal/archives/json.hpp"
#include "cereal/cereal.hpp"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_left_out.h"
#include "kekbit/codecs/cereal/cereal_ordered_load.h"
#include "kekbit/codecs/cereal/json_scan.h"
#include "kekbit/codecs/cereal/span_streambuf.h"
#include "kekbit/codecs/codec_errors.h"
#include "kekbit/codecs/data_format.h"

// Found in the archive's namespace, and more special than cereal's own loaders, which turn elements
// with equal keys round. They hold for every use of cereal's archive, wherever this header is
// included; so include it everywhere, or nowhere, where a program loads one type from JSON in
// several places.
namespace cereal {

template <typename Key, typename T, typename Less, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(JSONInputArchive& archive, std::multimap<Key, T, Less, Allocator>& map) {
  kekbit::internal::LoadPairs(archive, map);
}
template <typename T, typename Less, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(JSONInputArchive& archive, std::multiset<T, Less, Allocator>& set) {
  kekbit::internal::LoadKeys(archive, set);
}

}  // namespace cereal

namespace kekbit {

struct CerealJsonCodec {
  static constexpr uint64_t kDataFormat = kCerealJsonDataFormat;
  static constexpr const char* kMediaType = "application/json";

  template <typename T>
  static absl::StatusOr<size_t> Encode(const T& value, MutableBytes to) {
    try {
      SpanOutputBuffer buffer(to);
      std::ostream stream(&buffer);
      {
        cereal::JSONOutputArchive archive(stream, cereal::JSONOutputArchive::Options::NoIndent());
        archive(value);
      }  // its destructor writes the end
      if (buffer.overflowed()) return internal::NeedsMoreRoom(to.size());
      if (const char* wrong = ScanJson(to.first(buffer.used()))) {
        return absl::InvalidArgumentError(absl::StrCat("can't encode: ", wrong));
      }
      return buffer.used();
    } catch (...) {
      return internal::EncodingException();
    }
  }

  template <typename T>
  static absl::Status Decode(Bytes from, T* value) {
    if (const char* wrong = ScanJson(from)) return absl::DataLossError(absl::StrCat("can't decode: ", wrong));
    try {
      SpanInputBuffer buffer(from);
      std::istream stream(&buffer);
      cereal::JSONInputArchive archive(stream);
      archive(*value);
      return absl::OkStatus();
    } catch (...) {
      return internal::DecodingException();
    }
  }

  // A member that is left out of a serialize(), and so differs in what was decoded; empty: none is
  // found.
  template <typename T>
  static std::string LeftOut(const T& passed, const T& decoded) {
    return internal::LeftOut(passed, decoded);
  }
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_CEREAL_CEREAL_JSON_CODEC_H_
