// A codec joined to a channel.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/raw_codec.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/codecs/typed_reader.h"
#include "kekbit/codecs/typed_writer.h"
#include "tests/codecs/test_values.h"
#include "tests/support/allocations.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

class TypedChannelTest : public testing::Test {
 protected:
  template <typename T, typename Codec>
  TypedWriter<T, Codec> MakeTypedWriter() {
    return TypedWriter<T, Codec>::CreateAt(path_, MakeHeader(), QuietWriter()).value();
  }

  TempDir dir_;
  std::string path_ = dir_.File("channel.kekbit");
};

TEST_F(TypedChannelTest, ValuesComeBackInOrder) {
  std::optional writer = MakeTypedWriter<FiveFields, CerealBinaryCodec>();
  EXPECT_EQ(writer->channel().data_format(), kCerealBinaryDataFormat);
  KB_ASSERT_OK_AND_ASSIGN(auto reader, (TypedReader<FiveFields, CerealBinaryCodec>::OpenAt(path_)));
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  for (uint32_t i = 1; i <= 10; ++i) ASSERT_THAT(writer->Write(SomeFields(i)), IsOkAndHolds(RecordBytes(30)));
  for (uint32_t i = 1; i <= 10; ++i) ASSERT_EQ(reader.TryRead(), SomeFields(i));
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_FALSE(reader.exhausted());
  writer.reset();
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_TRUE(reader.exhausted());
  EXPECT_THAT(reader.status(), IsOk());
}

TEST_F(TypedChannelTest, CreatedAndOpenedByRootAndId) {
  KB_ASSERT_OK_AND_ASSIGN(auto writer,
                          (TypedWriter<std::string, TextCodec>::Create(dir_.path(), MakeHeader(), QuietWriter())));
  ASSERT_THAT(writer.Write("hello"), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(auto reader, (TypedReader<std::string, StrictTextCodec>::Open(
                                           dir_.path(), writer.channel().header().channel_id())));
  EXPECT_EQ(reader.TryRead(), "hello");
}

TEST_F(TypedChannelTest, AnotherFormatIsFailedPrecondition) {
  auto writer = MakeTypedWriter<std::string, TextCodec>();
  EXPECT_THAT((TypedReader<std::string, RawCodec>::OpenAt(path_)), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT((TypedReader<std::string, CerealBinaryCodec>::OpenAt(path_)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(TypedChannelTest, ARefusedValuePublishesNothing) {
  auto writer = MakeTypedWriter<std::string, StrictTextCodec>();
  const uint64_t before = writer.channel().write_offset();
  EXPECT_THAT(writer.Write(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(writer.Write("\xFF"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(path_)));
  EXPECT_THAT(writer.Write(std::string(writer.channel().header().max_msg_len() + 1, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(path_)));
  EXPECT_EQ(writer.channel().write_offset(), before);
  EXPECT_THAT(writer.Write("x"), IsOk());
  EXPECT_EQ(MakeReader(path_).TryRead(), AsBytes("x"));
}

TEST_F(TypedChannelTest, FilledToTheEndAndThenResourceExhausted) {
  auto writer = MakeTypedWriter<std::string, RawCodec>();
  uint64_t written = 0;
  absl::StatusOr<uint64_t> bytes = writer.Write(std::string(100, 'x'));
  for (; bytes.ok(); bytes = writer.Write(std::string(100, 'x'))) ++written;
  EXPECT_THAT(bytes, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LT(writer.channel().available(), RecordBytes(100));
  KB_ASSERT_OK_AND_ASSIGN(auto reader, (TypedReader<Bytes, RawCodec>::OpenAt(path_)));
  uint64_t read = 0;
  while (reader.TryRead()) ++read;
  EXPECT_EQ(read, written);
}

TEST_F(TypedChannelTest, ARecordThatIsNoValueEndsTheReading) {
  auto writer = MakeTypedWriter<FiveFields, CerealBinaryCodec>();
  ASSERT_THAT(writer.Write(SomeFields()), IsOk());
  ASSERT_THAT(writer.channel().Write(AsBytes("no five fields")), IsOk());
  ASSERT_THAT(writer.Write(SomeFields()), IsOk());
  KB_ASSERT_OK_AND_ASSIGN(auto reader, (TypedReader<FiveFields, CerealBinaryCodec>::OpenAt(path_)));
  EXPECT_EQ(reader.TryRead(), SomeFields());
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_EQ(reader.TryRead(), std::nullopt);
  EXPECT_TRUE(reader.exhausted());
  EXPECT_THAT(reader.status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
}

TEST_F(TypedChannelTest, NeitherSideAllocates) {
  auto writer = MakeTypedWriter<FiveFields, CerealBinaryCodec>();
  KB_ASSERT_OK_AND_ASSIGN(auto reader, (TypedReader<FiveFields, CerealBinaryCodec>::OpenAt(path_)));
  const FiveFields fields = SomeFields();
  const AllocationMeter meter;
  const bool written = writer.Write(fields).ok();
  const std::optional<FiveFields> read = reader.TryRead();
  EXPECT_EQ(meter.count(), 0u);
  EXPECT_TRUE(written);
  EXPECT_EQ(read, fields);
}

}  // namespace
}  // namespace kekbit
