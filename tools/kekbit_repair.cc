// The command Repair.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/lease/lease.h"
#include "kekbit/replication/recovery/journal_base.h"
#include "kekbit/replication/recovery/journal_files.h"
#include "kekbit/replication/recovery/repair_hint.h"
#include "kekbit/replication/recovery/repair_plan.h"
#include "kekbit/replication/stats/replica_facts.h"
#include "kekbit/replication/stats/stats_files.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_give_up.h"
#include "tools/kekbit_json.h"
#include "tools/kekbit_parts.h"
#include "tools/kekbit_repair_steps.h"

namespace kekbit {
namespace {

class Repairer final {
 public:
  Repairer(const CommandOptions& options, Output& output)
      : options_(options),
        output_(output),
        fs_(*options.file_system),
        layout_(options.path),
        steps_(fs_, layout_, [this](const std::string& kept) { Say("kept", kept, kept); }) {}

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
    if (options_.lose_from && plan.nothing()) return RunGiveUp(plan);
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
    KB_RETURN_IF_ERROR(steps_.Apply(plan, [this](const Move& move) { return IsOfLease(move); }));
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

  // Where a directory stands in the lease's place, nobody has the lease, and the directory must go
  // first.
  absl::StatusOr<Lease> MoveAndTakeLease(const RepairPlan& plan) {
    for (const Move& move : plan.moves) {
      if (IsOfLease(move)) KB_RETURN_IF_ERROR(steps_.MoveAside(move));
    }
    KB_ASSIGN_OR_RETURN(std::optional<Lease> lease, Lease::TryAcquire(fs_, layout_.lease()));
    if (!lease) return Led();
    return *std::move(lease);
  }

  // `text` begins with what it is about.
  void Say(absl::string_view action, const std::string& path, const std::string& text) {
    if (options_.json) {
      output_.Line(JsonLine().String("action", action).String("file", path).String("text", text).Take());
    } else {
      output_.Line(absl::StrCat(action, ": ", text));
    }
  }
  // Says something that is about to be done, or would be.
  void SayStep(absl::string_view action, const std::string& path, const std::string& text, bool done) {
    Say(done || options_.json ? std::string(action) : absl::StrCat("would ", action), path, text);
  }

  bool LacksWord(const RepairPlan& plan) const {
    return plan.needs_word && options_.lose_from != plan.end.tail.facts.bad_seq;
  }

  // The journal is sound, and an operator wants to go on without its last frames.
  absl::StatusOr<bool> RunGiveUp(const RepairPlan& repair) {
    const Seq from = *options_.lose_from;
    KB_ASSIGN_OR_RETURN(const GiveUpPlan plan, PlanGiveUp(fs_, layout_, from));
    if (options_.apply) {
      KB_RETURN_IF_ERROR(CheckNobodyFollows());
      KB_RETURN_IF_ERROR(CheckNobodyReads(plan));
    }
    if (plan.frames() == 0) {
      SaySound(repair);
      Say("nothing", layout_.directory(), absl::StrCat("to be lost: there is no seq ", from));
      if (!options_.apply) return true;
    } else {
      ShowGiveUp(plan);
    }
    if (!options_.apply) return false;
    KB_RETURN_IF_ERROR(steps_.RaiseEpoch(repair, /*cuts=*/true));
    KB_ASSIGN_OR_RETURN(const std::vector<std::string> kept, GiveUp(fs_, layout_, plan, Clock::System()));
    for (const std::string& path : kept) Say("kept", path, path);
    KB_ASSIGN_OR_RETURN(const StartSurvey survey, SurveyStart(fs_, layout_));
    KB_RETURN_IF_ERROR(survey.opens());
    Say("done", layout_.directory(), absl::StrCat("the journal ends with seq ", from - 1));
    return true;
  }

