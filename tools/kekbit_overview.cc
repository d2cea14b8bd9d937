#include "tools/kekbit_overview.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/replication/replica_options.h"
#include "kekbit/replication/retention/apply_retention.h"
#include "kekbit/replication/retention/reader_cursor.h"
#include "kekbit/replication/retention/retention.h"
#include "kekbit/replication/stats/histogram.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "tools/kekbit_json.h"

namespace kekbit {
namespace {

absl::string_view TextOf(const absl::Status& status) {
  return absl::string_view(status.message().data(), status.message().size());
}

// Returns seconds since the Unix epoch, for people.
std::string TimeText(int64_t unix_ns) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(unix_ns), absl::UTCTimeZone());
}

absl::string_view RoleText(const ReplicaFacts& facts) {
  if (!facts.role) return "unknown";
  switch (*facts.role) {
    case Role::kFollower:
      return "follower";
    case Role::kPrimary:
      return "primary";
    case Role::kStopped:
      return "stopped";
  }
  return "unknown";
}

// "ended": closed by its process; "died": it was not.
absl::string_view StateText(const ReplicaFacts& facts) {
  if (facts.alive) return "alive";
  return facts.ended_ns != 0 ? "ended" : "died";
}

uint64_t AliveOf(const JournalFacts& facts) {
  return static_cast<uint64_t>(std::count_if(facts.replicas.begin(), facts.replicas.end(),
                                             [](const ReplicaView& replica) { return replica.facts.alive; }));
}

// Returns the state for people, who want to see if a living replica hangs.
absl::string_view StateText(const ReplicaFacts& facts, const JournalFacts& journal) {
  const bool leads = facts.role == Role::kPrimary && facts.process == journal.holder;
  return facts.alive && leads && journal.primary_hangs() ? "hangs" : StateText(facts);
}

// Returns the process that holds the lease, if somebody does and says so.
std::optional<ProcessId> PrimaryOf(const JournalFacts& facts) { return facts.lease_held ? facts.holder : std::nullopt; }

// Whether the pid alone does not tell the process from another one that is shown: in different pid
// namespaces many are process 1, and a pid is used again.
bool IsAmbiguous(const JournalFacts& facts, const ProcessId& process) {
  const auto is_other = [&process](const ProcessId& other) { return other.pid == process.pid && other != process; };
  const std::optional<ProcessId> primary = PrimaryOf(facts);
  return (primary && is_other(*primary)) ||
         std::any_of(facts.replicas.begin(), facts.replicas.end(),
                     [&](const ReplicaView& replica) { return is_other(replica.facts.process); });
}

std::string ProcessText(const JournalFacts& facts, const ProcessId& process) {
  if (!IsAmbiguous(facts, process)) return absl::StrCat("pid ", process.pid);
  return absl::StrCat("pid ", process.pid, " of pid namespace ", process.pid_namespace, ", start time ",
                      process.start_time);
}

struct Rates {
  double frames = 0;  // per second
  double syncs = 0;
};

std::optional<Rates> RatesOf(const ReplicaFacts& now, const EarlierLook& earlier) {
  if (earlier.facts == nullptr || earlier.ago <= absl::ZeroDuration()) return std::nullopt;
  const double seconds = absl::ToDoubleSeconds(earlier.ago);
  const auto per_second = [seconds](uint64_t before, uint64_t after) {
    return static_cast<double>(after - std::min(before, after)) / seconds;
  };
  for (const ReplicaView& before : earlier.facts->replicas) {
    if (before.facts.path != now.path) continue;
    return Rates{.frames = per_second(before.facts.applied.seq, now.applied.seq),
                 .syncs = per_second(before.facts.sync_ns.count(), now.sync_ns.count())};
  }
  return std::nullopt;
}

void AddHistogram(absl::string_view name, absl::string_view unit, const Histogram& histogram, JsonLine& line) {
  const auto add = [&](absl::string_view what, uint64_t value) {
    line.Number(absl::StrCat(name, "_", what, unit), value);
  };
  line.Number(absl::StrCat(name, "_count"), histogram.count());
  if (histogram.count() == 0) return;
  add("p50", histogram.Percentile(50));
  add("p99", histogram.Percentile(99));
  add("p999", histogram.Percentile(99.9));
  add("max", histogram.max());
}

