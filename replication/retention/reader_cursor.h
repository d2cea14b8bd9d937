// ReaderCursor says how far a registered reader of a journal is. A cursor has a name, survives the
// reader, and holds the journal: what the reader is not done with is kept, up to the operator's
// cap.
//
//   auto cursor = ReaderCursor::Register(fs, layout, "audit");
//   ... cursor->position() was the last frame; read on from position().seq + 1; process a frame ...
//   absl::Status status = cursor->Advance(frame.position());
//
// Place: a reader whose lag exceeds the cap loses its place. It learns so at the next Advance(), or
// when it registers again: OutOfRange, with the first seq kept. Then it starts over with Reset(),
// from a snapshot say. Until the frame that it wants next is really gone it may also go on. It has
// its place back once it is beyond what was trimmed.
// Durability: Advance() is stores into memory that survive the process. After a power loss the
// cursor may stand earlier than before, never later, and the journal is not trimmed beyond what the
// cursor's file has on stable storage.
// Ownership: the reader that registers a name holds the lock of its file; a second of that name is
// refused. Others that look (ListCursors, retention) take no lock.
//
// File: DIR/readers/NAME, 128 bytes, see journal_format.md. Two slots, written in turn, each with
// its checksum: a slot that is torn, by whatever death, leaves the slot before.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_RETENTION_READER_CURSOR_H_
#define KEKBIT_REPLICATION_RETENTION_READER_CURSOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/position.h"

namespace kekbit {

inline constexpr size_t kReaderNameBytesMax = 100;

class ReaderCursor final {
 public:
  // Takes the reader's cursor. An existing cursor goes on where it was; `start` then says nothing.
  // A new cursor is done with everything up to `start`, or, without `start`, up to the first frame
  // kept.
  //
  // FailedPrecondition if somebody else has it, or a newer version of this code wrote it.
  // InvalidArgument for a name that no file can have. OutOfRange if `start` is before what is kept.
  // DataLoss if the file is damaged: Remove() it, and start over. A cursor that has lost its place
  // is registered all the same: status() says so. `fs` outlives the cursor.
  static absl::StatusOr<ReaderCursor> Register(FileSystem& fs, const JournalLayout& layout, absl::string_view name,
                                               std::optional<Position> start = std::nullopt);

  // Ends a registration whose owner is gone; damaged or not. FailedPrecondition if somebody has it;
  // NotFound.
  static absl::Status Remove(FileSystem& fs, const JournalLayout& layout, absl::string_view name);

  ReaderCursor(ReaderCursor&&) = default;
  ReaderCursor& operator=(ReaderCursor&&) = default;

  const std::string& name() const { return name_; }

  // Returns true if Register() made the cursor: an earlier cursor of the reader has been removed
  // meanwhile.
  bool is_new() const { return is_new_; }

  // Returns the last frame that the reader is done with. Epoch 0: not known.
  Position position() const { return position_; }

  // OK, or OutOfRange if the place was taken away; FailedPrecondition in a forked child, as every
  // call.
  absl::Status status() const;

  // Tells that the reader is done with everything up to `done`. Returns status(); InvalidArgument
  // if `done` is before position().
  absl::Status Advance(Position done);

  // Moves the cursor to `done`, forwards or back, synced, for a reader that starts over. OutOfRange
  // if `done` is before what is kept.
  absl::Status Reset(Position done);

 private:
  ReaderCursor(FileSystem& fs, const JournalLayout& layout, absl::string_view name, std::unique_ptr<File> file,
               std::unique_ptr<MappedFile> mapping)
      : fs_(&fs), layout_(layout), name_(name), file_(std::move(file)), mapping_(std::move(mapping)) {}

  static absl::StatusOr<ReaderCursor> Take(FileSystem& fs, const JournalLayout& layout, absl::string_view name);
  // Checks that the wanted frame is kept; a new cursor without a wish goes to the first frame kept.
  absl::Status FindPlace(bool anywhere);
  void Store(Position done);

  FileSystem* fs_;
  JournalLayout layout_;
  std::string name_;
  std::unique_ptr<File> file_;
  std::unique_ptr<MappedFile> mapping_;
  Position position_;
  uint64_t turn_ = 0;
  bool is_new_ = false;
  ForkMark mark_;
};

// CursorView is a cursor as others see it.
struct CursorView {
  std::string name;
  absl::Status status;  // why it can't be read; then only `name` and `owned` mean something
  Position done;
  Seq first_kept = 0;  // earlier frames may have been trimmed, though this reader wanted them; 0: they were not
  bool owned = false;  // somebody has it now

  bool lost() const { return first_kept > done.seq + 1; }
};

// Lists all cursors of a journal, by name; empty if there is no journal. Files with names that no
// cursor has are passed over.
absl::StatusOr<std::vector<CursorView>> ListCursors(FileSystem& fs, const JournalLayout& layout);

// Tells a reader that what is before `first_kept` is about to be trimmed. Synced.
absl::Status MarkCursorLost(FileSystem& fs, const JournalLayout& layout, absl::string_view name, Seq first_kept);

// Returns once what the cursor's file holds is on stable storage.
absl::Status SyncCursor(FileSystem& fs, const JournalLayout& layout, absl::string_view name);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RETENTION_READER_CURSOR_H_
