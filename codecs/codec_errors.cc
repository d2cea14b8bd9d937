#include "kekbit/codecs/codec_errors.h"

#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "kekbit/base/type_name.h"

namespace kekbit::internal {
namespace {

// Rethrows the exception being handled to see what it is.
std::string CurrentMessage(bool* out_of_memory) {
  *out_of_memory = false;
  try {
    throw;
  } catch (const std::bad_alloc&) {
    *out_of_memory = true;
    return "out of memory";
  } catch (...) {
    return CurrentExceptionWhat();
  }
}

}  // namespace

absl::Status NeedsMoreRoom(size_t needed, size_t room) {
  return absl::ResourceExhaustedError(absl::StrCat("the encoding needs ", needed, " bytes, there is room for ", room));
}

absl::Status NeedsMoreRoom(size_t room) {
  return absl::ResourceExhaustedError(absl::StrCat("the encoding needs more than ", room, " bytes"));
}

absl::Status BytesLeftOver(size_t left, size_t size) {
  return absl::DataLossError(absl::StrCat(left, " of ", size, " bytes are left over behind the decoded value"));
}

absl::Status EncodingException() {
  bool out_of_memory;
  return absl::InvalidArgumentError(absl::StrCat("can't encode: ", CurrentMessage(&out_of_memory)));
}

absl::Status DecodingException() {
  bool out_of_memory;
  const std::string message = absl::StrCat("can't decode: ", CurrentMessage(&out_of_memory));
  return out_of_memory ? absl::ResourceExhaustedError(message) : absl::DataLossError(message);
}

}  // namespace kekbit::internal
