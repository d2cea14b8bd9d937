// Creates and opens the file of a channel: what stands before its data, its lock, its names.

#ifndef KEKBIT_CHANNEL_FILE_H_
#define KEKBIT_CHANNEL_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/extension.h"
#include "kekbit/header.h"

namespace kekbit {

// Returns the path of a channel below the root of a store: root/HHHH_HHHH/LLLL_LLLL.kekbit, the id
// in hexadecimal digits.
std::string ChannelPath(absl::string_view root, uint64_t channel_id);

// Returns the path of the event by which readers of the channel at `path` sleep: the same name,
// ending in ".wake".
std::string WakePath(absl::string_view path);

// ChannelFile is a channel's open file, with what the file says of itself.
struct ChannelFile {
  std::unique_ptr<File> file;
  std::shared_ptr<MappedFile> mapping;  // of the whole file, as long as when it was opened
  Header header;
  std::optional<Extension> extension;  // nullopt: a plain channel

  // Returns how many bytes of the data area and the footer the file really has. The header promises
  // capacity + kFooterBytes. But the Rust library's files are shorter, and a file may have been
  // cut.
  uint64_t data_bytes() const;

  // Returns true for a file of the Rust library, whose files are too short for the data area. That
  // library counts the header as 128 bytes, but begins the data at 1024. What it writes past the
  // end of the file is lost: the channel is full there.
  bool is_short_by_design() const;
};

// PreparedChannelFile is a channel's file without a name: allocated, mapped for writing, and
// locked. The file is gone if the process dies, or if nobody names it.
struct PreparedChannelFile {
  std::unique_ptr<File> file;
  std::shared_ptr<MappedFile> mapping;
  uint32_t capacity = 0;
  uint64_t touched_bytes = 0;  // from the file's beginning: ready to be stored to (see MappedFile::Touch)
};

// How the page cache holds a channel's file (see MappedFile::KeepPagesApart).
enum class Pages {
  kJoined,  // page faults are cheap
  kApart,   // syncs of little are cheap
};

// Does what takes long in making a channel, before its content is known. `path` is for messages;
// its directory exists, in the file system where the file will be named. ResourceExhausted if the
// disk is full. FailedPrecondition if the file system can't hold what a channel promises (see
// File::CheckSupported and File::Allocate).
absl::StatusOr<PreparedChannelFile> PrepareChannelFile(FileSystem& fs, const std::string& path, uint32_t capacity,
                                                       Pages pages = Pages::kJoined);

// Makes a prepared file the channel at `path`, whose directory exists. Its first length word is a
// WATERMARK. The name appears with the whole file or not at all; a crash leaves nothing.
// AlreadyExists if there is such a file. REQUIRES: the header's capacity is that of the prepared
// file.
absl::StatusOr<ChannelFile> NameChannelFile(PreparedChannelFile prepared, const std::string& path, const Header& header,
                                            const Extension& extension);

// Opens the file of a channel and maps it, by default for reading only. NotFound if there is no
// such file. DataLoss or FailedPrecondition, with the reason, if this code can't read the file as a
// channel.
absl::StatusOr<ChannelFile> OpenChannelFile(FileSystem& fs, const std::string& path, Access access = Access::kRead);

// Opens the channel and tries again, until `timeout` is over, while there is no such file or an
// unfinished one. The Rust library writes its files in place.
absl::StatusOr<ChannelFile> OpenChannelFile(FileSystem& fs, const std::string& path, absl::Duration timeout);

}  // namespace kekbit

#endif  // KEKBIT_CHANNEL_FILE_H_
