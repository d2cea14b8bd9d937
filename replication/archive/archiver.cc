#include "kekbit/replication/archive/archiver.h"

#include <algorithm>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "kekbit/base/check.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/start_thread.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/replication/archive/archive_index.h"
#include "kekbit/replication/archive/archived_snapshot.h"
#include "kekbit/replication/archive/merge_plan.h"
#include "kekbit/replication/archive/restore_pin.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/segment_sync.h"

namespace kekbit {
namespace {

// A step copies about so much; then the manifest is put.
constexpr uint64_t kStepBytes = 64 << 20;

// Merged objects stay so long for a restore that has just read an older manifest. It goes on with a
// newer one if they are gone.
constexpr int64_t kKeepMergedNs = 60'000'000'000;

// What retention drops stays so long, and longer while a restore runs.
constexpr int64_t kKeepDroppedNs = 3'600'000'000'000;

// So often it is looked what retention lets go, if no snapshot comes.
constexpr int64_t kRetainEveryNs = 600'000'000'000;

// A manifest stays so long after it was superseded, and a put that took half of that counts as
// failed. So no late put finds its number free again.
constexpr int64_t kKeepManifestsNs = 3'600'000'000'000;

// What is known of the newest manifest counts for so long.
constexpr int64_t kLookAgainNs = kKeepManifestsNs / 6;

// So often it is looked for old manifests, in manifests.
constexpr uint64_t kCleanEvery = 64;

absl::StatusOr<uint32_t> ChecksumOf(ObjectSource& source) {
  std::vector<uint8_t> buffer;
  constexpr size_t kStep = 1 << 20;
  KB_RETURN_IF_ERROR(ResizeBuffer(buffer, std::min<uint64_t>(kStep, source.bytes()), "a snapshot"));
  uint32_t crc = 0;
  for (uint64_t at = 0; at < source.bytes();) {
    const MutableBytes part = MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), source.bytes() - at));
    KB_RETURN_IF_ERROR(source.Read(at, part));
    crc = Crc32c(crc, part);
    at += part.size();
  }
  return crc;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Archiver>> Archiver::Open(FileSystem& fs, const JournalLayout& layout,
                                                         ObjectStore& store, ArchiverOptions options) {
  // A mistyped directory is not made.
  const absl::StatusOr<FileInfo> segments = fs.Info(layout.segments());
  if (absl::IsNotFound(segments.status())) {
    return absl::NotFoundError(absl::StrCat(layout.directory(), ": there is no journal"));
  }
  KB_RETURN_IF_ERROR(segments.status());
  if (store.location() == layout.directory() ||
      absl::StartsWith(store.location(), absl::StrCat(layout.directory(), "/"))) {
    return absl::InvalidArgumentError(
        absl::StrCat(store.location(), ": lies in the journal's own directory, and would be lost with it"));
  }
  KB_ASSIGN_OR_RETURN(ReaderCursor cursor, ReaderCursor::Register(fs, layout, options.reader));
  KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs, layout.synced()));
  KB_ASSIGN_OR_RETURN(const Incarnation incarnation, TakeIncarnation(fs, layout));
  return absl::WrapUnique(
      new Archiver(fs, layout, store, std::move(options), std::move(cursor), std::move(mark), incarnation));
}

Archiver::Archiver(FileSystem& fs, const JournalLayout& layout, ObjectStore& store, ArchiverOptions options,
                   ReaderCursor cursor, SyncMark mark, const Incarnation& incarnation)
    : fs_(fs),
      layout_(layout),
      store_(store),
      options_(std::move(options)),
      cursor_(std::move(cursor)),
      mark_(std::move(mark)),
      incarnation_(incarnation),
      copier_(NewIncarnationId()),
      snapshots_(fs, layout.snapshots()) {}

absl::StatusOr<ArchiveProgress> Archiver::Step() {
  absl::StatusOr<ArchiveProgress> progress = TryStep();
  // What was put is not known: look again.
  if (!progress.ok()) {
    putting_.reset();
    reader_.reset();
  }
  return progress;
}

absl::StatusOr<ArchiveProgress> Archiver::TryStep() {
  ArchiveProgress progress;
  const bool is_old = options_.clock->MonotonicNanos() - manifest_at_ns_ > kLookAgainNs;
  if (!reader_ || is_old) KB_RETURN_IF_ERROR(Begin());
  next_ = manifest_;
  KB_RETURN_IF_ERROR(CopyFrames(progress));
  if (next_.frames != manifest_.frames) KB_RETURN_IF_ERROR(PutNext(progress));
  if (!progress.more) {
    KB_RETURN_IF_ERROR(CopySnapshots(progress));
    KB_RETURN_IF_ERROR(Retain());
    if (next_ != manifest_) KB_RETURN_IF_ERROR(PutNext(progress));
  }
  progress.end = manifest_.end().position;
  progress.end_time_ns = manifest_.end().time_ns;
  progress.gap_before = std::exchange(gap_before_, std::nullopt);
  return progress;
}

