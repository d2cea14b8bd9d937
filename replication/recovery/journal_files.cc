#include "kekbit/replication/recovery/journal_files.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/recovery/repair_hint.h"
#include "kekbit/replication/recovery/without_files.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/wake_event.h"

namespace kekbit {
namespace {

// DataLoss if something else than a file stands there, say a directory.
absl::Status CheckIsFile(FileSystem& fs, const std::string& path) {
  const absl::Status opened = fs.Open(path, Access::kRead).status();
  return absl::IsFailedPrecondition(opened) ? absl::DataLossError(opened.message()) : absl::OkStatus();
}

// DataLoss if there is something that is no directory.
absl::Status CheckIsDirectory(FileSystem& fs, const std::string& path) {
  const absl::Status listed = fs.List(path).status();
  return absl::IsFailedPrecondition(listed) ? absl::DataLossError(listed.message()) : absl::OkStatus();
}

// A lease says who has it, or nothing.
absl::Status CheckLease(FileSystem& fs, const std::string& path) {
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(path, Access::kRead);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  KB_RETURN_IF_ERROR(file.status());
  uint8_t bytes[64];
  KB_ASSIGN_OR_RETURN(const size_t size, (*file)->ReadAt(0, MutableBytes(bytes)));
  if (std::all_of(bytes, bytes + size, [](uint8_t byte) { return byte == 0; })) return absl::OkStatus();
  if (Lease::Holder(fs, path)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, ": names nobody, its checksum does not hold"));
}

// Words that no writer has stored.
absl::Status CheckMark(const SyncMark& mark, const std::string& path) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  if (mark.synced() != kMax && mark.poisoned() != kMax) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, ": says that everything up to seq ", mark.synced(),
                                          " was synced, and of segment ", mark.poisoned(), " a sync failed"));
}

class SmallFiles {
 public:
  SmallFiles(FileSystem& fs, const JournalLayout& layout) : fs_(fs), view_(fs), layout_(layout) {}

  absl::StatusOr<std::vector<BadFile>> Check() {
    CheckDirectories();
    for (const BadFile& bad : bad_) view_.Hide(bad.path);
    Take(layout_.epoch(), EpochStore::Read(fs_, layout_.epoch()).status(),
         "no replica opens the journal, or none can lead; without the file, epochs go on above those of the frames");
    const absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs_, layout_.synced());
    Take(layout_.synced(), mark.ok() ? CheckMark(*mark, layout_.synced()) : mark.status(),
         "no replica opens the journal, or all take its end for damaged; without the file, less is known of what was "
         "synced");
    Take(layout_.wake(), WakeEvent::Check(fs_, layout_.wake()),
         "no replica opens the journal; the file holds nothing that is needed");
    for (const std::string& path : {layout_.lease(), LeaseNext(layout_)}) {
      Take(path, CheckIsFile(fs_, path), "no replica becomes primary; the file is made anew");
    }
    if (LeaseCanBeTaken(fs_, layout_)) {
      Take(layout_.lease(), CheckLease(fs_, layout_.lease()),
           "its lock works all the same, and the next holder writes its name anew", kStays, kNote);
    }
    KB_RETURN_IF_ERROR(CheckCursors());
    return std::move(bad_);
  }

 private:
  static constexpr bool kMoves = true;
  static constexpr bool kStays = false;
  static constexpr bool kDamage = true;
  static constexpr bool kNote = false;

  absl::Status CheckCursors() {
    KB_ASSIGN_OR_RETURN(const std::vector<CursorView> cursors, ListCursors(view_, layout_));
    for (const CursorView& cursor : cursors) {
      const std::string path = JoinPath(layout_.readers(), cursor.name);
      const std::string remove =
          CheckIsFile(fs_, path).ok()
              ? absl::StrCat(", as after: kekbit cursors ", layout_.directory(), " --remove ", cursor.name)
              : "";
      Take(path, cursor.status,
           absl::StrCat("the reader can't go on, and nothing is cut for its sake; without the file it starts over",
                        remove),
           cursor.owned ? kStays : kMoves);
    }
    return absl::OkStatus();
  }

  // DIR/segments, and what is named as one of the directories in it.
  std::vector<std::string> SegmentDirectories() {
    std::vector<std::string> paths = {layout_.segments()};
    const absl::StatusOr<std::vector<std::string>> names = fs_.List(layout_.segments());
    if (!names.ok()) return paths;
    for (const std::string& name : *names) {
      std::string path = JoinPath(layout_.segments(), name);
      const bool alike = path.size() == DirectoryOf(layout_.segment(1)).size() && name[name.size() / 2] == '_';
      if (alike) paths.push_back(std::move(path));
    }
    return paths;
  }

  void CheckDirectories() {
    for (const std::string& path : SegmentDirectories()) {
      Take(path, CheckIsDirectory(fs_, path), "the segments are gone, and no primary can make one");
    }
    Take(layout_.snapshots(), CheckIsDirectory(fs_, layout_.snapshots()),
         "the snapshots are gone, and none can be taken");
    Take(layout_.readers(), CheckIsDirectory(fs_, layout_.readers()),
         "the cursors are gone, and no reader can register");
    Take(layout_.replicas(), CheckIsDirectory(fs_, layout_.replicas()), "no replica can be seen from outside");
    Take(layout_.aside(), CheckIsDirectory(fs_, layout_.aside()),
         "so nothing can be kept there, by recovery or repair: move it away by hand", kStays);
  }

  void Take(const std::string& path, const absl::Status& status, absl::string_view means, bool moves = kMoves,
            bool damage = kDamage) {
    // An event of another kind is told by this code alone.
    const bool bad = absl::IsDataLoss(status) || (path == layout_.wake() && absl::IsFailedPrecondition(status)) ||
                     (absl::IsFailedPrecondition(status) && !CheckIsFile(fs_, path).ok());
    if (!bad) return;
    const std::string stopping[] = {layout_.epoch(), layout_.synced(), layout_.wake(), layout_.lease(),
                                    LeaseNext(layout_)};
    const bool stops = moves && (std::find(std::begin(stopping), std::end(stopping), path) != std::end(stopping) ||
                                 absl::StartsWith(path, layout_.segments()));
    bad_.push_back({.path = path,
                    .reason = absl::StrCat(status.message(), "; ", means),
                    .damage = damage,
                    .moves = moves,
                    .stops = stops});
  }

  FileSystem& fs_;
  WithoutFiles view_;  // without what stands in the place of a directory
  const JournalLayout& layout_;
  std::vector<BadFile> bad_;
};

}  // namespace

