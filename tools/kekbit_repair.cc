// The command Repair.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/recovery/aside.h"
#include "kekbit/replication/recovery/recovery.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "kekbit/replication/stats/stats_files.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_repair_plan.h"
#include "tools/kekbit_segment.h"
#include "tools/kekbit_small_files.h"
#include "tools/kekbit_start.h"

namespace kekbit {
namespace {

// Whether the path can stand in a shell's command as it is.
std::string Quoted(const std::string& path) {
  constexpr char kPlain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:@%/";
  if (!path.empty() && path.find_first_not_of(kPlain) == std::string::npos) return path;
  std::string quoted = "'";
  for (const char c : path) absl::StrAppend(&quoted, c == '\'' ? "'\\''" : std::string(1, c));
  return absl::StrCat(quoted, "'");
}

class Repairer final {
 public:
  Repairer(const CommandOptions& options, Output& output)
      : options_(options), output_(output), fs_(*options.file_system), layout_(options.path) {}

  absl::StatusOr<bool> Run() {
    KB_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(layout_.directory()));
    if (!HoldsJournal(fs_, layout_)) {
      return absl::FailedPreconditionError(absl::StrCat(options_.path, ": a directory without a journal"));
    }
    std::optional<Lease> lease;
    KB_ASSIGN_OR_RETURN(bool held, LeaseHeld(fs_, layout_));
    if (!held && options_.apply && LeaseCanBeTaken(fs_, layout_)) {
      KB_ASSIGN_OR_RETURN(lease, Lease::TryAcquire(fs_, layout_.lease()));
      held = !lease.has_value();
    }
    if (held) return Led();
    if (!AsideCanBeUsed(fs_, layout_)) {
      return absl::FailedPreconditionError(absl::StrCat(
          layout_.aside(), ": is a file, not a directory, so nothing can be kept there; move it away by hand first"));
    }
    KB_ASSIGN_OR_RETURN(const RepairPlan plan, PlanRepair(fs_, layout_));
    KB_RETURN_IF_ERROR(CheckLoseFrom(plan));
    const bool nothing = plan.nothing();
    const bool applies = options_.apply && !nothing && !LacksWord(plan);
    if (applies) KB_RETURN_IF_ERROR(CheckNobodyFollows());
    if (plan.left) {
      Say("left", plan.left->path,
          absl::StrCat(plan.left->reason,
                       "; a replica begins behind that place, and the segment goes when the journal is cut"));
    }
    if (nothing) {
      SaySound(plan);
    } else {
      Show(plan);
    }
    if (!applies) return nothing;
    if (!lease) {
      KB_ASSIGN_OR_RETURN(lease, MoveAndTakeLease(plan));
    }
    KB_RETURN_IF_ERROR(Apply(plan));
    Say("done", layout_.directory(),
        absl::StrCat("the journal ends with ", plan.end.last.position.ToString(), From(plan.base)));
    return true;
  }

 private:
  absl::Status Led() const {
    KB_RETURN_IF_ERROR(Lease::CheckLocks(fs_, layout_.lease(), LockSearch::kProcesses));
    return absl::FailedPreconditionError(absl::StrCat(
        layout_.lease(), ": a primary lives, or is about to be one; only a journal that nobody leads is repaired"));
  }

  bool IsOfLease(const Move& move) const { return move.path == layout_.lease() || move.path == LeaseNext(layout_); }

  // Where a directory stands in the lease's place, nobody has it, and it must go first.
  absl::StatusOr<Lease> MoveAndTakeLease(const RepairPlan& plan) {
    for (const Move& move : plan.moves) {
      if (IsOfLease(move)) KB_RETURN_IF_ERROR(MoveAside(move));
    }
    KB_ASSIGN_OR_RETURN(std::optional<Lease> lease, Lease::TryAcquire(fs_, layout_.lease()));
    if (!lease) return Led();
    return *std::move(lease);
  }

  absl::Status MoveAside(const Move& move) {
    Aside aside(fs_, layout_, move.reason, Clock::System().RealtimeNanos());
    KB_ASSIGN_OR_RETURN(const std::string kept, aside.Move(move.path));
    Say("kept", kept, kept);
    return absl::OkStatus();
  }

