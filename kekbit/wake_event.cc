#include "kekbit/wake_event.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kekbit/base/asymmetric_fence.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/futex.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr uint64_t kFileBytes = 64;
// This follows the word, so that no other file is taken for an event.
constexpr uint64_t kMagic = 0x3145'4B41'5742'4B4B;  // "KKBWAKE1" as bytes
constexpr uint64_t kMagicOffset = 8;
// How long a sleep may last where a waking can be missed.
constexpr absl::Duration kUnfencedSleep = absl::Milliseconds(1);

absl::Status CheckSize(File& file) {
  KB_ASSIGN_OR_RETURN(const FileInfo info, file.Info());
  if (info.size == 0 || info.size == kFileBytes) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(file.path(), ": has ", info.size, " bytes, not ", kFileBytes, ": no event of kekbit's"));
}

absl::Status CheckMagic(File& file, uint64_t magic) {
  if (magic == kMagic) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(file.path(), ": is no event of kekbit's; if it was one, it can be deleted"));
}

absl::StatusOr<std::unique_ptr<MappedFile>> MapWord(File& file) {
  KB_RETURN_IF_ERROR(file.CheckSupported());
  KB_RETURN_IF_ERROR(CheckSize(file));
  // Allocate even a file that is long enough: it may be a hole, and then a full disk would be
  // SIGBUS.
  KB_RETURN_IF_ERROR(file.Allocate(kFileBytes));
  KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, file.Map(Access::kReadWrite, kFileBytes));
  // The first opener writes the magic; until then it is 0.
  uint8_t* const magic = mapping->data() + kMagicOffset;
  if (PeekWord(magic) == 0) PublishWord(magic, kMagic);
  KB_RETURN_IF_ERROR(CheckMagic(file, PeekWord(magic)));
  return mapping;
}

}  // namespace

absl::StatusOr<WakeEvent> WakeEvent::OpenForWriter(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.OpenOrCreate(path));
  KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, MapWord(*file));
  return WakeEvent(std::move(mapping), nullptr, JoinHeavyFence());
}

absl::StatusOr<WakeEvent> WakeEvent::OpenForReader(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kReadWrite));
  KB_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, MapWord(*file));
  return WakeEvent(std::move(mapping), nullptr, HeavyFence());
}

absl::Status WakeEvent::Check(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  KB_RETURN_IF_ERROR(CheckSize(*file));
  uint8_t bytes[sizeof kMagic] = {};
  KB_RETURN_IF_ERROR(file->ReadAt(kMagicOffset, MutableBytes(bytes)).status());
  const auto magic = LoadUnaligned<uint64_t>(bytes);
  return magic == 0 ? absl::OkStatus() : CheckMagic(*file, magic);
}

WakeEvent WakeEvent::Unshared() { return WakeEvent(nullptr, std::make_unique<uint32_t>(0), true); }

WakeEvent::WakeEvent(std::unique_ptr<MappedFile> mapping, std::unique_ptr<uint32_t> own, bool can_fence)
    : mapping_(std::move(mapping)),
      own_(std::move(own)),
      word_(mapping_ != nullptr ? reinterpret_cast<uint32_t*>(mapping_->data()) : own_.get()),
      can_fence_(can_fence) {}

uint32_t WakeEvent::Prepare() {
  if (mark_.in_child()) return 0;
  const uint32_t ticket = FetchOrWord32(word_, kSleepers) | kSleepers;
  HeavyFence();
  return ticket;
}

void WakeEvent::Wait(uint32_t ticket, absl::Duration timeout) {
  if (mark_.in_child()) {
    absl::SleepFor(std::min(timeout, kUnfencedSleep));
    return;
  }
  if (!can_fence_) timeout = std::min(timeout, kUnfencedSleep);
  if (timeout <= absl::ZeroDuration()) return;
  FutexWait(word_, ticket, std::min(timeout, absl::Hours(1)));
}

void WakeEvent::Wake() {
  // Adding 1 to a word with bit 0 set clears that bit and counts the waking. A later ticket is
  // announced anew; a reader that has an earlier ticket finds the word changed.
  const uint32_t old = PeekWord32(word_);
  if ((old & kSleepers) == 0) return;
  CompareExchangeWord32(word_, old, old + 1);
  FutexWakeAll(word_);
}

}  // namespace kekbit
