// The matters of raw bytes and text: views, and which bytes are UTF-8.

#include "kekbit/codecs/text_codec.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/codec.h"
#include "kekbit/codecs/raw_codec.h"
#include "kekbit/codecs/utf8.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

static_assert(CodecFor<RawCodec, Bytes> && CodecFor<RawCodec, absl::string_view>);
static_assert(CodecFor<TextCodec, absl::string_view> && CodecFor<StrictTextCodec, absl::string_view>);
static_assert(!CodecFor<TextCodec, std::vector<uint8_t>> && !CodecFor<RawCodec, int>);
static_assert(TextCodec::kDataFormat == StrictTextCodec::kDataFormat);

// By the definition: the value of each sequence, its shortest form, its range.
size_t SlowValidPrefix(const std::string& text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
    const size_t length = byte(0) < 0x80           ? 1
                          : (byte(0) >> 5) == 0x06 ? 2
                          : (byte(0) >> 4) == 0x0E ? 3
                          : (byte(0) >> 3) == 0x1E ? 4
                                                   : 0;
    if (length == 0 || at + length > text.size()) break;
    uint32_t code = length == 1 ? byte(0) : byte(0) & (0x7Fu >> length);
    bool continued = true;
    for (size_t i = 1; i < length; ++i) {
      continued = continued && (byte(i) >> 6) == 2;
      code = code << 6 | (byte(i) & 0x3Fu);
    }
    constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (!continued || code < kSmallest[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) break;
    at += length;
  }
  return at;
}

TEST(RawCodecTest, ViewsPointIntoTheSource) {
  const Bytes from = AsBytes("hello");
  Bytes view;
  ASSERT_THAT(RawCodec::Decode(from, &view), IsOk());
  EXPECT_EQ(view.data(), from.data());
  EXPECT_EQ(view.size(), 5u);
  absl::string_view text;
  ASSERT_THAT(StrictTextCodec::Decode(from, &text), IsOk());
  EXPECT_EQ(static_cast<const void*>(text.data()), from.data());
}

TEST(Utf8Test, EveryPairAndWhatDecidesLongerSequences) {
  const std::string tails[] = {"", "\x80", "\xBF\xBF", "a", "\x80\x80\x80", "\xC0", "\x80\x7F"};
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      for (const std::string& tail : tails) {
        const std::string text = {static_cast<char>(first), static_cast<char>(second)};
        ASSERT_EQ(ValidUtf8Prefix(AsBytes(text + tail)), SlowValidPrefix(text + tail)) << first << " " << second;
      }
    }
  }
}

// Eight bytes are looked at together where there are as many.
TEST(Utf8Test, FindsAWrongByteAtEachPlace) {
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'a');
      text[at] = static_cast<char>(0xFF);
      ASSERT_EQ(ValidUtf8Prefix(AsBytes(text)), at);
    }
  }
}

TEST(TextCodecTest, KeepsBytesThatStrictRefuses) {
  const std::string text = "caf\xE9";
  std::string decoded;
  EXPECT_THAT(TextCodec::Decode(AsBytes(text), &decoded), IsOk());
  EXPECT_EQ(decoded, text);
  EXPECT_THAT(StrictTextCodec::Decode(AsBytes(text), &decoded),
              StatusIs(absl::StatusCode::kDataLoss, testing::HasSubstr("byte 3")));
  uint8_t to[10];
  EXPECT_THAT(TextCodec::Encode(text, MutableBytes(to)), IsOkAndHolds(4u));
  EXPECT_THAT(StrictTextCodec::Encode(text, MutableBytes(to)),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("byte 3")));
}

}  // namespace
}  // namespace kekbit