absl::Status Archiver::Begin() {
  KB_ASSIGN_OR_RETURN(std::optional<Manifest> newest, NewestManifest(store_, incarnation_.id));
  manifest_ = newest ? *std::move(newest) : Manifest();
  manifest_.incarnation = incarnation_.id;
  manifest_.origin = incarnation_.origin;
  manifest_at_ns_ = options_.clock->MonotonicNanos();
  segment_ = 0;
  synced_ = 0;
  if (manifest_.frames.empty()) return BeginAnew();
  const ChainLink end = manifest_.end();
  absl::StatusOr<JournalReader> reader = ReadJournalAfter(fs_, layout_, {}, end);
  if (absl::IsOutOfRange(reader.status())) return BeginAnew();
  if (absl::IsDataLoss(reader.status())) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: does not follow what is archived in %s up to %s: %s; an archive of another journal, or an old copy of "
        "this one. To begin a new archive beside the old: remove %s",
        layout_.directory(), store_.location(), end.position.ToString(), reader.status().message(),
        IncarnationPath(layout_)));
  }
  KB_RETURN_IF_ERROR(reader.status());
  reader_ = *std::move(reader);
  if (cursor_.position() != end.position) return cursor_.Reset(end.position);
  return cursor_.status();
}

absl::Status Archiver::BeginAnew() {
  KB_ASSIGN_OR_RETURN(const Position before, BeforeFirstKept(fs_, layout_));
  KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(fs_, layout_, {}, before.seq + 1));
  KB_RETURN_IF_ERROR(cursor_.Reset(before));
  reader_ = std::move(reader);
  if (!manifest_.frames.empty()) gap_before_ = before.seq + 1;
  return absl::OkStatus();
}

absl::StatusOr<FramesContent> Archiver::ContentOf(SegmentNumber segment) const {
  KB_ASSIGN_OR_RETURN(const ChannelFile file, OpenChannelFile(fs_, layout_.segment(segment)));
  return FramesContent{.data_format = file.extension ? file.extension->data_format : 0,
                       .counts_unsynced = SegmentCountsUnsynced(file.extension),
                       .state_name = SegmentStateName(file.extension)};
}

absl::Status Archiver::CopyFrames(ArchiveProgress& progress) {
  std::optional<FramesBuilder> builder;
  const auto put = [&]() -> absl::Status {
    FramesBuilder full = *std::exchange(builder, std::nullopt);
    return PutFrames(std::move(full), progress);
  };
  uint64_t copied = 0;
  while (copied < kStepBytes) {
    const ChainLink before = reader_->last();
    const absl::Span<const Frame> frames = reader_->NextBatch();
    if (frames.empty()) break;
    if (reader_->segment() != segment_) {
      KB_ASSIGN_OR_RETURN(content_, ContentOf(reader_->segment()));
      segment_ = reader_->segment();
    }
    if (builder && (builder->content() != content_ || builder->raw_bytes() >= kFramesBytesMax)) {
      KB_RETURN_IF_ERROR(put());
    }
    if (!builder) builder.emplace(incarnation_.id, content_, before);
    const uint64_t size = builder->raw_bytes();
    KB_RETURN_IF_ERROR(builder->AppendRun(frames));
    copied += builder->raw_bytes() - size;
  }
  progress.more = copied >= kStepBytes;
  if (builder) KB_RETURN_IF_ERROR(put());
  KB_RETURN_IF_ERROR(AwaitPut(progress));
  if (IsTransient(reader_->status())) return absl::OkStatus();
  return reader_->status();
}

absl::Status Archiver::EnsureSynced(Seq seq) {
  const Seq synced = std::max(mark_.synced(), synced_);
  if (mark_.poisoned() == 0 && synced < seq) {
    KB_ASSIGN_OR_RETURN(std::vector<UnsyncedSegment> segments, FindUnsynced(fs_, layout_, synced));
    KB_RETURN_IF_ERROR(SegmentSync(fs_, layout_, mark_).Sync(absl::MakeSpan(segments), SegmentSync::kWhole));
    synced_ = seq;
  }
  if (mark_.poisoned() == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(layout_.segment(mark_.poisoned()), ": a sync of this segment failed; what it holds is not known"));
}