  void ShowGiveUp(const GiveUpPlan& plan) {
    const bool done = options_.apply;
    const std::string synced =
        plan.synced < plan.from
            ? "none of it is known to have been acknowledged as synced"
            : absl::StrCat("what was up to seq ", std::min(plan.synced, plan.last), " was acknowledged as synced");
    SayStep("lose", layout_.directory(),
            absl::StrCat(plan.frames(), " frame(s), seq ", plan.from, " to ", plan.last, ", written from ",
                         TimeText(plan.first_time_ns), " to ", TimeText(plan.last_time_ns), "; ", synced),
            done);
    for (const std::string& path : plan.snapshots) {
      SayStep("move", path, absl::StrCat(path, " to ", layout_.aside(), ": it holds the effect of what is lost"), done);
    }
    for (const std::string& reader : plan.readers) {
      SayStep("tell", JoinPath(layout_.readers(), reader),
              absl::StrCat("reader ", reader,
                           ", by OutOfRange, that a frame that it was done with is lost; it goes on "
                           "after Reset()"),
              done);
    }
    if (!done) {
      Say("run", layout_.directory(),
          absl::StrCat("kekbit repair ", ShellQuoted(layout_.directory()), " --apply --lose-from ", plan.from));
    }
  }

  static std::string TimeText(int64_t time_ns) {
    return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromUnixNanos(time_ns), absl::UTCTimeZone());
  }

  // A registered reader has no replica, but may have read what is to be lost.
  absl::Status CheckNobodyReads(const GiveUpPlan& plan) const {
    if (plan.living.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(JoinPath(layout_.readers(), plan.living.front()),
                                                      ": this reader follows the journal; end it, then repair; nothing "
                                                      "is done"));
  }

  // In a journal that is not sound, `lose_from` names what is damaged: whoever names something else
  // is mistaken.
  absl::Status CheckLoseFrom(const RepairPlan& plan) const {
    if (!options_.lose_from || plan.needs_word) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "--lose-from ", *options_.lose_from, ": no frame of ", layout_.directory(),
        " that was acknowledged is damaged; what is left to do needs no --lose-from, and leaves everything "
        "up to ",
        plan.end.last.position.ToString(), "; repair without it first"));
  }

  // Returns where a replica begins, if not with seq 1.
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
    for (const std::vector<Move>* moves : {&plan.moves, &plan.evidence}) {
      for (const Move& move : *moves) {
        SayStep("move", move.path, absl::StrCat(move.path, " to ", layout_.aside(), ": ", move.reason), done);
      }
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
      Say("run", layout_.directory(),
          absl::StrCat("kekbit repair ", ShellQuoted(layout_.directory()), " --apply", lose));
    }
  }

  static std::string DamageText(const RepairPlan& plan) {
    const JournalTail& tail = plan.end.tail;
    if (plan.base.joins) {
      return absl::StrCat(tail.what, "; seq ", tail.facts.bad_seq,
                          plan.doubt.empty() ? absl::StrCat(" was on the disk once: ", tail.evidence)
                                             : absl::StrCat(" may have been acknowledged as synced: ", plan.doubt));
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

  // Shows what only an operator can decide.
  void Choose(const RepairPlan& plan) {
    const JournalTail& tail = plan.end.tail;
    const Seq bad = tail.facts.bad_seq;
    const Seq synced = std::max({tail.facts.synced_by_mark, tail.facts.synced_by_frames, tail.facts.synced_by_others});
    const std::string all = bad == 1 ? "everything" : absl::StrCat("every command from seq ", bad, " on");
    Say("choose", layout_.directory(),
        absl::StrCat(
            "bring back the file from a backup if there is one (all replicas share these files, none has a copy "
            "of its own). To go on without, from seq ",
            bad - 1, ": kekbit repair ", ShellQuoted(layout_.directory()), " --apply --lose-from ", bad,
            ". That loses ", all,
            synced >= bad ? absl::StrCat(", of which those up to seq ", synced, " were synced") : "", "; ",
            FoundBehind(plan)));
  }

  // A follower would go on with what it has read, and wait in vain.
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

  const CommandOptions& options_;
  Output& output_;
  FileSystem& fs_;
  const JournalLayout layout_;
  RepairSteps steps_;
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