  // `text` begins with what it is about.
  void Say(absl::string_view action, const std::string& path, const std::string& text) {
    if (options_.json) {
      output_.Line(JsonLine().String("action", action).String("file", path).String("text", text).Take());
    } else {
      output_.Line(absl::StrCat(action, ": ", text));
    }
  }
  // Something that is about to be done, or would be.
  void SayStep(absl::string_view action, const std::string& path, const std::string& text, bool done) {
    Say(done || options_.json ? std::string(action) : absl::StrCat("would ", action), path, text);
  }

  bool LacksWord(const RepairPlan& plan) const {
    return plan.needs_word && options_.lose_from != plan.end.tail.facts.bad_seq;
  }

  // It is only for what is damaged: whoever gives it elsewhere is mistaken.
  absl::Status CheckLoseFrom(const RepairPlan& plan) const {
    if (!options_.lose_from || plan.needs_word) return absl::OkStatus();
    const std::string end = plan.end.last.position.ToString();
    return absl::FailedPreconditionError(
        absl::StrCat("--lose-from ", *options_.lose_from, ": no frame of ", layout_.directory(),
                     " that was acknowledged is damaged, so none is given up; ",
                     plan.nothing() ? absl::StrCat("the journal is sound, and ends with ", end)
                                    : absl::StrCat("what is left to do needs no --lose-from, and leaves "
                                                   "everything up to ",
                                                   end)));
  }

  // Where a replica begins, if not with seq 1.
  static std::string From(const JournalBase& base) {
    return base.snapshot ? absl::StrCat("; a replica begins with the snapshot ", base.snapshot->path) : "";
  }

  void SaySound(const RepairPlan& plan) {
    const JournalTail& tail = plan.end.tail;
    Say("sound", tail.path,
        absl::StrCat("the journal ends with ", plan.end.last.position.ToString(), " at offset ", tail.offset, " of ",
                     tail.path, From(plan.base)));
  }

  void Show(const RepairPlan& plan) {
    const bool lacks_word = LacksWord(plan);
    const bool done = options_.apply && !lacks_word;
    const JournalTail& tail = plan.end.tail;
    if (plan.cuts()) {
      const bool torn = tail.verdict == TailVerdict::kTorn && plan.base.joins;
      Say(torn ? "torn" : "damage", tail.path, torn ? tail.what : DamageText(plan));
    }
    for (const Move& move : plan.moves) {
      SayStep("move", move.path, absl::StrCat(move.path, " to ", layout_.aside(), ": ", move.reason), done);
    }
    for (const std::string& path : plan.unclosed) {
      SayStep("close", path, absl::StrCat(path, ": behind its last frame; the file is shorter than its header says"),
              done);
    }
    if (plan.cuts() && !lacks_word) ShowCut(plan, done);
    if (lacks_word) {
      Choose(plan);
    } else if (!done) {
      const std::string lose = plan.needs_word ? absl::StrCat(" --lose-from ", tail.facts.bad_seq) : "";
      Say("run", layout_.directory(), absl::StrCat("kekbit repair ", Quoted(layout_.directory()), " --apply", lose));
    }
  }

  static std::string DamageText(const RepairPlan& plan) {
    const JournalTail& tail = plan.end.tail;
    if (plan.base.joins) {
      return absl::StrCat(tail.what, "; seq ", tail.facts.bad_seq, " was on the disk once: ", tail.evidence);
    }
    if (!plan.base.snapshot) return "the beginning of the journal is not kept, and there is no good snapshot";
    return absl::StrCat("the journal does not go on behind the snapshot ", plan.base.snapshot->path, ": ",
                        plan.base.snapshot->joins.message());
  }

  static std::string FoundBehind(const RepairPlan& plan) {
    const JournalTail& tail = plan.end.tail;
    if (tail.whole_frames == 0) return "no whole frame was found behind it";
    if (!plan.base.joins) return absl::StrCat("whole frames are there up to seq ", tail.last_whole_seq);
    return absl::StrCat(tail.whole_frames, " whole frame(s) were found behind it, up to seq ", tail.last_whole_seq);
  }

  void ShowCut(const RepairPlan& plan, bool done) {
    const JournalTail& tail = plan.end.tail;
    if (tail.occupied) {
      SayStep(
          "cut", tail.path,
          absl::StrCat(tail.end - tail.offset, " bytes from offset ", tail.offset, " of ", tail.path,
                       " on are copied to ", layout_.aside(), ", and the segment is closed there; ", FoundBehind(plan)),
          done);
    }
    for (const SegmentNumber number : tail.beyond) {
      SayStep("move", layout_.segment(number), absl::StrCat(layout_.segment(number), " to ", layout_.aside()), done);
    }
    if (!plan.base.joins && plan.base.snapshot && !plan.needs_word) {
      Say("loss", layout_.directory(),
          absl::StrCat("none: the snapshot holds the effects of every command that is known, up to seq ",
                       plan.base.snapshot->seq));
    }
  }

