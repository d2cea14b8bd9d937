// The command Stat.

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/codecs/data_format.h"
#include "kekbit/replication/journal/segment_scan.h"
#include "kekbit/replication/journal_view.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_overview.h"
#include "tools/kekbit_parts.h"

namespace kekbit {
namespace {

// Facts are what is said of a channel, in order: names as in JSON.
using Facts = std::vector<std::pair<const char*, std::variant<uint64_t, std::string>>>;

struct Counts {
  uint64_t records = 0;
  uint64_t heartbeats = 0;
  uint64_t payload_bytes = 0;
  SegmentItem last;  // the item at the end
};

Counts Count(SegmentScan& scan) {
  Counts counts;
  for (;;) {
    SegmentItem item = scan.Next();
    if (item.is_last()) {
      counts.last = std::move(item);
      return counts;
    }
    ++(item.in_channel.kind == ChannelItemKind::kRecord ? counts.records : counts.heartbeats);
    counts.payload_bytes += item.in_channel.payload.size();
  }
}

std::string StateOf(const Counts& counts, const std::string& writer, uint64_t capacity) {
  switch (counts.last.in_channel.kind) {
    case ChannelItemKind::kCloseMarker:
      return "closed";
    case ChannelItemKind::kDamage:
      return "damaged";
    case ChannelItemKind::kFileEnd:
      return counts.last.status.ok() ? "full" : "cut";
    default:
      break;
  }
  if (writer == "gone") return "abandoned";
  return counts.last.in_channel.offset >= capacity ? "full" : "open";
}

// Return the header's ticks as a time, or as a duration, for people.
std::string TimeText(uint64_t ticks, TickUnit unit) {
  const absl::Time time = absl::UnixEpoch() + absl::Nanoseconds(NanosPerTick(unit)) * static_cast<double>(ticks);
  return absl::StrCat(ticks, " ", TickUnitName(unit), " (",
                      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()), ")");
}
std::string DurationText(uint64_t ticks, TickUnit unit) { return absl::StrCat(ticks, " ", TickUnitName(unit)); }

void AddDataFormat(const ChannelFile& channel, bool json, Facts& facts) {
  if (!channel.extension) {
    if (!json) facts.emplace_back("data_format", "none: a plain channel");
    return;
  }
  const uint64_t id = channel.extension->data_format;
  const std::string name(DataFormatName(id));
  if (json) {
    facts.emplace_back("data_format", id);
    facts.emplace_back("data_format_name", name);
  } else {
    facts.emplace_back("data_format", absl::StrCat(id, " (", name, ")"));
  }
}

Facts FactsOf(const Part& part, SegmentScan& scan, const Counts& counts, const std::string& writer, bool json) {
  const ChannelFile& channel = scan.scan().channel();
  const Header& header = channel.header;
  const uint64_t used = counts.last.in_channel.offset;
  Facts facts;
  if (json && part.segment != 0) facts.emplace_back("kind", "segment");
  facts.emplace_back("file", part.path);
  if (part.segment != 0) facts.emplace_back("segment", part.segment);
  facts.emplace_back("version", header.version().ToString());
  facts.emplace_back("writer_id", header.writer_id());
  facts.emplace_back("channel_id", header.channel_id());
  facts.emplace_back("capacity", uint64_t{header.capacity()});
  facts.emplace_back("max_msg_len", uint64_t{header.max_msg_len()});
  if (json) {
    facts.emplace_back("timeout", header.timeout());
    facts.emplace_back("creation_time", header.creation_time());
    facts.emplace_back("tick_unit", std::string(TickUnitName(header.tick_unit())));
  } else {
    facts.emplace_back("timeout", DurationText(header.timeout(), header.tick_unit()));
    facts.emplace_back("creation_time", TimeText(header.creation_time(), header.tick_unit()));
  }
  AddDataFormat(channel, json, facts);
  if (std::string name = SegmentStateName(channel.extension); !name.empty()) {
    facts.emplace_back("state_name", json ? std::move(name) : ToJsonString(name));
  }
  facts.emplace_back("file_bytes", channel.mapping->size());
  facts.emplace_back("records", counts.records);
  // A journal has no heartbeats: there a length of zero is the end.
  if (!scan.follows()) facts.emplace_back("heartbeats", counts.heartbeats);
  facts.emplace_back("payload_bytes", counts.payload_bytes);
  facts.emplace_back("used_bytes", used);
  facts.emplace_back("available_bytes", used < header.capacity() ? header.capacity() - used : 0);
  if (scan.follows()) {
    facts.emplace_back("follows_epoch", scan.follows()->position.epoch);
    facts.emplace_back("follows_seq", scan.follows()->position.seq);
    facts.emplace_back("last_epoch", scan.last().position.epoch);
    facts.emplace_back("last_seq", scan.last().position.seq);
  }
  facts.emplace_back("state", StateOf(counts, writer, header.capacity()));
  facts.emplace_back("writer", writer);
  return facts;
}

void Show(const Facts& facts, bool json, Output& output) {
  JsonLine line;
  for (const auto& [name, value] : facts) {
    const bool is_number = std::holds_alternative<uint64_t>(value);
    if (json && is_number) {
      line.Number(name, std::get<uint64_t>(value));
    } else if (json) {
      line.String(name, std::get<std::string>(value));
    } else {
      const std::string text = is_number ? absl::StrCat(std::get<uint64_t>(value)) : std::get<std::string>(value);
      output.Line(absl::StrFormat("%-16s %s", name, text));
    }
  }
  if (json) output.Line(line.Take());
}

}  // namespace

absl::StatusOr<bool> Stat(const CommandOptions& options, Output& output) {
  std::vector<Part> parts = {{.segment = 0, .path = options.path}};
  bool well = true;
  if (IsDirectory(*options.file_system, options.path)) {
    JournalView view(*options.file_system, options.path);
    KB_ASSIGN_OR_RETURN(const JournalFacts facts, view.Look());
    for (const std::string& line : options.json ? OverviewJson(facts) : OverviewText(facts)) output.Line(line);
    well = facts.lease_held;
    if (!options.segments || facts.segments == 0) return well;
    if (!options.json) output.Line("");
    KB_ASSIGN_OR_RETURN(parts, PartsOf(*options.file_system, options.path));
  }
  for (const Part& part : parts) {
    KB_ASSIGN_OR_RETURN(std::optional<SegmentScan> opened, OpenPart(*options.file_system, options.path, part));
    if (!opened) continue;
    SegmentScan& scan = *opened;
    // Ask before the count: of a writer that is gone by now, all is counted.
    const absl::StatusOr<bool> alive = scan.scan().WriterAlive();
    const std::string writer = !alive.ok() ? "unknown" : *alive ? "alive" : "gone";
    const Counts counts = Count(scan);
    if (!options.json && &part != &parts.front()) output.Line("");
    Show(FactsOf(part, scan, counts, writer, options.json), options.json, output);
    if (!output.open()) break;
  }
  return well;
}

}  // namespace kekbit
