// The commands Archive, RestoreArchive and VerifyOfArchive.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/base/duration_text.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/archive_retention.h"
#include "kekbit/replication/archive/archiver.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/open_store.h"
#include "kekbit/replication/archive/restore.h"
#include "kekbit/replication/archive/verify_archive.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"

namespace kekbit {
namespace {

// Pauses between tries while the store or the journal fails.
constexpr absl::Duration kFirstPause = absl::Milliseconds(500);
constexpr absl::Duration kLongestPause = absl::Seconds(10);

// A line of progress comes at most so often.
constexpr absl::Duration kProgressEvery = absl::Seconds(1);

std::string HexText(uint64_t incarnation) { return absl::StrFormat("%016x", incarnation); }

std::string MebibytesText(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

void SayGap(const ArchiveProgress& progress, const CommandOptions& options, Output& output) {
  if (!progress.gap_before || options.json) return;
  output.Line(absl::StrCat("a gap: the journal no longer had the frames before seq ", *progress.gap_before));
}

void SayArchived(const ArchiveProgress& progress, const CommandOptions& options, Output& output) {
  SayGap(progress, options, output);
  if (options.json) {
    JsonLine line;
    line.Number("epoch", progress.end.epoch).Number("seq", progress.end.seq).Signed("time_ns", progress.end_time_ns);
    line.Number("frames", progress.frames).Number("bytes", progress.bytes);
    if (progress.gap_before) line.Number("gap_before", *progress.gap_before);
    output.Line(line.Take());
  } else if (progress.end.seq == 0) {
    output.Line("the journal holds nothing yet");
  } else {
    output.Line(absl::StrCat("archived up to ", progress.end.ToString(), " of ", TimeText(progress.end_time_ns), ": ",
                             progress.frames, " frames, ", MebibytesText(progress.bytes)));
  }
  output.Flush();
}

// Copies all that there is now; the sum of it.
absl::StatusOr<ArchiveProgress> CopyAll(Archiver& archiver, Output& output) {
  ArchiveProgress sum;
  while (output.open()) {
    KB_ASSIGN_OR_RETURN(const ArchiveProgress step, archiver.Step());
    sum.frames += step.frames;
    sum.bytes += step.bytes;
    sum.end = step.end;
    sum.end_time_ns = step.end_time_ns;
    if (step.gap_before) sum.gap_before = step.gap_before;
    if (!step.more) break;
  }
  return sum;
}

// The copier can do nothing about it: an operator has to.
bool IsForGood(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) || absl::IsDataLoss(status);
}

// Says what retention would let go.
absl::StatusOr<bool> SayRetention(ObjectStore& store, const ArchiveRetention& retention, const CommandOptions& options,
                                  Output& output) {
  KB_ASSIGN_OR_RETURN(const Incarnation incarnation,
                      ReadIncarnation(*options.file_system, JournalLayout(options.path)));
  KB_ASSIGN_OR_RETURN(const Manifest manifest, FindManifest(store, incarnation.id));
  const ArchiveRetentionPlan plan = PlanArchiveRetention(manifest, retention, absl::GetCurrentTimeNanos());
  uint64_t bytes = 0;
  const auto say = [&](const auto& entry) {
    bytes += entry.bytes;
    const std::string name = entry.Name(manifest.incarnation);
    output.Line(options.json ? JsonLine().String("goes", name).Number("bytes", entry.bytes).Take()
                             : absl::StrCat("would go: ", name));
  };
  for (size_t i = 0; i < plan.snapshots; ++i) say(manifest.snapshots[i]);
  for (size_t i = 0; i < plan.frames; ++i) say(manifest.frames[i]);
  if (options.json) return true;
  Manifest left = manifest;
  left.snapshots.erase(left.snapshots.begin(), left.snapshots.begin() + static_cast<std::ptrdiff_t>(plan.snapshots));
  left.frames.erase(left.frames.begin(), left.frames.begin() + static_cast<std::ptrdiff_t>(plan.frames));
  output.Line(absl::StrCat(plan.snapshots, " snapshots and ", plan.frames, " objects of frames would go, ",
                           MebibytesText(bytes), "; then could be restored: ", RangesText(RestorableRanges(left))));
  return true;
}

}  // namespace

absl::StatusOr<bool> Archive(const CommandOptions& options, Output& output) {
  FileSystem& fs = *options.file_system;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectStore> store, OpenStore(fs, options.archive));
  const ArchiveRetention retention = {.snapshots = options.keep_snapshots,
                                      .age_ns = absl::ToInt64Nanoseconds(options.keep_for)};
  if (options.dry_run) return SayRetention(*store, retention, options, output);
  ArchiverOptions archiver_options;
  archiver_options.retention = retention;
  archiver_options.reader = options.reader;
  archiver_options.compressed = options.zstd;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<Archiver> archiver,
                      Archiver::Open(fs, JournalLayout(options.path), *store, std::move(archiver_options)));
  if (!options.follow) {
    KB_ASSIGN_OR_RETURN(const ArchiveProgress progress, CopyAll(*archiver, output));
    SayArchived(progress, options, output);
    return true;
  }
  absl::Duration pause = kFirstPause;
  bool first = true;
  while (output.open()) {
    const absl::Time begin = absl::Now();
    const absl::StatusOr<ArchiveProgress> progress = CopyAll(*archiver, output);
    if (progress.ok()) {
      if (first || progress->frames != 0 || progress->bytes != 0) SayArchived(*progress, options, output);
      first = false;
      pause = kFirstPause;
      output.Wait(std::max(absl::ZeroDuration(), options.interval - (absl::Now() - begin)));
      continue;
    }
    if (IsForGood(progress.status())) return progress.status();
    const std::string text = absl::StrCat(progress.status().message(), "; tried again in ", DurationText(pause));
    output.Line(options.json ? JsonLine().String("error", text).Take() : absl::StrCat("not archived: ", text));
    output.Flush();
    output.Wait(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
  return true;
}

absl::StatusOr<bool> RestoreArchive(const CommandOptions& options, Output& output) {
  FileSystem& fs = *options.file_system;
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectStore> store, OpenStore(fs, options.archive));
  RestoreOptions restore;
  restore.target = {.seq = options.to_seq, .time_ns = options.to_time_ns};
  restore.incarnation = options.incarnation;
  absl::Time said = absl::Now();
  restore.on_progress = [&](const RestoreProgress& progress) {
    if (options.json || absl::Now() - said < kProgressEvery) return;
    said = absl::Now();
    output.Line(absl::StrCat("read ", MebibytesText(progress.bytes), " of ", MebibytesText(progress.of),
                             ", restored up to seq ", progress.seq));
    output.Flush();
  };
  KB_ASSIGN_OR_RETURN(const RestoreReport report, Restore(*store, fs, options.path, restore));
  if (options.json) {
    JsonLine line;
    line.String("directory", options.path).String("from_incarnation", HexText(report.from_incarnation));
    line.String("incarnation", HexText(report.incarnation)).Number("epoch", report.last.epoch);
    line.Number("seq", report.last.seq).Signed("time_ns", report.last_time_ns).Number("snapshot", report.snapshot);
    output.Line(line.Number("frames", report.frames).Take());
    return true;
  }
  output.Line(absl::StrCat(options.path, ": restored up to ", report.last.ToString(), " of ",
                           TimeText(report.last_time_ns), ": ",
                           report.snapshot == 0 ? "" : absl::StrCat("the snapshot of seq ", report.snapshot, " and "),
                           report.frames, " frames, from incarnation ", HexText(report.from_incarnation)));
  return true;
}

