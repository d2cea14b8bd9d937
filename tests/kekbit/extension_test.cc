#include "kekbit/extension.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/channel_format.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr size_t kBlockBytes = 56 + 64;
constexpr Extension kUnlabeled{.data_format = 0x1122'3344'5566'7788, .hints = {1, 2, 3, 0xFFFF'FFFF'FFFF'FFFF}};
constexpr Extension kExample{
    .data_format = 0x1122'3344'5566'7788, .hints = {1, 2, 3, 0xFFFF'FFFF'FFFF'FFFF}, .label = {'b', 'a', 'n', 'k'}};

std::vector<uint8_t> FileWith(const Extension& extension) {
  std::vector<uint8_t> file(kDataOffset, 0xEE);
  extension.EncodeTo(absl::MakeSpan(file));
  return file;
}

TEST(ExtensionTest, EncodesEachFieldInItsPlaceAndTouchesNothingElse) {
  const std::vector<uint8_t> file = FileWith(kExample);
  EXPECT_EQ(AsText(Bytes(file).subspan(128, 8)), "KKBTEXT1");
  EXPECT_EQ(LoadUnaligned<uint32_t>(&file[136]), 1u);
  EXPECT_EQ(LoadUnaligned<uint32_t>(&file[140]), Crc32c(0, Bytes(file).subspan(144, 40)));
  EXPECT_EQ(LoadUnaligned<uint64_t>(&file[144]), 0x1122'3344'5566'7788u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(LoadUnaligned<uint64_t>(&file[152 + 8 * i]), kExample.hints[i]);
  EXPECT_EQ(LoadUnaligned<uint32_t>(&file[184]),
            Crc32c(Crc32c(0, Bytes(file).subspan(144, 40)), Bytes(file).subspan(188, 60)));
  EXPECT_EQ(LoadUnaligned<uint32_t>(&file[188]), 0u);
  EXPECT_EQ(AsText(Bytes(file).subspan(192, 56)), std::string("bank") + std::string(52, '\0'));
  for (size_t i = 0; i < file.size(); ++i) {
    if (i < 128 || i >= 128 + kBlockBytes) {
      ASSERT_EQ(file[i], 0xEE) << i;
    }
  }
}

TEST(ExtensionTest, ReadsWhatItWrote) {
  for (const Extension& extension : {Extension{}, kUnlabeled, kExample}) {
    const auto decoded = Extension::Decode(FileWith(extension));
    ASSERT_THAT(decoded, IsOk());
    EXPECT_EQ(*decoded, extension);
  }
}

TEST(ExtensionTest, WithoutTheMagicTheChannelIsPlain) {
  EXPECT_THAT(Extension::Decode(std::vector<uint8_t>(kDataOffset)), IsOkAndHolds(testing::Eq(std::nullopt)));
  for (size_t bit = 0; bit < 64; ++bit) {
    std::vector<uint8_t> file = FileWith(kExample);
    file[128 + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_THAT(Extension::Decode(file), IsOkAndHolds(testing::Eq(std::nullopt)));
  }
}

// Channels of earlier versions have zeros in the place of the label.
TEST(ExtensionTest, WithZerosThereIsNoLabel) {
  std::vector<uint8_t> file = FileWith(kExample);
  std::fill_n(file.begin() + 184, 64, uint8_t{0});
  EXPECT_EQ(file, FileWith(kUnlabeled));
  EXPECT_THAT(Extension::Decode(file), IsOkAndHolds(testing::Eq(kUnlabeled)));
}

// A label of another block, or of an earlier file in the same place, is not taken for its own.
TEST(ExtensionTest, ALabelBelongsToItsBlock) {
  std::vector<uint8_t> file = FileWith({.data_format = 3, .label = {'x'}});
  const std::vector<uint8_t> other = FileWith(kExample);
  std::copy_n(other.begin() + 184, 64, file.begin() + 184);
  EXPECT_THAT(Extension::Decode(file), StatusIs(StatusCode::kDataLoss, HasSubstr("label")));
}

TEST(ExtensionTest, AFileThatEndsBeforeTheBlockDoesIsPlain) {
  const std::vector<uint8_t> file = FileWith(kExample);
  for (size_t size = 0; size < 128 + 56; ++size) {
    EXPECT_THAT(Extension::Decode(Bytes(file).subspan(0, size)), IsOkAndHolds(testing::Eq(std::nullopt)));
  }
  EXPECT_THAT(Extension::Decode(Bytes(file).subspan(0, 128 + kBlockBytes)), IsOkAndHolds(testing::Eq(kExample)));
}

TEST(ExtensionTest, EachFlippedBitBehindTheMagicIsFound) {
  for (size_t bit = 64; bit < kBlockBytes * 8; ++bit) {
    std::vector<uint8_t> file = FileWith(bit % 2 == 0 ? kExample : kUnlabeled);
    file[128 + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    const bool in_version = bit < 96;
    const bool other_version = in_version && bit != 64;  // without that bit it is 0, which none is
    EXPECT_THAT(Extension::Decode(file),
                StatusIs(other_version ? StatusCode::kFailedPrecondition : StatusCode::kDataLoss,
                         HasSubstr(in_version ? "version" : "checksum")))
        << "bit " << bit;
  }
}

TEST(ExtensionDeathTest, EncodeWantsRoomUpToTheData) {
  std::vector<uint8_t> file(kDataOffset - 1);
  EXPECT_DEATH(kExample.EncodeTo(absl::MakeSpan(file)), "broken contract");
}

}  // namespace
}  // namespace kekbit
