// The example in channel_format.md is true: its bytes read as the page says, and the calls that the
// page names make these bytes.

#include <sstream>
#include <string>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/channel_format.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "tests/support/fake_clock.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_channel.h"

namespace kekbit {
namespace {

// Returns the file that the block of hexadecimal digits in the document shows: lines of an offset,
// bytes, and words.
std::string BytesOfTheDocument() {
  std::istringstream document(ReadFileBytes("kekbit/channel_format.md"));
  std::string file(ChannelFileBytes(16384), '\0');
  std::string line;
  while (std::getline(document, line) && line != "```hex") {
  }
  size_t listed = 0;
  while (std::getline(document, line) && line != "```") {
    // Columns: offset up to 5, bytes from 7 to 55.
    size_t at = std::stoul(line.substr(0, 5));
    std::istringstream bytes(line.substr(7, 48));
    for (std::string byte; bytes >> byte; ++at, ++listed) {
      file.at(at) = static_cast<char>(std::stoul(byte, nullptr, 16));
    }
  }
  EXPECT_EQ(listed, 57u + 56u + 96u);
  return file;
}

TEST(ChannelFormatDocTest, TheBytesReadAsTheDocumentSays) {
  const TempDir dir = TempDir::InMemory();
  WriteFileBytes(dir.File("example"), BytesOfTheDocument());
  ShmReader reader = MakeReader(dir.File("example"));
  EXPECT_EQ(
      reader.header().ToString(),
      "version 1.0.0, writer 1850, channel 42, capacity 16384, longest payload 112, timeout 10000000000 ns, created "
      "1700000000000000000 ns");
  EXPECT_EQ(reader.extension(), Extension{});
  EXPECT_THAT(ReadAll(reader), testing::ElementsAre("hello", "8 bytes!", "There are 10 kinds of people"));
  EXPECT_EQ(reader.channel_end(), ChannelEnd::kClosed);
  EXPECT_THAT(reader.status(), IsOk());
}

TEST(ChannelFormatDocTest, TheCallsMakeTheBytes) {
  const TempDir dir = TempDir::InMemory();
  const FakeClock clock(1'700'000'000'000'000'000);
  KB_ASSERT_OK_AND_ASSIGN(
      const Header header,
      Header::Make({.writer_id = 1850, .channel_id = 42, .capacity = 16384, .max_msg_len = 100}, clock));
  {
    KB_ASSERT_OK_AND_ASSIGN(ShmWriter writer, ShmWriter::CreateAt(dir.File("example"), header, QuietWriter()));
    ASSERT_THAT(writer.Write(AsBytes("hello")), IsOk());
    ASSERT_THAT(writer.Write(AsBytes("8 bytes!")), IsOk());
    ASSERT_THAT(writer.Heartbeat(), IsOk());
    ASSERT_THAT(writer.Write(AsBytes("There are 10 kinds of people")), IsOk());
  }
  const std::string written = ReadFileBytes(dir.File("example"));
  const std::string documented = BytesOfTheDocument();
  ASSERT_EQ(written.size(), documented.size());
  for (size_t i = 0; i < written.size(); ++i) {
    ASSERT_EQ(static_cast<int>(written[i]), static_cast<int>(documented[i])) << "byte " << i;
  }
}

}  // namespace
}  // namespace kekbit
