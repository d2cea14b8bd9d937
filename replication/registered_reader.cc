#include "kekbit/replication/registered_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/kept_segments.h"
#include "kekbit/replication/journal/seek.h"

namespace kekbit {

absl::StatusOr<RegisteredReader> RegisteredReader::Open(FileSystem& fs, const JournalLayout& layout,
                                                        absl::string_view name, JournalContent content,
                                                        std::optional<Position> start) {
  KB_ASSIGN_OR_RETURN(ReaderCursor cursor, ReaderCursor::Register(fs, layout, name, start));
  RegisteredReader reader(fs, layout, std::move(content), std::move(cursor));
  reader.OpenJournal();
  return reader;
}

void RegisteredReader::OpenJournal() {
  reader_.reset();
  const Position done = cursor_.position();
  status_ = cursor_.status();
  if (!status_.ok()) return;
  absl::StatusOr<JournalReader> reader = ReadJournal(*fs_, layout_, content_, done.seq + 1);
  if (!reader.ok()) {
    status_ = reader.status();
    // The segment was trimmed between the look at its name and the look at the file.
    if (absl::IsNotFound(status_)) status_ = absl::UnavailableError(status_.message());
    return;
  }
  if (done.epoch != 0 && reader->last().position != done) {
    // A seq may come twice in a journal's life, but only once with the same epoch.
    const absl::StatusOr<Position> before_first = BeforeFirstKept(*fs_, layout_);
    status_ = absl::OutOfRangeError(absl::StrCat(
        layout_.directory(), ": the frame ", done.ToString(), ", with which reader ", cursor_.name(),
        " was done, is no part of the journal, there is ", reader->last().position.ToString(),
        "; the first one kept is ", before_first.ok() ? absl::StrCat(before_first->seq + 1) : "not known"));
    return;
  }
  reader_ = *std::move(reader);
}

std::optional<Frame> RegisteredReader::Next() {
  if (mark_.in_child()) return std::nullopt;
  if (!reader_ && IsTransient(status_)) OpenJournal();
  if (!reader_) return std::nullopt;
  return reader_->Next();
}

const absl::Status& RegisteredReader::status() const {
  if (mark_.in_child()) {
    static const absl::Status& in_child = *new absl::Status(ForkMark::Error("a registered reader"));
    return in_child;
  }
  return reader_ ? reader_->status() : status_;
}

absl::Status RegisteredReader::Reset(Position position) {
  KB_RETURN_IF_ERROR(cursor_.Reset(position));
  OpenJournal();
  return status();
}

}  // namespace kekbit