absl::Status Archiver::PutFrames(FramesBuilder builder, ArchiveProgress& progress) {
  KB_RETURN_IF_ERROR(AwaitPut(progress));
  KB_RETURN_IF_ERROR(EnsureSynced(builder.last().position.seq));
  progress.frames += builder.last().position.seq - builder.after().position.seq;
  if (options_.own_threads && builder.raw_bytes() >= kFramesBytesMax) {
    putting_ = std::make_unique<Putting>();
    Putting* const putting = putting_.get();
    putting->builder.emplace(std::move(builder));
    KB_ASSIGN_OR_RETURN(putting->thread, StartThread([this, putting] {
                          putting->entry = PutObject(*std::exchange(putting->builder, std::nullopt));
                        }));
    return absl::OkStatus();
  }
  KB_ASSIGN_OR_RETURN(FramesObject object, std::move(builder).Finish(options_.compressed));
  if (const size_t count = EntriesToMerge(next_.frames, object.entry); count != 0) {
    KB_RETURN_IF_ERROR(Merge(count, object));
  }
  KB_RETURN_IF_ERROR(store_.Put(object.entry.Name(incarnation_.id), object.bytes));
  Note(object.entry, progress);
  return absl::OkStatus();
}

absl::StatusOr<FramesEntry> Archiver::PutObject(FramesBuilder builder) {
  KB_ASSIGN_OR_RETURN(const FramesObject object, std::move(builder).Finish(options_.compressed));
  KB_RETURN_IF_ERROR(store_.Put(object.entry.Name(incarnation_.id), object.bytes));
  return object.entry;
}

absl::Status Archiver::AwaitPut(ArchiveProgress& progress) {
  if (putting_ == nullptr) return absl::OkStatus();
  putting_->thread.join();
  const std::unique_ptr<Putting> put = std::move(putting_);
  KB_RETURN_IF_ERROR(put->entry.status());
  Note(*put->entry, progress);
  return absl::OkStatus();
}

void Archiver::Note(const FramesEntry& entry, ArchiveProgress& progress) {
  // P16: in order, or after a gap.
  KB_CHECK(next_.frames.empty() || entry.after_seq >= next_.frames.back().last_seq);
  progress.bytes += entry.bytes;
  next_.frames.push_back(entry);
}

absl::Status Archiver::Merge(size_t count, FramesObject& object) {
  const absl::Span<const FramesEntry> entries = absl::MakeConstSpan(next_.frames).last(count);
  std::optional<FramesBuilder> builder;
  const auto add = [&](FramesReader reader) -> absl::Status {
    if (!builder) builder.emplace(incarnation_.id, reader.content(), entries.front().after());
    while (true) {
      KB_ASSIGN_OR_RETURN(const std::optional<Bytes> record, reader.Next());
      if (!record) return absl::OkStatus();
      KB_RETURN_IF_ERROR(builder->Append(
          {.header = LoadUnaligned<FrameHeader>(record->data()), .payload = record->subspan(kFrameHeaderBytes)}));
    }
  };
  for (const FramesEntry& entry : entries) {
    absl::StatusOr<FramesReader> reader = FramesReader::Get(store_, incarnation_.id, entry);
    // What can't be read back is a finding of verify; it is no reason to stop copying.
    if (!reader.ok() || !add(*std::move(reader)).ok()) return absl::OkStatus();
  }
  KB_ASSIGN_OR_RETURN(FramesReader last, FramesReader::Open(object.entry.Name(incarnation_.id), object.bytes));
  KB_RETURN_IF_ERROR(add(std::move(last)));
  KB_ASSIGN_OR_RETURN(object, (*std::move(builder)).Finish(options_.compressed));
  const int64_t delete_ns = options_.clock->RealtimeNanos() + kKeepMergedNs;
  for (const FramesEntry& entry : entries) {
    next_.dropped.push_back({.delete_ns = delete_ns, .merged = true, .name = entry.Name(incarnation_.id)});
  }
  next_.frames.resize(next_.frames.size() - count);
  return absl::OkStatus();
}

absl::Status Archiver::CopySnapshots(ArchiveProgress& progress) {
  KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, snapshots_.List());
  const Seq newest = next_.snapshots.empty() ? 0 : next_.snapshots.back().seq;
  const Seq end = next_.end().position.seq;
  for (size_t i = seqs.size(); i-- > 0;) {
    if (seqs[i] <= newest && !next_.snapshots.empty()) break;
    if (seqs[i] > end) continue;  // its frames are not archived yet
    const absl::StatusOr<SnapshotHeader> header = snapshots_.Check(seqs[i]);
    // A damaged one is for the replicas to say; one that is gone was replaced.
    if (absl::IsDataLoss(header.status()) || absl::IsNotFound(header.status())) continue;
    KB_RETURN_IF_ERROR(header.status());
    // One of another history is no snapshot of this journal.
    const absl::StatusOr<JournalReader> after = ReadJournalAfter(fs_, layout_, {}, header->last);
    if (absl::IsDataLoss(after.status()) || absl::IsOutOfRange(after.status())) continue;
    KB_RETURN_IF_ERROR(after.status());
    return PutSnapshot(*header, progress);
  }
  return absl::OkStatus();
}

