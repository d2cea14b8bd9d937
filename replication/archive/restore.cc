#include "kekbit/replication/archive/restore.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/archive_index.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/restore_pin.h"
#include "kekbit/replication/archive/restored_segments.h"
#include "kekbit/replication/journal/directories_above.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/snapshot/snapshot_scan.h"

namespace kekbit {
namespace {

constexpr size_t kCopyBytes = 1 << 20;
constexpr absl::Duration kRenewEvery = absl::Minutes(5);
constexpr char kLockName[] = "restoring";

// Removes the files of an earlier restore that ended on its way. Directories stay.
absl::Status RemoveFiles(FileSystem& fs, const std::string& directory) {
  const absl::StatusOr<std::vector<std::string>> names = fs.List(directory);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  KB_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (name == kLockName) continue;
    const absl::Status unlinked = fs.Unlink(JoinPath(directory, name));
    if (!absl::IsNotFound(unlinked)) KB_RETURN_IF_ERROR(unlinked);
  }
  return absl::OkStatus();
}

std::string WithoutSlashes(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path);
}

class Restorer {
 public:
  Restorer(ObjectStore& store, FileSystem& fs, const std::string& directory, const RestoreOptions& options)
      : store_(store),
        fs_(fs),
        directory_(WithoutSlashes(directory)),
        layout_(absl::StrCat(directory_, ".restoring")),
        options_(options) {}

  absl::StatusOr<RestoreReport> Run() {
    KB_RETURN_IF_ERROR(CheckDirectory());
    // Where there is no archive, nothing is put.
    KB_RETURN_IF_ERROR(FindManifest(store_, options_.incarnation).status());
    // Before the manifest is read: what it names stays from here on.
    if (absl::StatusOr<RestorePin> pin = RestorePin::Put(store_); pin.ok()) pin_.emplace(*std::move(pin));
    KB_ASSIGN_OR_RETURN(manifest_, FindManifest(store_, options_.incarnation));
    KB_ASSIGN_OR_RETURN(plan_, PlanRestore(store_.location(), manifest_, options_.target));
    KB_RETURN_IF_ERROR(TakePlace());
    if (plan_.snapshot) KB_RETURN_IF_ERROR(RestoreSnapshot(*plan_.snapshot));
    KB_RETURN_IF_ERROR(RestoreFrames());
    KB_RETURN_IF_ERROR(WriteSmallFiles());
    KB_RETURN_IF_ERROR(Appear());
    return report_;
  }

 private:
  absl::Status CheckDirectory() {
    const absl::string_view name = absl::string_view(directory_).substr(directory_.rfind('/') + 1);
    if (name.empty() || name == "." || name == "..") {
      return absl::InvalidArgumentError(absl::StrCat("\"", directory_, "\" names no directory that can be made"));
    }
    const absl::StatusOr<std::vector<std::string>> names = fs_.List(directory_);
    if (absl::IsNotFound(names.status())) return absl::OkStatus();
    KB_RETURN_IF_ERROR(names.status());
    existed_ = true;
    if (names->empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(directory_, ": is not empty; a journal is restored into a directory of its own"));
  }