std::string ReplicaJson(const ReplicaView& replica, const EarlierLook& earlier) {
  const ReplicaFacts& facts = replica.facts;
  JsonLine line;
  line.String("kind", "replica").String("file", facts.path).Number("pid", facts.process.pid);
  line.Number("start_time", facts.process.start_time).Number("pid_namespace", facts.process.pid_namespace);
  line.String("state", StateText(facts)).String("role", RoleText(facts)).Bool("may_lead", facts.may_lead);
  line.Number("epoch", facts.epoch).Signed("role_since", facts.role_since_ns).Signed("created", facts.created_ns);
  if (facts.ended_ns != 0) line.Signed("ended", facts.ended_ns);
  line.Number("applied_epoch", facts.applied.epoch).Number("applied_seq", facts.applied.seq);
  line.Signed("applied_time", facts.applied_time_ns);
  line.Number("published_seq", facts.published.seq).Number("synced_seq", facts.synced);
  line.Number("lag_frames", replica.lag.frames);
  if (replica.lag.bytes) line.Number("lag_bytes", *replica.lag.bytes);
  line.Signed("lag_ns", replica.lag.time_ns);
  if (const std::optional<Rates> rates = RatesOf(facts, earlier)) {
    line.Number("frames_per_second", static_cast<uint64_t>(rates->frames));
    line.Number("syncs_per_second", static_cast<uint64_t>(rates->syncs));
  }
  AddHistogram("sync", "_ns", facts.sync_ns, line);
  AddHistogram("group", "", facts.group, line);
  AddHistogram("apply", "_ns", facts.apply_ns, line);
  AddHistogram("execute", "_ns", facts.execute_ns, line);
  if (facts.unkillable) {
    line.Number("unkillable_pid", facts.unkillable->process.pid);
    line.Number("unkillable_start_time", facts.unkillable->process.start_time);
    line.Number("unkillable_pid_namespace", facts.unkillable->process.pid_namespace);
    line.Signed("unkillable_since", facts.unkillable->at_ns);
  }
  line.Number("takeovers", facts.takeovers.count);
  if (facts.takeovers.count != 0) {
    const TakeoverReport& last = facts.takeovers.report;
    line.Signed("takeovers_ns", facts.takeovers.total_ns).Signed("takeover_at", facts.takeovers.at_ns);
    line.Number("takeover_epoch", last.epoch).Number("takeover_follows", last.follows);
    line.Signed("takeover_lease_ns", absl::ToInt64Nanoseconds(last.lease));
    line.Signed("takeover_drained_ns", absl::ToInt64Nanoseconds(last.drained));
    line.Signed("takeover_recovered_ns", absl::ToInt64Nanoseconds(last.recovered));
    line.Signed("takeover_synced_ns", absl::ToInt64Nanoseconds(last.synced));
    line.Signed("takeover_first_append_ns", absl::ToInt64Nanoseconds(last.first_append));
  }
  line.Number("snapshots", facts.snapshots.count);
  if (facts.snapshots.count != 0) {
    const SnapshotTaken& taken = facts.snapshots.taken;
    line.Number("snapshot_epoch", taken.position.epoch).Number("snapshot_seq", taken.position.seq);
    line.Signed("snapshot_at", facts.snapshots.at_ns).Number("snapshot_bytes", taken.bytes);
    line.Signed("snapshot_ns", taken.took_ns);
  }
  line.Number("errors", facts.last_error ? facts.last_error->count : 0);
  if (facts.last_error) {
    line.Signed("error_at", facts.last_error->at_ns);
    line.String("error_code", absl::StatusCodeToString(facts.last_error->status.code()));
    line.String("error", TextOf(facts.last_error->status));
  }
  return line.Take();
}