absl::StatusOr<std::vector<BadFile>> CheckSmallFiles(FileSystem& fs, const JournalLayout& layout) {
  return SmallFiles(fs, layout).Check();
}

namespace {

bool IsSegmentOfWrongKind(FileSystem& fs, const JournalLayout& layout) {
  const absl::StatusOr<std::vector<SegmentNumber>> segments = layout.ListSegments(fs);
  return segments.ok() && std::any_of(segments->begin(), segments->end(), [&](SegmentNumber number) {
           return !CheckIsFile(fs, layout.segment(number)).ok();
         });
}

}  // namespace

absl::Status WithRepairHint(FileSystem& fs, const JournalLayout& layout, const absl::Status& error) {
  if (error.ok() || absl::StrContains(error.message(), "kekbit repair ")) return error;
  bool damage = absl::IsDataLoss(error) || absl::IsOutOfRange(error);
  // These have other reasons as well: a version, a service, a file system.
  if (absl::IsFailedPrecondition(error) || absl::IsAlreadyExists(error) || absl::IsNotFound(error)) {
    const absl::StatusOr<std::vector<BadFile>> bad = CheckSmallFiles(fs, layout);
    damage = bad.ok() && std::any_of(bad->begin(), bad->end(), [](const BadFile& file) { return file.damage; });
    damage = damage || IsSegmentOfWrongKind(fs, layout);
  }
  return damage ? absl::Status(error.code(), absl::StrCat(error.message(), RepairHint(layout))) : error;
}

bool HoldsJournal(FileSystem& fs, const JournalLayout& layout) {
  const absl::StatusOr<std::vector<SegmentNumber>> segments = layout.ListSegments(fs);
  if (segments.ok() && !segments->empty()) return true;
  const std::string paths[] = {layout.epoch(), layout.synced(), layout.snapshots()};
  return std::any_of(std::begin(paths), std::end(paths), [&fs](const std::string& path) { return fs.Info(path).ok(); });
}

std::string LeaseNext(const JournalLayout& layout) { return absl::StrCat(layout.lease(), ".next"); }

bool LeaseCanBeTaken(FileSystem& fs, const JournalLayout& layout) {
  return CheckIsFile(fs, layout.lease()).ok() && CheckIsFile(fs, LeaseNext(layout)).ok();
}

bool AsideCanBeUsed(FileSystem& fs, const JournalLayout& layout) { return CheckIsDirectory(fs, layout.aside()).ok(); }

absl::StatusOr<bool> LeaseHeld(FileSystem& fs, const JournalLayout& layout) {
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(layout.lease(), Access::kRead);
  if (absl::IsNotFound(file.status()) || !CheckIsFile(fs, layout.lease()).ok()) return false;
  KB_RETURN_IF_ERROR(file.status());
  return (*file)->LockedByOther();
}

}  // namespace kekbit
