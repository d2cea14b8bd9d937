#include "kekbit/replication/retention/reader_cursor.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/file_lock.h"
#include "kekbit/base/lock_holder.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/directories_above.h"
#include "kekbit/replication/journal/kept_segments.h"

namespace kekbit {
namespace {

constexpr uint64_t kMagic = 0x3153'5255'4342'4B4B;  // "KKBCURS1" as bytes
constexpr uint32_t kVersion = 1;

// How often a file is opened anew that was removed, or replaced, while it was being opened.
constexpr int kAttempts = 4;
// How often a file is read whose owner writes it meanwhile. It can't fill both slots between two bytes for long.
constexpr int kReads = 100;

struct RawSlot {
  uint64_t turn = 0;   // 1, 2, 3, ...: the slot with the greater one counts
  uint64_t epoch = 0;  // of the last frame that the reader is done with; 0: not known
  uint64_t seq = 0;    // of that frame
  uint64_t check = 0;  // CRC-32C of the 24 bytes before
};
struct RawCursor {
  uint64_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t reserved = 0;
  uint64_t first_kept = 0;  // what is before was cut though this reader wanted it; others store this
  uint64_t zeros[5] = {};
  RawSlot slots[2];
};
static_assert(std::is_trivially_copyable_v<RawSlot> && sizeof(RawSlot) == 32);
static_assert(std::is_trivially_copyable_v<RawCursor> && sizeof(RawCursor) == 128);
static_assert(offsetof(RawCursor, version) == 8 && offsetof(RawCursor, first_kept) == 16);
static_assert(offsetof(RawCursor, slots) == 64 && offsetof(RawSlot, check) == 24);

uint64_t Check(const RawSlot& slot) {
  return Crc32c(0, Bytes(reinterpret_cast<const uint8_t*>(&slot), offsetof(RawSlot, check)));
}

// Odd turns have the first slot.
size_t SlotOf(uint64_t turn) { return (turn + 1) % 2; }

// The greatest numbers are no turn and no seq: what comes after them must be representable.
bool IsWhole(const RawSlot& slot, size_t index) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  return slot.check == Check(slot) && slot.turn != 0 && slot.turn < kMax && slot.seq < kMax &&
         index == SlotOf(slot.turn);
}

const RawSlot* NewestWhole(const RawCursor& raw) {
  const RawSlot* newest = nullptr;
  for (size_t i = 0; i < 2; ++i) {
    const RawSlot& slot = raw.slots[i];
    if (IsWhole(slot, i) && (newest == nullptr || slot.turn > newest->turn)) newest = &slot;
  }
  return newest;
}

absl::Status CheckName(absl::string_view name) {
  const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '/'; };
  if (!name.empty() && name.size() <= kReaderNameBytesMax && name[0] != '.' &&
      std::none_of(name.begin(), name.end(), bad)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a reader's name has 1 to ", kReaderNameBytesMax,
                   " visible ASCII characters, no slash, and no dot at its beginning; this one has ", name.size()));
}

std::string CursorPath(const JournalLayout& layout, absl::string_view name) { return JoinPath(layout.readers(), name); }

// The whole file, with a slot that holds.
absl::StatusOr<RawCursor> Read(File& file) {
  RawCursor raw;
  for (int i = 0; i < kReads; ++i) {
    KB_ASSIGN_OR_RETURN(const size_t size, file.ReadAt(0, MutableBytes(reinterpret_cast<uint8_t*>(&raw), sizeof raw)));
    if (size != sizeof raw) {
      return absl::DataLossError(absl::StrCat(file.path(), ": has ", size, " bytes, not ", sizeof raw));
    }
    if (raw.magic != kMagic) {
      return absl::DataLossError(
          absl::StrFormat("%s: begins with 0x%016x, not 0x%016x: no reader's cursor", file.path(), raw.magic, kMagic));
    }
    if (raw.version != kVersion) {
      return absl::FailedPreconditionError(
          absl::StrCat(file.path(), ": a reader's cursor of version ", raw.version, ", this code reads ", kVersion));
    }
    if (NewestWhole(raw) != nullptr) return raw;
  }
  return absl::DataLossError(absl::StrFormat(
      "%s: neither slot holds: checksums 0x%08x and 0x%08x, their bytes have 0x%08x and 0x%08x; remove the cursor, and "
      "start over",
      file.path(), raw.slots[0].check, raw.slots[1].check, Check(raw.slots[0]), Check(raw.slots[1])));
}

