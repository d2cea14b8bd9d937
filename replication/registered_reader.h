// RegisteredReader reads a journal from where its cursor stands: a JournalReader and a
// ReaderCursor, joined.
//
//   auto reader = RegisteredReader::Open(fs, layout, "audit");
//   while (auto frame = reader->Next()) {
//     Use(*frame);
//     KB_RETURN_IF_ERROR(reader->Done(frame->position()));   // or only now and then
//   }
//   // reader->status() says why there is none: OK, caught up; OutOfRange: its place is gone
//
// A reader that is caught up looks again at any time. A reader whose place is gone begins anew with
// a whole state, then calls Reset(position). The state may be that of a Replica of its own, which
// gives state and position together (Replica::Read), or that of the newest snapshot
// (SnapshotStore::FindNewest).
//
// A frame that was given but not done comes again after a restart: at least once. A frame that is
// done never comes again, and none is skipped. A cursor's frame may be no part of the journal any
// more: a power loss took the frame after it was read, before it was synced. That is OutOfRange,
// too.
//
// In a forked child the reader gives no frames, and every call is FailedPrecondition: the place is
// the parent's.
//
// Thread safety: one thread at a time. A frame's payload is valid until the next Next(), Reset(),
// or destruction.

#ifndef KEKBIT_REPLICATION_REGISTERED_READER_H_
#define KEKBIT_REPLICATION_REGISTERED_READER_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/fork_mark.h"
#include "kekbit/replication/journal/frame.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/retention/reader_cursor.h"

namespace kekbit {

class RegisteredReader final {
 public:
  // Errors as of ReaderCursor::Register; what keeps the journal from being read, as commands that
  // are not what `content` says, is in status().
  static absl::StatusOr<RegisteredReader> Open(FileSystem& fs, const JournalLayout& layout, absl::string_view name,
                                               JournalContent content = {},
                                               std::optional<Position> start = std::nullopt);

  RegisteredReader(RegisteredReader&&) = default;
  RegisteredReader& operator=(RegisteredReader&&) = default;

  // Returns the next frame, if it is published.
  std::optional<Frame> Next();

  // Returns why Next() returned nullopt; as JournalReader::status().
  const absl::Status& status() const;

  // Tells that the reader is done with everything up to `position`, a frame that Next() gave.
  // OutOfRange if its place is taken; the frames that Next() still gives are good, see
  // ReaderCursor.
  absl::Status Done(Position position) { return cursor_.Advance(position); }

  // Starts over after `position`, that of a snapshot.
  absl::Status Reset(Position position);

  ReaderCursor& cursor() { return cursor_; }

 private:
  RegisteredReader(FileSystem& fs, const JournalLayout& layout, JournalContent content, ReaderCursor cursor)
      : fs_(&fs), layout_(layout), content_(std::move(content)), cursor_(std::move(cursor)) {}

  void OpenJournal();

  FileSystem* fs_;
  JournalLayout layout_;
  JournalContent content_;
  ReaderCursor cursor_;
  std::optional<JournalReader> reader_;
  absl::Status status_;  // while there is no reader_
  ForkMark mark_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_REGISTERED_READER_H_