absl::StatusOr<bool> VerifyOfArchive(const CommandOptions& options, Output& output) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectStore> store, OpenStore(*options.file_system, options.path));
  const absl::StatusOr<ArchiveVerdict> verified = VerifyArchive(*store, options.incarnation);
  if (absl::IsDataLoss(verified.status())) {
    const absl::string_view what(verified.status().message().data(), verified.status().message().size());
    output.Line(options.json ? JsonLine().String("kind", "damage").String("what", what).Take()
                             : absl::StrCat("damage: ", what));
    return false;
  }
  KB_RETURN_IF_ERROR(verified.status());
  const ArchiveVerdict& verdict = *verified;
  for (const absl::Status& bad : verdict.bad) {
    const absl::string_view what(bad.message().data(), bad.message().size());
    output.Line(options.json ? JsonLine().String("kind", "damage").String("what", what).Take()
                             : absl::StrCat("damage: ", what));
  }
  const Manifest& manifest = verdict.manifest;
  const std::string since = verdict.whole_since_ns ? TimeText(*verdict.whole_since_ns) : "";
  if (options.json) {
    JsonLine line;
    line.String("kind", "archive").String("incarnation", HexText(manifest.incarnation));
    line.Number("objects", verdict.objects).Number("bytes", verdict.bytes).Number("bad", verdict.bad.size());
    line.Number("unnamed", verdict.unnamed);
    line.Number("last_seq", manifest.end().position.seq).Signed("last_time_ns", manifest.end().time_ns);
    line.String("restorable", RangesText(verdict.ranges)).String("every_moment_since", since);
    output.Line(line.Take());
  } else {
    output.Line(absl::StrCat(options.path, ": incarnation ", HexText(manifest.incarnation), ", ", verdict.objects,
                             " objects, ", MebibytesText(verdict.bytes), ", ", verdict.bad.size(),
                             " of them missing or damaged"));
    if (verdict.unnamed != 0) {
      output.Line(absl::StrCat(verdict.unnamed,
                               " objects that no manifest names: of a copier that died, or the newest ",
                               "manifest is gone"));
    }
    output.Line(absl::StrCat("can be restored: ", RangesText(verdict.ranges)));
    output.Line(since.empty() ? "the newest moment can't be restored"
                              : absl::StrCat("every moment since ", since, " can be restored"));
  }
  return verdict.bad.empty() && verdict.whole_since_ns.has_value();
}

}  // namespace kekbit