  // Sees that a directory can take the place.
  absl::Status TryPlace() {
    absl::Status there = fs_.Rename(layout_.directory(), directory_);
    if (IsTransient(there)) return there;
    if (!there.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(there.message(), ": is ", directory_,
                       " a link, or where something is mounted? Restore into a directory that does not exist yet"));
    }
    KB_RETURN_IF_ERROR(fs_.Rename(directory_, layout_.directory()));
    return existed_ ? fs_.CreateDirectories(directory_) : absl::OkStatus();
  }

  // Makes the place where all is prepared this restore's own, and empty.
  absl::Status TakePlace() {
    KB_RETURN_IF_ERROR(fs_.CreateDirectories(layout_.directory()));
    // Only while nothing is in it: a crash then leaves an empty directory.
    KB_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(layout_.directory()));
    if (names.empty()) KB_RETURN_IF_ERROR(TryPlace());
    const std::string path = JoinPath(layout_.directory(), kLockName);
    KB_ASSIGN_OR_RETURN(lock_, fs_.OpenOrCreate(path));
    KB_RETURN_IF_ERROR(lock_->CheckSupported());
    KB_ASSIGN_OR_RETURN(const bool locked, lock_->TryLock());
    if (!locked) return absl::FailedPreconditionError(absl::StrCat(path, ": somebody restores into this directory"));
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs_));
    for (const SegmentNumber number : segments) KB_RETURN_IF_ERROR(fs_.Unlink(layout_.segment(number)));
    KB_RETURN_IF_ERROR(RemoveFiles(fs_, layout_.snapshots()));
    for (const std::string& file : {layout_.epoch(), layout_.synced(), IncarnationPath(layout_)}) {
      const absl::Status unlinked = fs_.Unlink(file);
      if (!absl::IsNotFound(unlinked)) KB_RETURN_IF_ERROR(unlinked);
    }
    return absl::OkStatus();
  }

  // The error of an object that is missing or damaged, with what can be restored without it.
  absl::Status Unusable(const std::string& name, const absl::Status& why) const {
    if (!absl::IsNotFound(why) && !absl::IsDataLoss(why)) return why;
    Manifest without = manifest_;
    const auto is_it = [&](const auto& entry) { return entry.Name(manifest_.incarnation) == name; };
    without.frames.erase(std::remove_if(without.frames.begin(), without.frames.end(), is_it), without.frames.end());
    without.snapshots.erase(std::remove_if(without.snapshots.begin(), without.snapshots.end(), is_it),
                            without.snapshots.end());
    const std::string object = absl::StrCat(store_.location(), "/", name);
    return absl::DataLossError(absl::StrCat(
        absl::IsNotFound(why) ? absl::StrCat(object, ": the object is missing") : std::string(why.message()),
        "; what can be restored without it: ", RangesText(RestorableRanges(without))));
  }

  absl::Status RestoreSnapshot(const SnapshotEntry& entry) {
    const std::string name = entry.Name(manifest_.incarnation);
    const std::string path = JoinPath(layout_.snapshots(), SnapshotName(entry.seq));
    KB_RETURN_IF_ERROR(fs_.CreateDirectories(layout_.snapshots()));
    KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.CreateUnnamed(layout_.snapshots(), path));
    std::vector<uint8_t> buffer;
    KB_RETURN_IF_ERROR(ResizeBuffer(buffer, kCopyBytes, name));
    uint32_t crc = 0;
    for (uint64_t at = 0; at < entry.bytes;) {
      const MutableBytes part = MutableBytes(buffer).first(std::min<uint64_t>(kCopyBytes, entry.bytes - at));
      const absl::StatusOr<size_t> read = store_.Get(name, at, part);
      if (!read.ok()) return Unusable(name, read.status());
      if (*read == 0) break;
      KB_RETURN_IF_ERROR(file->WriteAt(at, part.first(*read)));
      crc = Crc32c(crc, part.first(*read));
      at += *read;
      progress_.bytes += *read;
      RenewPin();
    }
    if (crc != entry.crc32c) {
      return Unusable(name, absl::DataLossError(absl::StrFormat("%s/%s: has the checksum %08x, not %08x",
                                                                store_.location(), name, crc, entry.crc32c)));
    }
    if (const absl::StatusOr<SnapshotHeader> header = VerifySnapshot(*file); !header.ok()) {
      return Unusable(name, header.status());
    }
    KB_RETURN_IF_ERROR(file->Sync());
    KB_RETURN_IF_ERROR(file->LinkTo(path));
    report_.snapshot = entry.seq;
    return fs_.SyncDirectory(layout_.snapshots());
  }

  void RenewPin() {
    if (absl::Now() - pinned_at_ < kRenewEvery || !pin_) return;
    pinned_at_ = absl::Now();
    pin_->Renew().IgnoreError();
  }

  absl::Status RestoreFrames() {
    const FramesEntry* entry = EntryWith(manifest_, plan_.first);
    RestoredSegments segments(fs_, layout_, entry->after(), options_.segment_bytes);
    for (const FramesEntry& each : manifest_.frames) {
      if (each.last_seq >= plan_.first && each.after_seq < plan_.last) progress_.of += each.bytes;
    }
    if (plan_.snapshot) progress_.of += plan_.snapshot->bytes;
    bool later = false;  // a frame is after the wanted time
    while (segments.last().position.seq < plan_.last && !later) {
      entry = EntryWith(manifest_, segments.last().position.seq + 1);
      if (entry == nullptr) {
        return absl::DataLossError(absl::StrCat(store_.location(), ": the frames after seq ",
                                                segments.last().position.seq, " were deleted during the restore"));
      }
      absl::StatusOr<FramesReader> reader = FramesReader::Get(store_, manifest_.incarnation, *entry);
      if (absl::IsNotFound(reader.status())) {
        // Perhaps it was merged into another one meanwhile.
        KB_ASSIGN_OR_RETURN(Manifest newer, FindManifest(store_, manifest_.incarnation));
        if (newer.number > manifest_.number) {
          manifest_ = std::move(newer);
          continue;
        }
      }
      const std::string name = entry->Name(manifest_.incarnation);
      if (!reader.ok()) return Unusable(name, reader.status());
      progress_.bytes += entry->bytes;
      absl::Status copied = CopyFrames(*reader, segments, later);
      if (copied.ok()) copied = segments.Flush();
      if (!copied.ok()) return Unusable(name, copied);
      progress_.seq = segments.last().position.seq;
      RenewPin();
      if (options_.on_progress) options_.on_progress(progress_);
    }
    KB_RETURN_IF_ERROR(segments.Finish());
    report_.last = segments.last().position;
    report_.last_time_ns = segments.last().time_ns;
    report_.frames = report_.last.seq - std::max(report_.snapshot, plan_.first - 1);
    return absl::OkStatus();
  }

  // Copies the frames that are wanted and not there yet.
  absl::Status CopyFrames(FramesReader& reader, RestoredSegments& segments, bool& later) {
    while (!later && segments.last().position.seq < plan_.last) {
      KB_ASSIGN_OR_RETURN(const std::optional<Bytes> record, reader.Next());
      if (!record) return absl::OkStatus();
      const ChainLink& link = reader.last();
      if (link.position.seq <= segments.last().position.seq) {
        if (link.position.seq < segments.last().position.seq || link.crc32c == segments.last().crc32c) continue;
        return absl::DataLossError(absl::StrCat("seq ", link.position.seq, " is of another history"));
      }
      const auto header = LoadUnaligned<FrameHeader>(record->data());
      later = options_.target.time_ns && header.time_ns > *options_.target.time_ns;
      if (!later) KB_RETURN_IF_ERROR(segments.Append(*record, link, reader.content()));
    }
    return absl::OkStatus();
  }

  absl::Status WriteSmallFiles() {
    const Epoch newest = manifest_.frames.empty() ? 0 : manifest_.end().position.epoch;
    KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(fs_, layout_.epoch()));
    KB_RETURN_IF_ERROR(epochs.Grant(newest).status());
    {
      KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs_, layout_.synced()));
      mark.Advance(report_.last.seq);
    }
    report_.from_incarnation = manifest_.incarnation;
    report_.incarnation = NewIncarnationId();
    return WriteIncarnation(
        fs_, layout_,
        {.id = report_.incarnation,
         .origin = {.incarnation = manifest_.incarnation, .epoch = report_.last.epoch, .seq = report_.last.seq}});
  }

  // Gives the journal its name, once all in it is on stable storage.
  absl::Status Appear() {
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> numbers, layout_.ListSegments(fs_));
    std::string synced;
    for (const SegmentNumber number : numbers) {
      std::string directory = DirectoryOf(layout_.segment(number));
      if (directory != synced) KB_RETURN_IF_ERROR(fs_.SyncDirectory(directory));
      synced = std::move(directory);
    }
    KB_RETURN_IF_ERROR(fs_.SyncDirectory(layout_.segments()));
    KB_RETURN_IF_ERROR(fs_.Unlink(JoinPath(layout_.directory(), kLockName)));
    KB_RETURN_IF_ERROR(fs_.SyncDirectory(layout_.directory()));
    KB_RETURN_IF_ERROR(fs_.Rename(layout_.directory(), directory_));
    return SyncDirectoriesAbove(fs_, directory_);
  }

  ObjectStore& store_;
  FileSystem& fs_;
  const std::string directory_;
  const JournalLayout layout_;
  const RestoreOptions& options_;
  Manifest manifest_;
  RestorePlan plan_;
  std::unique_ptr<File> lock_;
  std::optional<RestorePin> pin_;  // nullopt: nothing may be put there
  absl::Time pinned_at_ = absl::Now();
  bool existed_ = false;  // the directory, empty
  RestoreProgress progress_;
  RestoreReport report_;
};

}  // namespace

absl::StatusOr<Manifest> FindManifest(ObjectStore& store, std::optional<uint64_t> incarnation) {
  if (!incarnation) {
    KB_ASSIGN_OR_RETURN(const std::vector<uint64_t> incarnations, ListIncarnations(store));
    if (!incarnations.empty()) incarnation = incarnations.back();
  }
  if (incarnation) {
    KB_ASSIGN_OR_RETURN(std::optional<Manifest> manifest, NewestManifest(store, *incarnation));
    if (manifest) return *std::move(manifest);
  }
  return absl::NotFoundError(
      absl::StrCat(store.location(), ": there is no archive",
                   incarnation ? absl::StrFormat(" of the incarnation %016x", *incarnation) : ""));
}

absl::StatusOr<RestoreReport> Restore(ObjectStore& store, FileSystem& fs, const std::string& directory,
                                      const RestoreOptions& options) {
  return Restorer(store, fs, directory, options).Run();
}

}  // namespace kekbit
