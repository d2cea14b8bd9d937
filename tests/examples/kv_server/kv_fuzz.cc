// Whatever bytes a client sends, at once or in pieces: the same requests, and each is answered.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "examples/kv_server/kv_commands.h"
#include "examples/kv_server/kv_protocol.h"
#include "examples/kv_server/kv_state.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"

namespace kekbit::examples {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

constexpr KvRequestLimits kLimits = {
    .arguments_max = 64, .string_bytes_max = 256, .request_bytes_max = 512, .line_bytes_max = 64};

struct Parsed {
  std::vector<KvArguments> requests;
  bool failed = false;
};

Parsed Parse(absl::string_view bytes, size_t piece) {
  KvRequestParser parser(kLimits);
  Parsed parsed;
  KvArguments request;
  for (size_t at = 0; at < bytes.size() && !parsed.failed; at += piece) {
    parser.Feed(bytes.substr(at, piece));
    KvParse parse = KvParse::kMore;
    while ((parse = parser.Next(&request)) == KvParse::kRequest) {
      Require(!request.empty());
      parsed.requests.push_back(request);
    }
    parsed.failed = parse == KvParse::kError;
  }
  return parsed;
}

// Answers as the server does, with a journal's encoding in between.
void Answer(KvState& state, KvArguments& request, Seq seq) {
  std::string text;
  KvReplyWriter reply(&text);
  std::string error;
  const int64_t time_ms = 1'700'000'000'000 + static_cast<int64_t>(seq) * 100;
  const KvCommandSpec* spec = FindKvCommand(request, &error);
  KvState::Command command;
  if (spec == nullptr || (spec->write != nullptr && !spec->write(request, &command, &error))) {
    reply.Error(error);
  } else if (spec->write != nullptr) {
    std::vector<uint8_t> bytes(1 << 16);
    const absl::StatusOr<size_t> size = CerealBinaryCodec::Encode(command, MutableBytes(bytes));
    Require(size.ok());
    KvState::Command decoded;
    Require(CerealBinaryCodec::Decode(Bytes(bytes).first(*size), &decoded).ok());
    WriteKvResult(state.Apply(decoded, ApplyContext({.epoch = 1, .seq = seq}, time_ms * 1'000'000)), spec->answer,
                  reply);
  } else if (spec->query != nullptr) {
    spec->query(state.keys(), time_ms, request, reply);
  } else {
    reply.Simple("OK");
  }
  Require(text.size() >= 4 && text.substr(text.size() - 2) == "\r\n");
}

void Run(const uint8_t* data, size_t size) {
  const absl::string_view bytes = AsText(Bytes(data + 1, size - 1));
  Parsed whole = Parse(bytes, std::max<size_t>(bytes.size(), 1));
  const Parsed pieces = Parse(bytes, size_t{data[0]} % 32 + 1);
  Require(whole.failed == pieces.failed && whole.requests == pieces.requests);
  KvState state;
  Seq seq = 0;
  for (KvArguments& request : whole.requests) Answer(state, request, ++seq);
}

}  // namespace
}  // namespace kekbit::examples

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) kekbit::examples::Run(data, size);
  return 0;
}