absl::Status Create(FileSystem& fs, const JournalLayout& layout, const std::string& path, Position done) {
  KB_RETURN_IF_ERROR(fs.CreateDirectories(layout.readers()));
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.CreateUnnamed(layout.readers(), path));
  KB_RETURN_IF_ERROR(file->CheckSupported());
  KB_RETURN_IF_ERROR(file->Allocate(sizeof(RawCursor)));
  RawCursor raw;
  raw.slots[0] = {.turn = 1, .epoch = done.epoch, .seq = done.seq, .check = 0};
  raw.slots[0].check = Check(raw.slots[0]);
  KB_RETURN_IF_ERROR(file->WriteAt(0, Bytes(reinterpret_cast<const uint8_t*>(&raw), sizeof raw)));
  KB_RETURN_IF_ERROR(file->Sync());
  const absl::Status linked = file->LinkTo(path);
  return absl::IsAlreadyExists(linked) ? absl::OkStatus() : linked;
}

// Brings the file's name, and those above it, to stable storage: whoever made them may have died before.
absl::Status SyncNames(FileSystem& fs, const JournalLayout& layout) {
  KB_RETURN_IF_ERROR(fs.SyncDirectory(layout.readers()));
  return SyncDirectoriesAbove(fs, layout.readers());
}

absl::Status Gone(const std::string& path, Position wanted_behind, Seq first_kept) {
  return absl::OutOfRangeError(absl::StrCat(path, ": seq ", wanted_behind.seq + 1,
                                            " is no longer kept for this reader, the first one is ", first_kept));
}

// The file of a cursor, locked.
absl::StatusOr<std::unique_ptr<File>> Lock(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  KB_ASSIGN_OR_RETURN(const bool locked, LockNamedFile(fs, *file, path));
  if (!locked) return LockedError(fs, *file, "another reader, which has registered this name,");
  return file;
}

}  // namespace

absl::StatusOr<ReaderCursor> ReaderCursor::Take(FileSystem& fs, const JournalLayout& layout, absl::string_view name) {
  KB_ASSIGN_OR_RETURN(std::unique_ptr<File> file, Lock(fs, CursorPath(layout, name)));
  KB_ASSIGN_OR_RETURN(const RawCursor raw, Read(*file));
  KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, file->Map(Access::kReadWrite, sizeof(RawCursor)));
  ReaderCursor cursor(fs, layout, name, std::move(file), std::move(mapping));
  const RawSlot* const newest = NewestWhole(raw);
  cursor.turn_ = newest->turn;
  cursor.position_ = {.epoch = newest->epoch, .seq = newest->seq};
  return cursor;
}

absl::StatusOr<ReaderCursor> ReaderCursor::Register(FileSystem& fs, const JournalLayout& layout, absl::string_view name,
                                                    std::optional<Position> start) {
  KB_RETURN_IF_ERROR(CheckName(name));
  if (start && start->seq == std::numeric_limits<Seq>::max()) {
    return absl::InvalidArgumentError("there is no frame behind the greatest seq");
  }
  const std::string path = CursorPath(layout, name);
  bool created = false;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<ReaderCursor> cursor = Take(fs, layout, name);
    if (cursor.ok()) {
      cursor->is_new_ = created;
      KB_RETURN_IF_ERROR(SyncNames(fs, layout));
      KB_RETURN_IF_ERROR(cursor->FindPlace(created && !start));
      return cursor;
    }
    if (absl::IsUnavailable(cursor.status())) continue;
    if (!absl::IsNotFound(cursor.status())) return cursor;
    KB_ASSIGN_OR_RETURN(const Position before_first, BeforeFirstKept(fs, layout));
    if (start && start->seq < before_first.seq) return Gone(path, *start, before_first.seq + 1);
    KB_RETURN_IF_ERROR(Create(fs, layout, path, start.value_or(before_first)));
    created = true;
  }
  return absl::UnavailableError(absl::StrCat(path, ": the file is being replaced again and again"));
}

absl::Status ReaderCursor::FindPlace(bool anywhere) {
  KB_ASSIGN_OR_RETURN(const Position before_first, BeforeFirstKept(*fs_, layout_));
  if (position_.seq >= before_first.seq) return absl::OkStatus();
  if (anywhere) {
    Store(before_first);
  } else {
    RaiseWord(mapping_->data() + offsetof(RawCursor, first_kept), before_first.seq + 1);
  }
  return absl::OkStatus();
}

absl::Status ReaderCursor::status() const {
  if (mark_.in_child()) return ForkMark::Error(file_->path());
  const Seq first_kept = AcquireWord(mapping_->data() + offsetof(RawCursor, first_kept));
  if (first_kept <= position_.seq + 1) return absl::OkStatus();
  return Gone(file_->path(), position_, first_kept);
}

