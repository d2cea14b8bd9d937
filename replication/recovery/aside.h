// Aside keeps what is taken out of a journal: DIR/aside. Nothing is ever deleted there, nor
// overwritten.
//
// Each thing that is kept has a text beside it, NAME.txt, which says what the thing is, where it
// was, why it was taken out and when. Both are on stable storage before a call returns. A process
// that dies in between may leave a copy of what is still in its place, or a text without its file.
//
// Thread safety: one thread at a time, in one process: the holder of the lease.

#ifndef KEKBIT_REPLICATION_RECOVERY_ASIDE_H_
#define KEKBIT_REPLICATION_RECOVERY_ASIDE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

class Aside final {
 public:
  // `why`: for the texts. `fs` outlives this object.
  Aside(FileSystem& fs, const JournalLayout& layout, std::string why, int64_t now_ns)
      : fs_(fs), layout_(layout), why_(std::move(why)), now_ns_(now_ns) {}

  // Returns how the names begin under which a file of the journal, or a part of it, is kept.
  static std::string NameOf(const JournalLayout& layout, absl::string_view path);

  // Keeps a copy of bytes that stand in the file `from` at `offset`. Returns its path. What was
  // kept before is not kept twice.
  absl::StatusOr<std::string> Copy(Bytes bytes, const std::string& from, uint64_t offset);

  // Keeps a copy of all of the file, which is small and not empty.
  absl::StatusOr<std::string> CopyFile(const std::string& from);

  // Moves the file `from`, of the journal's directory or one below it, here. Returns its path.
  absl::StatusOr<std::string> Move(const std::string& from);

 private:
  absl::Status MakeDirectory();
  // Makes a file with these bytes, whole or not at all; OK if the file exists.
  absl::Status Make(const std::string& path, Bytes bytes);
  absl::Status Describe(const std::string& path, absl::string_view what);

  FileSystem& fs_;
  const JournalLayout layout_;
  const std::string why_;
  const int64_t now_ns_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_ASIDE_H_
