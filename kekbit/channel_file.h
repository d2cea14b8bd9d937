// Creating and opening the file of a channel: what stands before its data, its lock, its names.

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

// Where the channel lies below the root of a store: root/HHHH_HHHH/LLLL_LLLL.kekbit, the id in hexadecimal digits.
std::string ChannelPath(absl::string_view root, uint64_t channel_id);

// Where the event lies by which readers of the channel at `path` sleep: the same name, ending in ".wake".
std::string WakePath(absl::string_view path);

// A channel's open file, with what it says of itself.
struct ChannelFile {
  std::unique_ptr<File> file;
  std::shared_ptr<MappedFile> mapping;  // of the whole file, as long as it was when it was opened
  Header header;
  std::optional<Extension> extension;  // nothing: a plain channel

  // Bytes of the data area, and of the footer, that the file really has. The header promises
  // capacity + kFooterBytes, but the Rust library's files are shorter, and a file may have been cut.
  uint64_t data_bytes() const;

  // Whether this is a file of the Rust library, which makes it too short for the data area: it counts the header as 128
  // bytes, but begins the data at 1024. What it writes behind the end of the file is lost: the channel is full there.
  bool is_short_by_design() const;
};

// The file of a channel that has no name yet: its space is reserved, it is mapped for writing, and locked. It is gone
// if the process dies, or if nobody names it.
struct PreparedChannelFile {
  std::unique_ptr<File> file;
  std::shared_ptr<MappedFile> mapping;
  uint32_t capacity = 0;
  uint64_t touched_bytes = 0;  // from the file's beginning: ready to be stored to (see MappedFile::Touch)
};

// Does what takes long in making a channel, before it is known what it will hold. `path`, for messages, is in a
// directory of the file system in which it will be named, and that is there. ResourceExhausted if the disk is full;
// FailedPrecondition if the file system can't hold what a channel promises (see File::CheckSupported and
// File::Allocate).
absl::StatusOr<PreparedChannelFile> PrepareChannelFile(FileSystem& fs, const std::string& path, uint32_t capacity);

// Makes a prepared file the channel at `path`, whose directory is there: its first length word a WATERMARK. It appears
// under its name whole or not at all; a crash leaves nothing behind. AlreadyExists if there is such a file. REQUIRES:
// the header's capacity is that of the prepared file.
absl::StatusOr<ChannelFile> NameChannelFile(PreparedChannelFile prepared, const std::string& path, const Header& header,
                                            const Extension& extension);

// Opens the file of a channel and maps it, for reading only unless it is to be synced. NotFound; DataLoss or
// FailedPrecondition with the reason if it is not a channel that this code can read.
absl::StatusOr<ChannelFile> OpenChannelFile(FileSystem& fs, const std::string& path, Access access = Access::kRead);

// The same, trying again until `timeout` is over as long as there is no such file, or one that its creator (the Rust
// library writes in place) has not finished.
absl::StatusOr<ChannelFile> OpenChannelFile(FileSystem& fs, const std::string& path, absl::Duration timeout);

}  // namespace kekbit

#endif  // KEKBIT_CHANNEL_FILE_H_
