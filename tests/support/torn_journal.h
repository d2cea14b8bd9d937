// TornJournal is a journal made frame by frame, as it lies on the disk when its writer dies. It
// gives as many copies as wanted, to be damaged. Recover() opens a copy as a new primary does.
//
//   TornJournal journal;
//   journal.Begin(1);
//   journal.Append("one", /*synced=*/1);
//   std::map<std::string, std::string> image = journal.Image();   // names below the directory, bytes
//   WriteImage(dir, image);
//   Recovered recovered = Recover(FileSystem::Posix(), dir);

#ifndef KEKBIT_TESTS_SUPPORT_TORN_JOURNAL_H_
#define KEKBIT_TESTS_SUPPORT_TORN_JOURNAL_H_

#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_format.h"
#include "kekbit/header.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/shm_writer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {

// Files of a journal: names below its directory, and bytes.
using Image = std::map<std::string, std::string>;

inline void WriteImage(const std::string& directory, const Image& image) {
  for (const auto& [name, bytes] : image) {
    std::filesystem::create_directories(DirectoryOf(JoinPath(directory, name)));
    WriteFileBytes(JoinPath(directory, name), bytes);
  }
}

inline Image ReadImage(const std::string& directory) {
  Image image;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    image[std::filesystem::relative(entry.path(), directory).string()] = ReadFileBytes(entry.path().string());
  }
  return image;
}

// TornFrame says where a frame stands, and what it says.
struct TornFrame {
  SegmentNumber segment = 0;
  uint64_t offset = 0;  // of its length, in the data area
  uint64_t bytes = 0;   // of its record
  Seq seq = 0;
  std::string text;  // empty for an epoch's first
};

class TornJournal final {
 public:
  // Goes on in a new segment; in a new epoch if that is another.
  void Begin(Epoch epoch) {
    const Header header = ValueOrDie(Header::Make(
        {.writer_id = epoch, .channel_id = ++segment_, .capacity = kCapacityMin, .max_msg_len = kCapacityMin}));
    WriterOptions options;
    options.extension = SegmentExtension(kTestDataFormat, last_);
    options.first_heartbeat = false;
    options.wakes_readers = false;
    if (writer_) writer_->Close();
    writer_ = ValueOrDie(ShmWriter::Create(layout_.segments(), header, std::move(options)));
    if (epoch == last_.position.epoch) return;
    const EpochStart start = {.follows_epoch = last_.position.epoch,
                              .follows_seq = last_.position.seq,
                              .follows_crc32c = last_.crc32c,
                              .reserved = 0};
    epoch_ = epoch;
    Publish(FrameKind::kEpochStart, "", Bytes(reinterpret_cast<const uint8_t*>(&start), sizeof start), synced_);
  }

  // Appends as when all up to `synced` was synced; the sync mark says so, too, unless told not to.
  void Append(const std::string& text, Seq synced) { Publish(FrameKind::kCommand, text, AsBytes(text), synced); }

  // The files, and the mark at `mark`.
  Image Files(Seq mark) const {
    Image image = ReadImage(dir_.path());
    std::string bytes = {"KKBSYNC1"};
    bytes.resize(64);
    std::memcpy(bytes.data() + 8, &mark, sizeof mark);
    image["synced"] = bytes;
    return image;
  }

  const std::vector<TornFrame>& frames() const { return frames_; }
  const ChainLink& last() const { return last_; }
  // The texts of the commands up to that seq.
  std::vector<std::string> TextsUpTo(Seq seq) const {
    std::vector<std::string> texts;
    for (const TornFrame& frame : frames_) {
      if (frame.seq <= seq && !frame.text.empty()) texts.push_back(frame.text);
    }
    return texts;
  }
  static std::string SegmentName(SegmentNumber number) { return JournalLayout("").segment(number).substr(1); }

 private:
  void Publish(FrameKind kind, const std::string& text, Bytes payload, Seq synced) {
    synced_ = synced;
    FrameHeader header;
    header.kind = static_cast<uint8_t>(kind);
    header.epoch = epoch_;
    header.seq = last_.position.seq + 1;
    header.unsynced = UnsyncedBefore(header.seq, synced);
    header.time_ns = 1;
    const uint64_t offset = writer_->write_offset();
    const MutableBytes room = ValueOrDie(writer_->Claim(kFrameHeaderBytes + payload.size()));
    if (!payload.empty()) std::memcpy(room.data() + kFrameHeaderBytes, payload.data(), payload.size());
    SealFrame(header, last_, room);
    writer_->Publish(room.size());
    frames_.push_back({.segment = segment_,
                       .offset = offset,
                       .bytes = writer_->write_offset() - offset,
                       .seq = header.seq,
                       .text = text});
  }

  TempDir dir_ = TempDir::InMemory();
  JournalLayout layout_{dir_.path()};
  std::optional<ShmWriter> writer_;
  SegmentNumber segment_ = 0;
  Epoch epoch_ = 0;
  Seq synced_ = 0;
  ChainLink last_;
  std::vector<TornFrame> frames_;
};

struct Recovered {
  absl::Status status;
  std::vector<std::string> texts;
  RecoveryOutcome outcome;  // the last one
  RecoveryReport report;    // of all
  ChainLink last;
};

// Reads what there is, recovers its end, and reads on as long as there is more.
inline Recovered Recover(FileSystem& fs, const std::string& directory, const RecoveryOptions& options = {}) {
  Recovered recovered;
  const JournalLayout layout(directory);
  const auto run = [&]() -> absl::Status {
    KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs, layout.synced()));
    KB_RETURN_IF_ERROR(SettlePoison(fs, layout, mark, options.writer));
    KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(fs, layout, kTestDataFormat));
    do {
      for (const std::string& text : ReadTexts(reader)) recovered.texts.push_back(text);
      recovered.last = reader.last();
      KB_ASSIGN_OR_RETURN(recovered.outcome, RecoverTail(fs, layout, reader, mark, options));
      AddToReport(recovered.outcome, recovered.report);
    } while (recovered.outcome.read_on);
    return absl::OkStatus();
  };
  recovered.status = run();
  return recovered;
}

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_TORN_JOURNAL_H_