std::string PercentilesText(const Histogram& histogram) {
  return absl::StrCat("p50 ", NanosText(static_cast<int64_t>(histogram.Percentile(50))), ", p99 ",
                      NanosText(static_cast<int64_t>(histogram.Percentile(99))), ", p99.9 ",
                      NanosText(static_cast<int64_t>(histogram.Percentile(99.9))), ", max ",
                      NanosText(static_cast<int64_t>(histogram.max())));
}

constexpr absl::string_view kRowFormatHelp =
    "       pid  state  role      since                 epoch         applied    behind     bytes      time  frames/s";

void AddReplicaText(const JournalFacts& journal, const ReplicaView& replica, const EarlierLook& earlier,
                    std::vector<std::string>& lines) {
  const ReplicaFacts& facts = replica.facts;
  const std::optional<Rates> rates = RatesOf(facts, earlier);
  lines.push_back(
      absl::StrFormat("%10d  %-5s  %-8s  %-20s  %5d  %14d  %8d  %8s  %8s  %8s", facts.process.pid,
                      StateText(facts, journal), RoleText(facts), TimeText(facts.role_since_ns), facts.epoch,
                      facts.applied.seq, replica.lag.frames, replica.lag.bytes ? BytesText(*replica.lag.bytes) : "?",
                      NanosText(replica.lag.time_ns), rates ? absl::StrFormat("%.0f", rates->frames) : "-"));
  const auto add = [&lines](absl::string_view name, absl::string_view text) {
    lines.push_back(absl::StrFormat("            %-9s %s", name, text));
  };
  if (IsAmbiguous(journal, facts.process)) add("process", ProcessText(journal, facts.process));
  if (facts.unkillable) {
    add("hangs",
        absl::StrCat("pid ", facts.unkillable->process.pid, " of pid namespace ",
                     facts.unkillable->process.pid_namespace, ", which keeps the lease, and this replica can't ",
                     "kill it: seen at ", TimeText(facts.unkillable->at_ns)));
  }
  if (facts.apply_ns.count() != 0) add("apply", PercentilesText(facts.apply_ns));
  if (facts.execute_ns.count() != 0) add("execute", PercentilesText(facts.execute_ns));
  if (facts.sync_ns.count() != 0) {
    add("sync", absl::StrFormat("%d%s, %s; %.1f command(s) each, at most %d", facts.sync_ns.count(),
                                rates ? absl::StrFormat(" (%.0f/s)", rates->syncs) : "", PercentilesText(facts.sync_ns),
                                facts.group.mean(), facts.group.max()));
  }
  if (facts.takeovers.count != 0) {
    const TakeoverReport& last = facts.takeovers.report;
    const auto text = [](absl::Duration duration) { return NanosText(absl::ToInt64Nanoseconds(duration)); };
    add("takeover",
        absl::StrCat(facts.takeovers.count, ", the last into epoch ", last.epoch, ": lease ", text(last.lease),
                     ", drained ", text(last.drained), ", recovered ", text(last.recovered), ", synced ",
                     text(last.synced), ", first append ", text(last.first_append)));
  }
  if (facts.snapshots.count != 0) {
    const SnapshotTaken& taken = facts.snapshots.taken;
    add("snapshot", absl::StrCat(facts.snapshots.count, ", the last up to ", taken.position.ToString(), ", ",
                                 BytesText(taken.bytes), " in ", NanosText(taken.took_ns)));
  }
  if (facts.last_error) {
    // Quote the text: whatever the file holds, it must not reach the terminal raw.
    add("error", absl::StrCat(facts.last_error->count, ", the last at ", TimeText(facts.last_error->at_ns), ": ",
                              absl::StatusCodeToString(facts.last_error->status.code()), " ",
                              ToJsonString(TextOf(facts.last_error->status))));
  }
}

absl::string_view StateText(const CursorView& reader) {
  if (!reader.status.ok()) return "unreadable";
  return reader.lost() ? "lost" : "kept";
}

uint64_t BehindOf(const CursorView& reader, const JournalFacts& facts) {
  return facts.last.seq - std::min(reader.done.seq, facts.last.seq);
}

