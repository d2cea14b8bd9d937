// JSON's own matters: its text, and text that lies.

#include "kekbit/codecs/cereal/cereal_json_codec.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/json_scan.h"
#include "tests/codecs/test_values.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

template <typename T>
absl::StatusOr<T> Decoded(const std::string& text) {
  T value{};
  const AllocationMeter meter;
  const absl::Status status = CerealJsonCodec::Decode(AsBytes(text), &value);
  EXPECT_LE(meter.total_bytes(), (256u << 10) + 128 * text.size());
  if (!status.ok()) return status;
  return value;
}

TEST(CerealJsonCodecTest, MembersHaveTheirNames) {
  uint8_t to[1000];
  const absl::StatusOr<size_t> size =
      CerealJsonCodec::Encode(FiveFields{.a = 1, .b = 2, .c = -3, .d = 0.5, .e = 4}, MutableBytes(to));
  ASSERT_THAT(size, IsOk());
  std::string text(AsText(Bytes(to, *size)).data(), *size);
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == ' ' || c == '\n'; }), text.end());
  EXPECT_EQ(text, R"({"value0":{"a":1,"b":2,"c":-3,"d":0.5,"e":4}})");
}

TEST(CerealJsonCodecTest, MembersAreFoundInAnyOrderAndOthersSkipped) {
  const std::string text = R"( {"value0": {"e": 4, "new": [1, {}], "d": 0.5, "c": -3, "b": 2, "a": 1}} )";
  EXPECT_THAT(Decoded<FiveFields>(text), IsOkAndHolds(FiveFields{.a = 1, .b = 2, .c = -3, .d = 0.5, .e = 4}));
}

TEST(CerealJsonCodecTest, WhatIsNoJsonOrNoValueIsRefused) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[",
                           "null",
                           "5",
                           "\"x\"",
                           "{}",
                           "[]",
                           "{\"value0\"}",
                           "{\"value0\":}",
                           "{\"value0\": 5}",
                           "{\"value0\": {}}",
                           "{\"value0\": []}",
                           "{\"value0\": null}",
                           "{\"value0\": {\"a\": \"1\"}}",
                           "{\"value0\": {\"a\": 1.5, \"b\": 2, \"c\": 3, \"d\": 4, \"e\": 5}}",
                           "{\"value0\": {\"a\": 1, \"b\": -2, \"c\": 3, \"d\": 4, \"e\": 5}}",
                           "{\"value0\": {\"a\": 1, \"b\": 2, \"c\": 3, \"d\": 4}}",
                           "\xFF\xFE",
                           "{\"value0\": \"\\uD800\"}"}) {
    EXPECT_THAT(Decoded<FiveFields>(text), StatusIs(absl::StatusCode::kDataLoss)) << text;
  }
}

TEST(CerealJsonCodecTest, TextBehindTheValueIsRefused) {
  EXPECT_THAT(Decoded<int32_t>(R"({"value0": 1})"), IsOkAndHolds(1));
  EXPECT_THAT(Decoded<int32_t>(R"({"value0": 1, "value1": 2})"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more than one")));
  EXPECT_THAT(Decoded<int32_t>(R"({"value0": 1}{})"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Decoded<int32_t>(std::string("{\"value0\": 1}\0{}", 16)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("zero byte")));
}

// RapidJSON's parser recurses: without a limit this overflows the stack.
TEST(CerealJsonCodecTest, DeepNestingIsRefused) {
  for (const char* piece : {"[", "{\"a\":", "[{\"a\":", "\"x\"["}) {
    std::string text = "{\"value0\":";
    while (text.size() < (1u << 20)) text += piece;
    EXPECT_THAT(Decoded<Tree>(text), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("deep"))) << piece;
  }
}

TEST(CerealJsonCodecTest, DeepValuesAreEncodedOnlyIfTheyCanBeDecoded) {
  std::vector<uint8_t> to(1 << 16);
  Tree tree;
  Tree* last = &tree;
  absl::StatusOr<size_t> size = CerealJsonCodec::Encode(tree, MutableBytes(to));
  int levels = 0;
  for (; size.ok(); size = CerealJsonCodec::Encode(tree, MutableBytes(to)), ++levels) {
    Tree decoded;
    ASSERT_THAT(CerealJsonCodec::Decode(Bytes(to).first(*size), &decoded), IsOk());
    last = &last->children.emplace_back();
  }
  EXPECT_THAT(size, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deep")));
  EXPECT_GE(levels, kJsonDepthMax / 2 - 2);
}

// cereal reads strings only up to a zero.
TEST(CerealJsonCodecTest, StringsWithAZeroAreRefusedNotCut) {
  uint8_t to[100];
  EXPECT_THAT(CerealJsonCodec::Encode(std::string("a\0b", 3), MutableBytes(to)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("zero")));
  EXPECT_THAT(Decoded<std::string>(R"({"value0": "a\u0000b"})"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("zero")));
  EXPECT_THAT(Decoded<std::string>(R"({"value0": "a\\u0000b"})"), IsOkAndHolds("a\\u0000b"));
}

TEST(CerealJsonCodecTest, NumbersComeBackExactly) {
  const std::vector<double> doubles = {0.1, 1e300, -5e-324, 123456789.123456789, 1.0 / 3};
  std::vector<uint8_t> to(10000);
  const absl::StatusOr<size_t> size = CerealJsonCodec::Encode(doubles, MutableBytes(to));
  ASSERT_THAT(size, IsOk());
  std::vector<double> decoded;
  ASSERT_THAT(CerealJsonCodec::Decode(Bytes(to).first(*size), &decoded), IsOk());
  EXPECT_EQ(decoded, doubles);
}

TEST(ScanJsonTest, SeesOnlyWhatIsOutsideOfStrings) {
  EXPECT_STREQ(ScanJson(AsBytes(R"({"value0": "[[,,\",]", "x")")), "more than one value");
  EXPECT_EQ(ScanJson(AsBytes(R"({"value0": "[[,,\",]"})")), nullptr);
  EXPECT_EQ(ScanJson(AsBytes(R"({"\\": [1, 2]})")), nullptr);
  EXPECT_EQ(ScanJson(AsBytes("\"\\")), nullptr);
  EXPECT_EQ(ScanJson(AsBytes(std::string(kJsonDepthMax, '['))), nullptr);
  EXPECT_NE(ScanJson(AsBytes(std::string(kJsonDepthMax + 1, '['))), nullptr);
}

}  // namespace
}  // namespace kekbit
