#include "tests/support/rust_samples.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/support/file_bytes.h"
#include "tests/support/from_hex.h"

namespace kekbit {
namespace {

constexpr char kDirectory[] = "tests/testdata/rust_kekbit_channels/";

[[noreturn]] void Fail(absl::string_view line) {
  std::fprintf(stderr, "MANIFEST.txt: can't understand: %s\n", std::string(line).c_str());
  std::abort();
}

template <typename Number>
Number ToNumber(absl::string_view text, absl::string_view line) {
  Number number = 0;
  if (!absl::SimpleAtoi(text, &number)) Fail(line);
  return number;
}

// "version 1.0.0 writer_id 850 channel_id 1000 (0x3e8) capacity 16384 ... tick Nanos file_len 16544"
void ParseHeader(absl::string_view line, RustSample* sample) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  const auto field = [&](absl::string_view name) -> std::string {
    for (size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i] == name) return words[i + 1];
    }
    Fail(line);
  };
  if (field("version") != "1.0.0") Fail(line);
  sample->writer_id = ToNumber<uint64_t>(field("writer_id"), line);
  sample->channel_id = ToNumber<uint64_t>(field("channel_id"), line);
  sample->capacity = ToNumber<uint32_t>(field("capacity"), line);
  sample->max_msg_len = ToNumber<uint32_t>(field("max_msg_len"), line);
  sample->timeout = ToNumber<uint64_t>(field("timeout"), line);
  sample->creation_time = ToNumber<uint64_t>(field("creation_time"), line);
  sample->file_length = ToNumber<uint64_t>(field("file_len"), line);
  sample->tick_unit = field("tick");
}

// "pos     8 len 1   hex 07", "pos 0 len 5 text "There"", "pos 0 len 0 heartbeat"
void ParseRecord(absl::string_view line, RustSample* sample) {
  std::istringstream words{std::string(line)};
  std::string pos, len, kind;
  uint64_t length = 0;
  RustSample::Record record;
  if (!(words >> pos >> record.position >> len >> length >> kind) || pos != "pos" || len != "len") Fail(line);
  std::string rest;
  std::getline(words >> std::ws, rest);
  if (kind == "hex") {
    record.payload = FromHex(rest);
  } else if (kind == "text") {
    absl::string_view text = rest;
    if (!absl::ConsumePrefix(&text, "\"") || !absl::ConsumeSuffix(&text, "\"")) Fail(line);
    record.payload = std::string(text);
  } else if (kind != "heartbeat" && kind != "empty") {
    Fail(line);
  }
  if (record.payload.size() != length) Fail(line);
  sample->records.push_back(std::move(record));
}

}  // namespace

std::vector<std::string> RustSample::Payloads() const {
  std::vector<std::string> payloads;
  for (const Record& record : records) {
    if (!record.payload.empty()) payloads.push_back(record.payload);
  }
  return payloads;
}

std::vector<RustSample> RustSamples() {
  std::vector<RustSample> samples;
  for (const absl::string_view raw : absl::StrSplit(ReadFileBytes(std::string(kDirectory) + "MANIFEST.txt"), '\n')) {
    absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (absl::ConsumePrefix(&line, "=== ")) {
      samples.push_back({.name = std::string(line), .path = kDirectory + std::string(line)});
      continue;
    }
    if (samples.empty()) continue;  // the introduction
    RustSample* const sample = &samples.back();
    if (absl::StartsWith(line, "version ")) ParseHeader(line, sample);
    if (absl::StartsWith(line, "pos ")) ParseRecord(line, sample);
    for (const bool closes : {true, false}) {
      if (!absl::ConsumePrefix(&line, closes ? "CLOSE at pos " : "WATERMARK at pos ")) continue;
      sample->closed = closes;
      sample->end = ToNumber<uint64_t>(line, raw);
    }
  }
  return samples;
}

RustSample RustSampleNamed(const std::string& name) {
  for (RustSample& sample : RustSamples()) {
    if (sample.name == name) return sample;
  }
  Fail(name);
}

}  // namespace kekbit