const ReaderHold* HoldOf(const CursorView& reader, const JournalFacts& facts) {
  for (const ReaderHold& hold : facts.holds) {
    if (hold.name == reader.name) return &hold;
  }
  return nullptr;
}

std::string ReaderJson(const CursorView& reader, const JournalFacts& facts) {
  JsonLine line;
  line.String("kind", "reader").String("name", reader.name).Bool("owned", reader.owned);
  line.String("place", StateText(reader));
  if (!reader.status.ok()) return line.String("reason", TextOf(reader.status)).Take();
  line.Number("done_epoch", reader.done.epoch).Number("done_seq", reader.done.seq);
  if (reader.lost()) line.Number("first_kept", reader.first_kept);
  line.Number("lag_frames", BehindOf(reader, facts));
  if (const ReaderHold* const hold = HoldOf(reader, facts); hold != nullptr) {
    line.Number("held_bytes", hold->bytes).Signed("held_since", hold->since_ns);
    line.Bool("warning", HoldIsWorrying(hold->owned, hold->bytes, facts.bytes));
  }
  return line.Take();
}

std::string ReaderText(const CursorView& reader, const JournalFacts& facts) {
  const std::string name =
      absl::StrCat(ToJsonString(reader.name), reader.owned ? ", somebody has it: " : ", nobody has it: ");
  if (!reader.status.ok()) return absl::StrCat(name, TextOf(reader.status));
  std::string text = absl::StrCat(name, "done up to seq ", reader.done.seq, ", ", BehindOf(reader, facts), " behind");
  if (reader.lost()) absl::StrAppend(&text, "; has lost its place, the first kept is ", reader.first_kept);
  return text;
}

// Nothing if nobody needs to look after the reader.
std::optional<std::string> HoldWarning(const ReaderHold& hold, const JournalFacts& facts) {
  if (!HoldIsWorrying(hold.owned, hold.bytes, facts.bytes)) return std::nullopt;
  return absl::StrCat("the reader ", ToJsonString(hold.name), hold.owned ? "" : ", which nobody has,", " holds ",
                      BytesText(hold.bytes), " of the journal",
                      hold.since_ns == 0 ? "" : absl::StrCat(", from ", TimeText(hold.since_ns), " on"),
                      "; if it does not come back: kekbit cursors DIR --remove NAME");
}

std::string PrimaryText(const JournalFacts& facts) {
  if (!facts.lease_held) return "none: the lease is free";
  const std::optional<ProcessId> primary = PrimaryOf(facts);
  return absl::StrCat(primary ? ProcessText(facts, *primary) : "somebody holds the lease and does not say who",
                      facts.holder_stopped ? ", stopped by a signal or a debugger" : "",
                      facts.primary_hangs() ? absl::StrCat(", no sign of life for ", DurationText(*facts.silent)) : "");
}

std::string FramesText(const JournalFacts& facts) {
  if (facts.last.seq == 0) return "none";
  std::string text =
      absl::StrCat("seq ", facts.first_seq, " to ", facts.last.seq, ", the last of epoch ", facts.last.epoch);
  if (facts.last_time_ns != 0) absl::StrAppend(&text, " at ", TimeText(facts.last_time_ns));
  return text;
}

}  // namespace