  // What only an operator can decide.
  void Choose(const RepairPlan& plan) {
    const JournalTail& tail = plan.end.tail;
    const Seq bad = tail.facts.bad_seq;
    const Seq synced = std::max({tail.facts.synced_by_mark, tail.facts.synced_by_frames, tail.facts.synced_by_others});
    const std::string all = bad == 1 ? "everything" : absl::StrCat("every command from seq ", bad, " on");
    Say("choose", layout_.directory(),
        absl::StrCat("bring back the file from a copy or another replica if there is one. To go on without, from seq ",
                     bad - 1, ": kekbit repair ", Quoted(layout_.directory()), " --apply --lose-from ", bad,
                     ". That loses ", all,
                     synced >= bad ? absl::StrCat(", of which those up to seq ", synced, " were synced") : "", "; ",
                     FoundBehind(plan)));
  }

  // A follower would go on with what it has read, and wait for what never comes.
  absl::Status CheckNobodyFollows() {
    for (const std::string& path : ListStatsFiles(fs_, layout_)) {
      const absl::StatusOr<ReplicaFacts> replica = ReadReplicaStats(fs_, path);
      if (!replica.ok() || !replica->alive || replica->role == Role::kStopped) continue;
      return absl::FailedPreconditionError(absl::StrCat(layout_.directory(), ": a replica in process ",
                                                        replica->process.pid,
                                                        " follows the journal; end it, then repair; nothing is done"));
    }
    return absl::OkStatus();
  }

  absl::Status Apply(const RepairPlan& plan) {
    for (const Move& move : plan.moves) {
      if (!IsOfLease(move)) KB_RETURN_IF_ERROR(MoveAside(move));
    }
    KB_RETURN_IF_ERROR(ApplyToTail(plan));
    // The proof: a replica finds its place.
    KB_ASSIGN_OR_RETURN(const JournalStart start, FindStart(fs_, layout_));
    return start.opens();
  }

  absl::Status ApplyToTail(const RepairPlan& plan) {
    KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs_, layout_.synced()));
    KB_RETURN_IF_ERROR(PrepareForTrust(fs_, layout_, mark));
    RecoveryOptions options;
    // By the operator's word, or since nothing is lost by it.
    if (plan.needs_word || !plan.base.joins) options.lose_from = plan.end.tail.facts.bad_seq;
    if (plan.base.snapshot) {
      options.known.push_back(
          {.seq = plan.base.snapshot->seq, .what = absl::StrCat("the snapshot ", plan.base.snapshot->path)});
    }
    KB_ASSIGN_OR_RETURN(JournalReader reader, plan.base.Open(fs_, layout_));
    RecoveryOutcome outcome;
    do {
      while (reader.Next()) {
      }
      KB_ASSIGN_OR_RETURN(outcome, RecoverTail(fs_, layout_, reader, mark, options));
      for (const std::string& path : outcome.aside) Say("kept", path, path);
    } while (outcome.read_on);
    const Seq last = plan.end.last.position.seq;
    if (mark.synced() <= last) return absl::OkStatus();
    // It speaks of what is no part of the journal any more.
    Aside aside(fs_, layout_, absl::StrCat("the journal was cut behind seq ", last), Clock::System().RealtimeNanos());
    KB_ASSIGN_OR_RETURN(const std::string kept, aside.Move(layout_.synced()));
    Say("kept", kept, kept);
    KB_ASSIGN_OR_RETURN(SyncMark fresh, SyncMark::Open(fs_, layout_.synced()));
    fresh.Advance(last);
    return absl::OkStatus();
  }

  const CommandOptions& options_;
  Output& output_;
  FileSystem& fs_;
  const JournalLayout layout_;
};

}  // namespace

absl::StatusOr<bool> Repair(const CommandOptions& options, Output& output) {
  if (!IsDirectory(*options.file_system, options.path)) {
    KB_RETURN_IF_ERROR(options.file_system->Info(options.path).status());
    return absl::InvalidArgumentError(absl::StrCat(options.path, ": is no directory: only a journal is repaired"));
  }
  return Repairer(options, output).Run();
}

}  // namespace kekbit