void ReaderCursor::Store(Position done) {
  turn_ = turn_ + 1;
  RawSlot slot = {.turn = turn_, .epoch = done.epoch, .seq = done.seq, .check = 0};
  slot.check = Check(slot);
  // The slot that does not count now; begun only when the other is whole, if the process should die in between.
  LightFence();
  uint8_t* const to = mapping_->data() + offsetof(RawCursor, slots) + SlotOf(turn_) * sizeof(RawSlot);
  PrepareWord(to + offsetof(RawSlot, turn), slot.turn);
  PrepareWord(to + offsetof(RawSlot, epoch), slot.epoch);
  PrepareWord(to + offsetof(RawSlot, seq), slot.seq);
  PublishWord(to + offsetof(RawSlot, check), slot.check);
  position_ = done;
}

absl::Status ReaderCursor::Advance(Position done) {
  if (mark_.in_child()) return ForkMark::Error(file_->path());
  if (done.seq < position_.seq || done.seq == std::numeric_limits<Seq>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(file_->path(), ": the reader was done with ", position_.ToString(),
                                                   " and can't advance to ", done.ToString()));
  }
  Store(done);
  return status();
}

absl::Status ReaderCursor::Reset(Position done) {
  if (mark_.in_child()) return ForkMark::Error(file_->path());
  if (done.seq == std::numeric_limits<Seq>::max()) {
    return absl::InvalidArgumentError("there is no frame behind the greatest seq");
  }
  KB_ASSIGN_OR_RETURN(const Position before_first, BeforeFirstKept(*fs_, layout_));
  if (done.seq < before_first.seq) return Gone(file_->path(), done, before_first.seq + 1);
  Store(done);
  // A mark beyond that is of a cut that was not made; of one that is being made, the cutter marks anew behind it.
  if (!status().ok()) PublishWord(mapping_->data() + offsetof(RawCursor, first_kept), before_first.seq + 1);
  return mapping_->Sync(0, sizeof(RawCursor));
}

absl::Status ReaderCursor::Remove(FileSystem& fs, const JournalLayout& layout, absl::string_view name) {
  KB_RETURN_IF_ERROR(CheckName(name));
  const std::string path = CursorPath(layout, name);
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, Lock(fs, path));
  KB_RETURN_IF_ERROR(fs.Unlink(path));
  return fs.SyncDirectory(layout.readers());
}

namespace {

// NotFound if it was removed.
absl::StatusOr<CursorView> View(FileSystem& fs, const JournalLayout& layout, const std::string& name) {
  CursorView view;
  view.name = name;
  const absl::StatusOr<std::unique_ptr<File>> file = fs.Open(CursorPath(layout, name), Access::kRead);
  view.status = file.status();
  if (file.ok()) {
    KB_ASSIGN_OR_RETURN(view.owned, (*file)->LockedByOther());
    const absl::StatusOr<RawCursor> raw = Read(**file);
    view.status = raw.status();
    if (raw.ok()) {
      const RawSlot* const newest = NewestWhole(*raw);
      view.done = {.epoch = newest->epoch, .seq = newest->seq};
      view.first_kept = raw->first_kept;
    }
  }
  // What says nothing of the file is the caller's to meet.
  const absl::StatusCode code = view.status.code();
  const bool of_the_file = code == absl::StatusCode::kDataLoss || code == absl::StatusCode::kFailedPrecondition ||
                           code == absl::StatusCode::kPermissionDenied;
  if (!view.status.ok() && !of_the_file) return view.status;
  return view;
}

}  // namespace

absl::StatusOr<std::vector<CursorView>> ListCursors(FileSystem& fs, const JournalLayout& layout) {
  std::vector<CursorView> views;
  const absl::StatusOr<std::vector<std::string>> names = fs.List(layout.readers());
  if (absl::IsNotFound(names.status())) return views;
  KB_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (!CheckName(name).ok()) continue;
    absl::StatusOr<CursorView> view = View(fs, layout, name);
    if (absl::IsNotFound(view.status())) continue;
    KB_RETURN_IF_ERROR(view.status());
    views.push_back(*std::move(view));
  }
  return views;
}

absl::Status MarkCursorLost(FileSystem& fs, const JournalLayout& layout, absl::string_view name, Seq first_kept) {
  KB_RETURN_IF_ERROR(CheckName(name));
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(CursorPath(layout, name), Access::kReadWrite));
  KB_RETURN_IF_ERROR(Read(*file).status());
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<MappedFile> mapping, file->Map(Access::kReadWrite, sizeof(RawCursor)));
  RaiseWord(mapping->data() + offsetof(RawCursor, first_kept), first_kept);
  return mapping->Sync(0, sizeof(RawCursor));
}

absl::Status SyncCursor(FileSystem& fs, const JournalLayout& layout, absl::string_view name) {
  KB_RETURN_IF_ERROR(CheckName(name));
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(CursorPath(layout, name), Access::kReadWrite));
  return file->Sync();
}

}  // namespace kekbit