std::vector<std::string> OverviewJson(const JournalFacts& facts, const EarlierLook& earlier) {
  std::vector<std::string> lines;
  JsonLine line;
  line.String("kind", "journal").String("directory", facts.directory);
  if (!facts.state_name.empty()) line.String("state_name", facts.state_name);
  line.Number("epoch", facts.epoch);
  line.Number("first_seq", facts.first_seq).Number("last_epoch", facts.last.epoch).Number("last_seq", facts.last.seq);
  line.Signed("last_time", facts.last_time_ns);
  line.Number("segments", facts.segments).Number("first_segment", facts.first_segment);
  line.Number("last_segment", facts.last_segment).Number("bytes", facts.bytes);
  if (facts.synced) line.Number("synced", *facts.synced);
  if (facts.poisoned != 0) line.Number("poisoned", facts.poisoned);
  line.String("lease", facts.lease_held ? "held" : "free");
  if (const std::optional<ProcessId> primary = PrimaryOf(facts)) {
    line.Number("primary_start_time", primary->start_time).Number("primary_pid_namespace", primary->pid_namespace);
    line.Number("primary_pid", primary->pid);
  }
  if (facts.silent) {
    line.Signed("primary_silent_ns", absl::ToInt64Nanoseconds(*facts.silent));
    line.Bool("primary_hangs", facts.primary_hangs());
  }
  if (facts.holder_stopped) line.Bool("primary_stopped", true);
  line.Number("snapshots", facts.snapshots.size());
  if (!facts.snapshots.empty()) {
    const SnapshotView& newest = facts.snapshots.back();
    line.Number("newest_snapshot_seq", newest.seq).Number("newest_snapshot_bytes", newest.bytes);
  }
  const uint64_t alive = AliveOf(facts);
  line.Number("replicas_alive", alive).Number("replicas_dead", facts.replicas.size() - alive);
  if (!facts.end_status.ok()) line.String("reason", TextOf(facts.end_status));
  lines.push_back(line.Take());
  for (const ReplicaView& replica : facts.replicas) lines.push_back(ReplicaJson(replica, earlier));
  for (const CursorView& reader : facts.readers) lines.push_back(ReaderJson(reader, facts));
  for (const std::string& reason : facts.unreadable) {
    lines.push_back(line.String("kind", "unreadable").String("reason", reason).Take());
  }
  return lines;
}

std::vector<std::string> OverviewText(const JournalFacts& facts, const EarlierLook& earlier) {
  std::vector<std::string> lines;
  const auto add = [&lines](absl::string_view name, absl::string_view text) {
    lines.push_back(absl::StrFormat("%-16s %s", name, text));
  };
  add("journal", facts.directory);
  if (!facts.state_name.empty()) add("state", ToJsonString(facts.state_name));
  add("epoch", absl::StrCat(facts.epoch));
  add("frames", FramesText(facts));
  add("segments", absl::StrCat(facts.segments, ", ", facts.first_segment, " to ", facts.last_segment, ", ",
                               BytesText(facts.bytes)));
  if (facts.synced) {
    add("synced",
        absl::StrCat("seq ", *facts.synced, ", ", facts.last.seq - std::min(*facts.synced, facts.last.seq), " behind"));
  }
  if (facts.poisoned != 0) add("poisoned", absl::StrCat("segment ", facts.poisoned, ": a sync of it has failed"));
  if (!facts.end_status.ok()) add("unreadable", TextOf(facts.end_status));
  add("primary", PrimaryText(facts));
  std::vector<std::string> snapshots;
  for (const SnapshotView& snapshot : facts.snapshots) {
    snapshots.push_back(absl::StrCat("up to seq ", snapshot.seq, " (", BytesText(snapshot.bytes), ")"));
  }
  add("snapshots", snapshots.empty() ? "none" : absl::StrJoin(snapshots, ", "));
  const uint64_t alive = AliveOf(facts);
  add("replicas", absl::StrCat(alive, " alive, ", facts.replicas.size() - alive, " dead"));
  for (const CursorView& reader : facts.readers) add("reader", ReaderText(reader, facts));
  for (const ReaderHold& hold : facts.holds) {
    if (const std::optional<std::string> warning = HoldWarning(hold, facts)) add("warning", *warning);
  }
  for (const std::string& reason : facts.unreadable) add("unreadable", reason);
  if (facts.replicas.empty()) return lines;
  lines.emplace_back();
  lines.emplace_back(kRowFormatHelp);
  for (const ReplicaView& replica : facts.replicas) AddReplicaText(facts, replica, earlier, lines);
  return lines;
}

std::string NanosText(int64_t nanos) { return DurationText(absl::Nanoseconds(nanos)); }

std::string BytesText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes == 0) return "0";
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  auto value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat("%.3g %s", value, kUnits[unit]);
}

}  // namespace kekbit
