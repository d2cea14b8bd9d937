// TestJournal is a journal written by hand, without a Replica: takes epochs, appends texts, reads
// all back.
//
//   TestJournal journal(dir.path());
//   JournalWriter writer = journal.Begin();
//   Append(writer, "one");
//   EXPECT_THAT(journal.Texts(), ElementsAre("one"));

#ifndef KEKBIT_TESTS_SUPPORT_TEST_JOURNAL_H_
#define KEKBIT_TESTS_SUPPORT_TEST_JOURNAL_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_format.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/seek.h"

namespace kekbit {

// The data format of the tests' commands.
inline constexpr uint64_t kTestDataFormat = kRawDataFormat;

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

inline absl::StatusOr<Position> Append(JournalWriter& writer, absl::string_view text, int64_t now_ns = 1) {
  const auto encode = [text](MutableBytes to) -> absl::StatusOr<size_t> {
    if (text.size() > to.size()) return absl::ResourceExhaustedError(absl::StrCat(text.size(), " bytes don't fit"));
    if (!text.empty()) std::memcpy(to.data(), text.data(), text.size());
    return text.size();
  };
  return writer.Append(encode, now_ns);
}

inline std::string TextOf(const Frame& frame) { return std::string(AsText(frame.payload)); }

// The texts of all commands that the reader still has to give.
inline std::vector<std::string> ReadTexts(JournalReader& reader) {
  std::vector<std::string> texts;
  while (const std::optional<Frame> frame = reader.Next()) {
    if (frame->kind() == FrameKind::kCommand) texts.push_back(TextOf(*frame));
  }
  return texts;
}

class TestJournal final {
 public:
  explicit TestJournal(const std::string& directory, FileSystem& fs = FileSystem::Posix(),
                       uint32_t segment_bytes = kCapacityMin, std::string state_name = {})
      : fs_(fs),
        layout_(directory),
        segment_bytes_(segment_bytes),
        state_name_(std::move(state_name)),
        epochs_(ValueOrDie(EpochStore::Open(fs, layout_.epoch()))) {}

  const JournalLayout& layout() const { return layout_; }
  EpochStore& epochs() { return epochs_; }

  // Begins the next epoch after what is there. Every earlier writer has closed its segment.
  JournalWriter Begin(int64_t now_ns = 1) { return ValueOrDie(TryBegin(now_ns)); }
  absl::StatusOr<JournalWriter> TryBegin(int64_t now_ns = 1) {
    JournalReader reader = OpenReader();
    while (reader.Next()) {
    }
    if (!reader.status().ok()) return reader.status();
    const std::vector<SegmentNumber> segments = ValueOrDie(layout_.ListSegments(fs_));
    const SegmentNumber next = segments.empty() ? 1 : segments.back() + 1;
    JournalWriterOptions options = {.file_system = &fs_,
                                    .layout = layout_,
                                    .data_format = kTestDataFormat,
                                    .state_name = state_name_,
                                    .segment_bytes = segment_bytes_};
    return JournalWriter::Begin(std::move(options), epochs_, ValueOrDie(epochs_.Grant(reader.last().position.epoch)),
                                reader.last(), next, now_ns);
  }

  JournalReader OpenReader(Seq from = 1) const {
    return ValueOrDie(ReadJournal(FileSystem::Posix(), layout_, kTestDataFormat, from));
  }
  std::vector<std::string> Texts(Seq from = 1) const {
    JournalReader reader = OpenReader(from);
    return ReadTexts(reader);
  }
  std::vector<SegmentNumber> Segments() const { return ValueOrDie(layout_.ListSegments(FileSystem::Posix())); }

 private:
  FileSystem& fs_;
  JournalLayout layout_;
  uint32_t segment_bytes_;
  std::string state_name_;
  EpochStore epochs_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_TEST_JOURNAL_H_