absl::Status Archiver::PutSnapshot(const SnapshotHeader& header, ArchiveProgress& progress) {
  const Seq seq = header.last.position.seq;
  const absl::StatusOr<std::unique_ptr<File>> file = fs_.Open(snapshots_.PathOf(seq), Access::kRead);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();  // replaced meanwhile
  KB_RETURN_IF_ERROR(file.status());
  KB_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Info());
  FileSource source(**file, info.size);
  KB_ASSIGN_OR_RETURN(const uint32_t crc32c, ChecksumOf(source));
  const SnapshotEntry entry = {.epoch = header.last.position.epoch,
                               .seq = seq,
                               .time_ns = header.last.time_ns,
                               .bytes = info.size,
                               .frame_crc32c = header.last.crc32c,
                               .crc32c = crc32c,
                               .archived_ns = options_.clock->RealtimeNanos()};
  KB_RETURN_IF_ERROR(store_.Put(entry.Name(incarnation_.id), source));
  progress.bytes += info.size;
  next_.snapshots.push_back(entry);
  return absl::OkStatus();
}

absl::Status Archiver::PutNext(ArchiveProgress& progress) {
  next_.number = manifest_.number + 1;
  next_.copier = copier_;
  next_.written_ns = options_.clock->RealtimeNanos();
  DeleteDropped();
  const absl::StatusOr<uint64_t> put = PutManifest(store_, next_);
  if (absl::IsAborted(put.status())) return absl::UnavailableError(put.status().message());
  KB_RETURN_IF_ERROR(put.status());
  const int64_t now_ns = options_.clock->MonotonicNanos();
  if (now_ns - manifest_at_ns_ > kKeepManifestsNs / 2) {
    return absl::UnavailableError(absl::StrCat(store_.location(), ": putting a manifest took too long; looking again"));
  }
  manifest_ = next_;
  manifest_at_ns_ = now_ns;
  progress.bytes += *put;
  if (manifest_.number % kCleanEvery == 0) {
    DeleteOldManifests(store_, manifest_, next_.written_ns, kKeepManifestsNs).IgnoreError();
  }
  // The journal may be trimmed up to here.
  if (manifest_.end().position == cursor_.position() || manifest_.frames.empty()) return absl::OkStatus();
  const absl::Status advanced = cursor_.Advance(manifest_.end().position);
  // The place is lost: the frames are archived all the same, the reader says what is missing.
  return absl::IsOutOfRange(advanced) ? absl::OkStatus() : advanced;
}

absl::Status Archiver::Retain() {
  const int64_t now_ns = options_.clock->MonotonicNanos();
  const bool is_time =
      next_.snapshots != manifest_.snapshots || retained_ns_ == 0 || now_ns - retained_ns_ > kRetainEveryNs;
  if (!options_.retention.is_set() || !is_time) return absl::OkStatus();
  retained_ns_ = now_ns;
  const int64_t wall_ns = options_.clock->RealtimeNanos();
  const ArchiveRetentionPlan plan = PlanArchiveRetention(next_, options_.retention, wall_ns);
  if (plan.nothing()) return absl::OkStatus();
  KB_ASSIGN_OR_RETURN(const bool pinned, RestorePin::AnyLives(store_, wall_ns));
  if (pinned) return absl::OkStatus();
  // What all later moments will rest on.
  KB_RETURN_IF_ERROR(CheckArchivedSnapshot(store_, incarnation_.id, next_.snapshots[plan.snapshots]));
  const auto drop = [&](auto& entries, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      next_.dropped.push_back(
          {.delete_ns = wall_ns + kKeepDroppedNs, .merged = false, .name = entries[i].Name(incarnation_.id)});
    }
    entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(count));
  };
  drop(next_.snapshots, plan.snapshots);
  drop(next_.frames, plan.frames);
  return absl::OkStatus();
}

void Archiver::DeleteDropped() {
  std::vector<DroppedEntry> left;
  std::optional<bool> pinned;  // asked for once, if at all
  for (DroppedEntry& entry : next_.dropped) {
    bool keep = entry.delete_ns > next_.written_ns;
    if (!keep && !entry.merged) {
      if (!pinned) pinned = RestorePin::AnyLives(store_, next_.written_ns).value_or(true);
      keep = *pinned;
    }
    if (keep || !store_.Delete(entry.name).ok()) left.push_back(std::move(entry));
  }
  next_.dropped = std::move(left);
}

}  // namespace kekbit
