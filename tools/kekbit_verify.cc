// The command Verify.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/channel_format.h"
#include "kekbit/status_macros.h"
#include "replication/epoch_store.h"
#include "replication/journal_layout.h"
#include "replication/journal_tail.h"
#include "replication/sync_mark.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_segment.h"
#include "tools/kekbit_show.h"
#include "tools/kekbit_tail.h"

namespace kekbit {
namespace {

absl::string_view MessageOf(const absl::Status& status) {
  return absl::string_view(status.message().data(), status.message().size());
}

// Whether the file begins as a channel: if not, it is no damaged channel, but something else.
absl::StatusOr<bool> HasSignature(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  std::array<uint8_t, sizeof(kSignature)> bytes = {};
  KB_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, MutableBytes(bytes.data(), bytes.size())));
  return size == bytes.size() && LoadUnaligned<uint64_t>(bytes.data()) == kSignature;
}

class Verifier final {
 public:
  Verifier(const CommandOptions& options, Output& output) : options_(options), output_(output) {}

  // Goes through one channel, or the next segment.
  absl::Status Check(const Part& part);

  // Of a journal: the files beside its segments; `mark` as it was before those were read. Then what a new primary would
  // make of its end, unless somebody writes to it.
  absl::Status CheckJournal(const JournalLayout& layout, const std::optional<SyncMark>& mark, Seq synced);

  bool sound() const { return sound_; }

 private:
  struct Counts {
    uint64_t records = 0;
    uint64_t heartbeats = 0;
    SegmentItem last;  // the item at the end
  };

  // `reason` names the file and says what is wrong there.
  void Damage(const Part& part, uint64_t offset, absl::string_view reason);
  // Whether the segment follows what was read before.
  void CheckLink(const Part& part, const SegmentScan& scan);
  // A journal whose first segments were dropped.
  void Begins(const Part& part, Seq first);
  void Summary(const Part& part, const Counts& counts, const std::optional<ChainLink>& last);

  const CommandOptions& options_;
  Output& output_;
  bool sound_ = true;
  bool part_sound_ = true;
  bool writer_alive_ = false;      // of the last segment
  SegmentNumber segment_ = 0;      // the last one, 0: none yet
  std::optional<ChainLink> link_;  // what its last frame was, unless it could not be read
};

absl::Status Verifier::Check(const Part& part) {
  part_sound_ = true;
  const bool first = segment_ == 0;
  if (segment_ != 0 && part.segment != segment_ + 1) {
    link_.reset();
    Damage(part, 0,
           absl::StrCat(part.path, ": segment ", part.segment, " comes after segment ", segment_,
                        ": what is between them is missing"));
  }
  segment_ = part.segment;
  absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(*options_.file_system, part.path);
  if (!scan.ok()) {
    link_.reset();
    if (!absl::IsDataLoss(scan.status())) return scan.status();
    KB_ASSIGN_OR_RETURN(const bool is_channel, HasSignature(*options_.file_system, part.path));
    if (!is_channel && part.segment == 0) return scan.status();
    Damage(part, 0, MessageOf(scan.status()));
    return absl::OkStatus();
  }
  CheckLink(part, *scan);
  Counts counts;
  absl::Status unknown;
  for (;;) {
    SegmentItem item = scan->Next();
    if (absl::IsDataLoss(item.status)) {
      Damage(part, item.in_channel.offset, MessageOf(item.status));
    } else if (unknown.ok()) {
      unknown = item.status;
    }
    if (item.is_last()) {
      counts.last = std::move(item);
      break;
    }
    ++(item.in_channel.kind == ChannelItemKind::kRecord ? counts.records : counts.heartbeats);
  }
  // Behind a WATERMARK a writer may go on: into a file that is no longer long enough.
  if (counts.last.in_channel.kind == ChannelItemKind::kWatermarkMarker && scan->scan().is_cut()) {
    const ChannelFile& channel = scan->scan().channel();
    Damage(part, channel.data_bytes(),
           absl::StrCat(part.path, ": the file was cut at offset ", channel.data_bytes(), "; the data area has ",
                        channel.header.capacity(), " bytes"));
  }
  if (scan->follows()) link_ = scan->last();
  writer_alive_ = scan->scan().WriterAlive().value_or(false);
  if (first && part.segment > 1 && scan->follows()) {
    Begins(part, scan->follows()->position.seq + 1);
  }
  Summary(part, counts, scan->follows() ? link_ : std::nullopt);
  return unknown;
}

void Verifier::Damage(const Part& part, uint64_t offset, absl::string_view reason) {
  sound_ = part_sound_ = false;
  if (!options_.json) {
    output_.Line(absl::StrCat("damage: ", reason));
    return;
  }
  JsonLine line;
  line.String("file", part.path);
  if (part.segment != 0) line.Number("segment", part.segment);
  output_.Line(
      line.Number("offset", offset).String("kind", "damage").Bool("ok", false).String("reason", reason).Take());
}

