// The command Cursors.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal_view.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_parts.h"

namespace kekbit {
namespace {

// A cursor is lost also without a mark: what it wants next is gone, whoever took that.
bool IsLost(const CursorView& cursor, const JournalFacts& facts) {
  return cursor.lost() || cursor.done.seq + 1 < facts.first_seq;
}

std::optional<Seq> LagOf(const CursorView& cursor, const JournalFacts& facts) {
  if (!facts.end_status.ok()) return std::nullopt;
  return facts.last.seq - std::min(facts.last.seq, cursor.done.seq);
}

// The bytes of the segments that are only there for this reader.
uint64_t HeldBytes(const CursorView& cursor, const JournalFacts& facts) {
  for (const ReaderHold& hold : facts.holds) {
    if (hold.name == cursor.name) return hold.bytes;
  }
  return 0;
}

std::string Json(const CursorView& cursor, const JournalFacts& facts) {
  JsonLine line;
  line.String("name", cursor.name).Bool("owned", cursor.owned);
  if (!cursor.status.ok()) return line.String("reason", cursor.status.message()).Take();
  line.Number("epoch", cursor.done.epoch).Number("seq", cursor.done.seq);
  if (const std::optional<Seq> lag = LagOf(cursor, facts)) line.Number("lag", *lag);
  line.Bool("lost", IsLost(cursor, facts));
  if (const uint64_t held = HeldBytes(cursor, facts); held != 0) line.Number("held_bytes", held);
  return line.Take();
}

std::string Text(const CursorView& cursor, const JournalFacts& facts, size_t name_width) {
  const std::string start =
      absl::StrFormat("%-*s  %-5s", static_cast<int>(name_width), cursor.name, cursor.owned ? "yes" : "no");
  if (!cursor.status.ok()) return absl::StrCat(start, "  can't be read: ", cursor.status.message());
  const std::optional<Seq> lag = LagOf(cursor, facts);
  const uint64_t held = HeldBytes(cursor, facts);
  return absl::StrFormat("%s  %12d  %12s%s%s", start, cursor.done.seq, lag ? absl::StrCat(*lag) : "?",
                         IsLost(cursor, facts) ? "  lost its place" : "",
                         held != 0 ? absl::StrCat("  holds ", held, " bytes of the journal") : "");
}

}  // namespace

absl::StatusOr<bool> Cursors(const CommandOptions& options, Output& output) {
  FileSystem& fs = *options.file_system;
  if (!IsDirectory(fs, options.path)) {
    KB_RETURN_IF_ERROR(fs.Info(options.path).status());
    return absl::InvalidArgumentError(absl::StrCat(options.path, ": is no directory: only a journal has readers"));
  }
  const JournalLayout layout(options.path);
  if (options.remove) {
    KB_RETURN_IF_ERROR(ReaderCursor::Remove(fs, layout, *options.remove));
    return true;
  }
  KB_ASSIGN_OR_RETURN(const JournalFacts facts, JournalView(fs, options.path).Look());
  KB_ASSIGN_OR_RETURN(const std::vector<CursorView> cursors, ListCursors(fs, layout));
  // JSON has one object a line: no reader is no line.
  if (!options.json && cursors.empty()) output.Line("no registered readers");
  size_t name_width = 4;
  for (const CursorView& cursor : cursors) name_width = std::max(name_width, cursor.name.size());
  if (!options.json && !cursors.empty()) {
    output.Line(absl::StrFormat("%-*s  owned           seq           lag", static_cast<int>(name_width), "name"));
  }
  for (const CursorView& cursor : cursors) {
    output.Line(options.json ? Json(cursor, facts) : Text(cursor, facts, name_width));
  }
  return true;
}

}  // namespace kekbit
