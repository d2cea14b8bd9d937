// The command Repair.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/clock.h"
#include "kekbit/status_macros.h"
#include "replication/aside.h"
#include "replication/journal_layout.h"
#include "replication/lease.h"
#include "replication/recovery.h"
#include "replication/sync_mark.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_tail.h"

namespace kekbit {
namespace {

class Repairer final {
 public:
  Repairer(const CommandOptions& options, Output& output)
      : options_(options), output_(output), fs_(*options.file_system), layout_(options.path) {}

  absl::StatusOr<bool> Run() {
    KB_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(layout_.directory()));
    KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout_.ListSegments(fs_));
    if (segments.empty() && !fs_.Info(layout_.epoch()).ok()) {
      return absl::FailedPreconditionError(absl::StrCat(options_.path, ": a directory without a journal"));
    }
    std::optional<Lease> lease;
    KB_ASSIGN_OR_RETURN(bool held, LeaseHeld(fs_, layout_));
    if (!held && options_.apply) {
      KB_ASSIGN_OR_RETURN(lease, Lease::TryAcquire(fs_, layout_.lease()));
      held = !lease.has_value();
    }
    if (held) {
      return absl::FailedPreconditionError(absl::StrCat(
          layout_.lease(), ": a primary lives, or is about to be one; only a journal that nobody leads is repaired"));
    }
    KB_RETURN_IF_ERROR(RepairSmallFiles());
    absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs_, layout_.synced());
    KB_ASSIGN_OR_RETURN(const JournalEnd end, FindEnd(fs_, layout_, mark.ok() ? &*mark : nullptr));
    const bool cut = ShowTail(end);
    if (!options_.apply) return left_ == 0;
    if (end.tail.verdict == TailVerdict::kDamaged && !cut) return false;
    KB_RETURN_IF_ERROR(ApplyToTail(end));
    Say("done", layout_.directory(), absl::StrCat("the journal ends with ", end.last.position.ToString()));
    return true;
  }

 private:
  // `text` begins with what is done, or is to be.
  void Say(absl::string_view action, const std::string& path, const std::string& text) {
    if (options_.json) {
      output_.Line(JsonLine().String("action", action).String("file", path).String("text", text).Take());
    } else {
      output_.Line(absl::StrCat(action, ": ", text));
    }
  }
  void Plan(absl::string_view action, const std::string& path, const std::string& text) {
    ++left_;
    Say(action, path, text);
  }

  // One that is damaged is made anew when it is wanted; the lease's lock needs no content.
  absl::Status RepairSmallFiles() {
    for (const BadFile& bad : CheckSmallFiles(fs_, layout_)) {
      if (bad.path == layout_.lease()) continue;
      Plan("move", bad.path, absl::StrCat(bad.path, " is moved to ", layout_.aside(), ": ", bad.reason));
      if (options_.apply) {
        KB_RETURN_IF_ERROR(Aside(fs_, layout_, bad.reason, Clock::System().RealtimeNanos()).Move(bad.path).status());
      }
    }
    return absl::OkStatus();
  }

  // Says what the end of the journal is; whether it is to be cut.
  bool ShowTail(const JournalEnd& end) {
    const JournalTail& tail = end.tail;
    const Seq bad = tail.facts.bad_seq;
    if (tail.verdict == TailVerdict::kClean) {
      Say("sound", tail.path,
          absl::StrCat("the journal ends with ", end.last.position.ToString(), " at offset ", tail.offset, " of ",
                       tail.path));
      return false;
    }
    const bool damaged = tail.verdict == TailVerdict::kDamaged;
    Plan(damaged ? "damage" : "torn", tail.path,
         damaged ? absl::StrCat(tail.what, "; seq ", bad, " was on the disk once: ", tail.evidence) : tail.what);
    const std::string behind =
        tail.whole_frames == 0
            ? "no whole frame was found behind it"
            : absl::StrCat(tail.whole_frames, " whole frame(s) were found behind it, up to seq ", tail.last_whole_seq);
    if (damaged && options_.lose_from != bad) {
      const Seq synced =
          std::max({tail.facts.synced_by_mark, tail.facts.synced_by_frames, tail.facts.synced_by_others});
      Say("choose", layout_.directory(),
          absl::StrCat(
              "bring back the file from a copy or another replica if there is one. To go on without, from seq ",
              end.last.position.seq, ": kekbit repair ", layout_.directory(), " --apply --lose-from ", bad,
              ". That loses every command from seq ", bad, " on",
              synced >= bad ? absl::StrCat(", of which those up to seq ", synced, " were synced") : "", "; ", behind));
      return false;
    }
    if (tail.occupied) {
      Plan("cut", tail.path,
           absl::StrCat(tail.end - tail.offset, " bytes from offset ", tail.offset, " of ", tail.path,
                        " on are copied to ", layout_.aside(), ", and the segment is closed there; ", behind));
    }
    for (const SegmentNumber number : tail.beyond) {
      Plan("move", layout_.segment(number), absl::StrCat(layout_.segment(number), " is moved to ", layout_.aside()));
    }
    return true;
  }

  absl::Status ApplyToTail(const JournalEnd& end) {
    KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs_, layout_.synced()));
    KB_RETURN_IF_ERROR(PrepareForTrust(fs_, layout_, mark));
    RecoveryOptions options = {.lose_from = options_.lose_from};
    KB_ASSIGN_OR_RETURN(JournalReader reader, OpenAtStart(fs_, layout_, options.known));
    RecoveryOutcome outcome;
    do {
      while (reader.Next()) {
      }
      KB_ASSIGN_OR_RETURN(outcome, RecoverTail(fs_, layout_, reader, mark, options));
      for (const std::string& path : outcome.aside) Say("kept", path, path);
    } while (outcome.read_on);
    if (mark.synced() <= end.last.position.seq) return absl::OkStatus();
    // It speaks of what is no part of the journal any more.
    Aside aside(fs_, layout_, absl::StrCat("the journal was cut behind seq ", end.last.position.seq),
                Clock::System().RealtimeNanos());
    KB_ASSIGN_OR_RETURN(const std::string kept, aside.Move(layout_.synced()));
    Say("kept", kept, kept);
    KB_ASSIGN_OR_RETURN(SyncMark fresh, SyncMark::Open(fs_, layout_.synced()));
    fresh.Advance(end.last.position.seq);
    return absl::OkStatus();
  }

  const CommandOptions& options_;
  Output& output_;
  FileSystem& fs_;
  const JournalLayout layout_;
  int left_ = 0;  // things to do
};

}  // namespace

absl::StatusOr<bool> Repair(const CommandOptions& options, Output& output) { return Repairer(options, output).Run(); }

}  // namespace kekbit