void Verifier::CheckLink(const Part& part, const SegmentScan& scan) {
  if (part.segment == 0) return;
  if (!scan.follows()) {
    link_.reset();
    Damage(part, 0, absl::StrCat(part.path, ": the channel is not a segment of a journal"));
    return;
  }
  const ChainLink& follows = *scan.follows();
  const std::optional<ChainLink> before = part.segment == 1 ? ChainLink{} : link_;
  if (!before || (before->position == follows.position && before->crc32c == follows.crc32c)) return;
  Damage(
      part, 0,
      absl::StrCat(part.path, ": the segment follows ", follows.position.ToString(), " with checksum ", follows.crc32c,
                   ", the journal before it ends with ", before->position.ToString(), " and ", before->crc32c));
}

void Verifier::Summary(const Part& part, const Counts& counts, const std::optional<ChainLink>& last) {
  const uint64_t offset = counts.last.in_channel.offset;
  if (options_.json) {
    JsonLine line;
    line.String("file", part.path);
    if (part.segment != 0) line.Number("segment", part.segment);
    line.Number("offset", offset).String("kind", KindName(counts.last)).Bool("ok", part_sound_);
    line.Number("records", counts.records).Number("heartbeats", counts.heartbeats);
    if (last) line.Number("epoch", last->position.epoch).Number("seq", last->position.seq);
    output_.Line(line.Take());
    return;
  }
  const std::string end = last ? absl::StrCat(", up to ", last->position.ToString()) : "";
  output_.Line(absl::StrCat(part.path, ": ", part_sound_ ? "ok" : "DAMAGED", ", ", counts.records, " record(s), ",
                            counts.heartbeats, " heartbeat(s)", end, "; ", KindName(counts.last), " at offset ",
                            offset));
}

void Verifier::Begins(const Part& part, Seq first) {
  if (options_.json) {
    output_.Line(JsonLine().String("file", part.path).String("kind", "begin").Number("first_seq", first).Take());
  } else {
    output_.Line(absl::StrCat(part.path, ": the journal begins at seq ", first, ", what was before is not kept"));
  }
}

absl::Status Verifier::CheckJournal(const JournalLayout& layout, const std::optional<SyncMark>& mark, Seq synced) {
  FileSystem& fs = *options_.file_system;
  for (const BadFile& bad : CheckSmallFiles(fs, layout)) Damage({.segment = 0, .path = bad.path}, 0, bad.reason);
  const absl::StatusOr<Epoch> epoch = EpochStore::Read(fs, layout.epoch());
  const bool whole = sound_;
  if (whole && epoch.ok() && link_ && link_->position.epoch > *epoch) {
    Damage({.segment = 0, .path = layout.epoch()}, 0,
           absl::StrCat(layout.epoch(), ": says that epoch ", *epoch, " is the newest, the journal ends in epoch ",
                        link_->position.epoch));
  }
  if (whole && mark && link_ && link_->position.seq < synced) {
    Damage({.segment = 0, .path = layout.synced()}, 0,
           absl::StrCat(layout.synced(), ": says that everything up to seq ", synced,
                        " was synced, the journal ends with seq ", link_->position.seq));
  }
  KB_ASSIGN_OR_RETURN(const bool held, LeaseHeld(fs, layout));
  if (sound_ || held || writer_alive_) return absl::OkStatus();
  const absl::StatusOr<JournalEnd> end = FindEnd(fs, layout, mark ? &*mark : nullptr);
  if (!end.ok()) return absl::OkStatus();  // what is wrong was said
  const JournalTail& tail = end->tail;
  if (tail.verdict == TailVerdict::kClean) return absl::OkStatus();
  const bool torn = tail.verdict == TailVerdict::kTorn;
  const std::string what = torn ? absl::StrCat(tail.what, "; nothing shows that seq ", tail.facts.bad_seq,
                                               " was synced: the next primary keeps what is there aside, and goes on")
                                : std::string(MessageOf(tail.Error(layout)));
  if (options_.json) {
    JsonLine line;
    line.String("file", tail.path).Number("offset", tail.offset).String("kind", torn ? "torn tail" : "damaged end");
    output_.Line(line.Number("seq", tail.facts.bad_seq).String("what", what).Take());
  } else {
    output_.Line(absl::StrCat(torn ? "torn tail: " : "no torn tail: ", what));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> Verify(const CommandOptions& options, Output& output) {
  KB_ASSIGN_OR_RETURN(const std::vector<Part> parts, PartsOf(*options.file_system, options.path));
  Verifier verifier(options, output);
  const bool journal = parts.front().segment != 0;
  const JournalLayout layout(options.path);
  std::optional<SyncMark> mark;
  if (journal) {
    if (auto opened = SyncMark::OpenForReading(*options.file_system, layout.synced()); opened.ok()) {
      mark = *std::move(opened);
    }
  }
  const Seq synced = mark ? mark->synced() : 0;
  for (const Part& part : parts) KB_RETURN_IF_ERROR(verifier.Check(part));
  if (journal) KB_RETURN_IF_ERROR(verifier.CheckJournal(layout, mark, synced));
  return verifier.sound();
}

}  // namespace kekbit
