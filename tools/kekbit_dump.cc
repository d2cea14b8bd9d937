// The commands that show items: Dump and Tail.

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/segment_scan.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_parts.h"
#include "tools/kekbit_show.h"

namespace kekbit {
namespace {

// A tool that only looks must not be woken by the writer: a waking would cost the writer a system
// call a record.
constexpr absl::Duration kPauseMin = absl::Milliseconds(1);
constexpr absl::Duration kPauseMax = absl::Milliseconds(20);
constexpr absl::Duration kAskAliveEvery = absl::Milliseconds(100);

void ShowHead(const CommandOptions& options, const Part& part, const SegmentScan& scan, Output& output) {
  if (options.json) return;
  const std::string name = SegmentStateName(scan.channel().extension);
  // Quote the text: whatever the file holds, it must not reach the terminal raw.
  const std::string state = name.empty() ? "" : absl::StrCat(", state ", ToJsonString(name));
  if (part.segment != 0) output.Line(absl::StrCat("segment ", part.segment, ": ", part.path, state));
  output.Line(TableHead(scan.follows().has_value()));
}

void Show(const CommandOptions& options, const Part& part, const SegmentScan& scan, const SegmentItem& item,
          Output& output) {
  output.Line(options.json ? JsonOf(part, item) : TableRow(scan.follows().has_value(), item));
}

// Returns true if the writer is known to be dead.
bool WriterGone(SegmentScan& scan) {
  const absl::StatusOr<bool> alive = scan.scan().WriterAlive();
  return alive.ok() && !*alive;
}

// Shows what comes until nothing more will. A journal's segment that its writer left open is closed
// by the next writer, so there the death of the writer is no end.
void Follow(const CommandOptions& options, const Part& part, SegmentScan& scan, Output& output) {
  absl::Duration pause = kPauseMin;
  absl::Time ask_alive = absl::InfinitePast();
  bool gone = false;
  while (output.open()) {
    const SegmentItem item = scan.Next();
    if (item.in_channel.kind != ChannelItemKind::kWatermarkMarker || gone) {
      Show(options, part, scan, item, output);
      if (item.is_last()) return;
      pause = kPauseMin;
      continue;
    }
    output.Flush();
    output.Look();
    if (part.segment == 0 && absl::Now() >= ask_alive) {
      // Ask before the next look, so that nothing written before the writer's death is missed.
      gone = WriterGone(scan);
      ask_alive = absl::Now() + kAskAliveEvery;
    }
    if (!gone) absl::SleepFor(pause);
    pause = std::min(pause * 2, kPauseMax);
  }
}

// PartEnd is the end of a channel, or of a segment.
struct PartEnd {
  Part part;
  SegmentScan scan;
  std::deque<SegmentItem> items;  // at most so many as were asked for
  SegmentItem last;               // the item after those
};

// Returns nullopt if the part was trimmed meanwhile.
absl::StatusOr<std::optional<PartEnd>> ReadEnd(const CommandOptions& options, const Part& part, uint64_t count) {
  KB_ASSIGN_OR_RETURN(std::optional<SegmentScan> scan, OpenPart(*options.file_system, options.path, part));
  if (!scan) return std::nullopt;
  PartEnd end = {.part = part, .scan = *std::move(scan), .items = {}, .last = {}};
  for (end.last = end.scan.Next(); !end.last.is_last(); end.last = end.scan.Next()) {
    end.items.push_back(end.last);
    if (end.items.size() > count) end.items.pop_front();
  }
  return end;
}

// Returns the segment after `part`, as soon as it exists; nullopt if nobody reads the output any
// more.
absl::StatusOr<std::optional<SegmentScan>> AwaitNext(const CommandOptions& options, Part& part, Output& output) {
  part.path = JournalLayout(options.path).segment(++part.segment);
  for (; output.open(); output.Look()) {
    absl::StatusOr<SegmentScan> scan = SegmentScan::OpenAt(*options.file_system, part.path);
    if (scan.ok()) return *std::move(scan);
    if (!absl::IsNotFound(scan.status())) return scan.status();
    output.Flush();
    absl::SleepFor(kPauseMax);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<bool> Dump(const CommandOptions& options, Output& output) {
  KB_ASSIGN_OR_RETURN(const std::vector<Part> parts, PartsOf(*options.file_system, options.path));
  if (options.from && parts.front().segment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.path, ": an offset is a place in one channel; name one segment of the journal"));
  }
  const uint64_t from = options.from.value_or(0);
  uint64_t left = options.limit;
  for (const Part& part : parts) {
    KB_ASSIGN_OR_RETURN(std::optional<SegmentScan> opened, OpenPart(*options.file_system, options.path, part));
    if (!opened) continue;
    SegmentScan& scan = *opened;
    SegmentItem item = scan.Next();
    while (item.in_channel.offset < from && !item.is_last()) item = scan.Next();
    if (item.in_channel.offset < from) {
      return absl::OutOfRangeError(absl::StrCat(part.path, ": there is no offset ", from, ", the last item (",
                                                KindName(item), ") is at ", item.in_channel.offset));
    }
    if (options.from && item.in_channel.offset != from) {
      return absl::InvalidArgumentError(absl::StrCat(
          part.path, ": offset ", from, " is inside an item, the next begins at ", item.in_channel.offset));
    }
    if (left != 0) ShowHead(options, part, scan, output);
    for (; left != 0 && output.open(); --left, item = scan.Next()) {
      Show(options, part, scan, item, output);
      if (item.is_last()) {
        --left;
        break;
      }
    }
  }
  return true;
}

absl::StatusOr<bool> Tail(const CommandOptions& options, Output& output) {
  KB_ASSIGN_OR_RETURN(std::vector<Part> parts, PartsOf(*options.file_system, options.path));
  // Go from the last segment back, as far as needed.
  std::deque<PartEnd> ends;
  uint64_t missing = options.last;
  for (size_t i = parts.size(); i-- > 0 && (missing > 0 || ends.empty());) {
    KB_ASSIGN_OR_RETURN(std::optional<PartEnd> end, ReadEnd(options, parts[i], missing));
    if (!end) break;
    missing -= end->items.size();
    ends.push_front(*std::move(end));
  }
  if (ends.empty()) return Tail(options, output);  // all that was listed is trimmed
  for (PartEnd& end : ends) {
    const bool is_last = &end == &ends.back();
    if (!is_last && end.items.empty()) continue;
    ShowHead(options, end.part, end.scan, output);
    for (const SegmentItem& item : end.items) Show(options, end.part, end.scan, item, output);
    if (!is_last || !options.follow) Show(options, end.part, end.scan, end.last, output);
  }
  if (!options.follow) return true;
  Part& part = ends.back().part;
  SegmentScan& scan = ends.back().scan;
  Follow(options, part, scan, output);
  while (part.segment != 0 && output.open()) {
    KB_ASSIGN_OR_RETURN(std::optional<SegmentScan> next, AwaitNext(options, part, output));
    if (!next) break;
    scan = *std::move(next);
    ShowHead(options, part, scan, output);
    Follow(options, part, scan, output);
  }
  return true;
}

}  // namespace kekbit
