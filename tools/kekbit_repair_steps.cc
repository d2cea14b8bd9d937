#include "tools/kekbit_repair_steps.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/journal_base.h"
#include "kekbit/replication/recovery/recovery.h"

namespace kekbit {
namespace {

const Move* Find(const std::vector<Move>& moves, const std::string& path) {
  const auto found = std::find_if(moves.begin(), moves.end(), [&](const Move& move) { return move.path == path; });
  return found == moves.end() ? nullptr : &*found;
}

}  // namespace

Aside RepairSteps::AsideFor(const std::string& why) const {
  return Aside(fs_, layout_, why, Clock::System().RealtimeNanos());
}

absl::Status RepairSteps::MoveAside(const Move& move) {
  KB_ASSIGN_OR_RETURN(const std::string kept, AsideFor(move.reason).Move(move.path));
  on_kept_(kept);
  return absl::OkStatus();
}

absl::Status RepairSteps::KeepCopy(const std::string& path, const std::string& why) {
  KB_ASSIGN_OR_RETURN(const std::string kept, AsideFor(why).CopyFile(path));
  on_kept_(kept);
  return absl::OkStatus();
}

absl::StatusOr<std::string> RepairSteps::PathOfNext(const std::string& path) {
  std::string next = absl::StrCat(path, ".next");
  // A file that a repair left when it died says nothing.
  const absl::Status unlinked = fs_.Unlink(next);
  if (!absl::IsNotFound(unlinked)) KB_RETURN_IF_ERROR(unlinked);
  return next;
}

absl::Status RepairSteps::Replace(const Move& bad, const std::string& ready) {
  constexpr uint64_t kSmall = 1 << 20;
  const absl::StatusOr<std::unique_ptr<File>> file = fs_.Open(bad.path, Access::kRead);
  const absl::StatusOr<FileInfo> info = file.ok() ? (*file)->Info() : file.status();
  if (info.ok() && info->size > 0 && info->size <= kSmall) {
    KB_RETURN_IF_ERROR(KeepCopy(bad.path, bad.reason));
  } else {
    KB_RETURN_IF_ERROR(MoveAside(bad));
  }
  KB_RETURN_IF_ERROR(fs_.Rename(ready, bad.path));
  return fs_.SyncDirectory(layout_.directory());
}

absl::Status RepairSteps::RaiseEpoch(const RepairPlan& plan, bool cuts) {
  const Move* const bad = Find(plan.evidence, layout_.epoch());
  std::string path = layout_.epoch();
  if (bad != nullptr) {
    KB_ASSIGN_OR_RETURN(path, PathOfNext(path));
  } else {
    const absl::StatusOr<Epoch> known = EpochStore::Read(fs_, path);
    if (!cuts || (known.ok() && *known >= plan.newest_epoch)) return absl::OkStatus();
  }
  KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(fs_, path));
  KB_RETURN_IF_ERROR(epochs.Grant(plan.newest_epoch).status());
  return bad == nullptr ? absl::OkStatus() : Replace(*bad, path);
}

absl::Status RepairSteps::Apply(const RepairPlan& plan, const std::function<bool(const Move&)>& is_done) {
  KB_RETURN_IF_ERROR(RaiseEpoch(plan, plan.cuts()));
  for (const Move& move : plan.moves) {
    if (!is_done(move)) KB_RETURN_IF_ERROR(MoveAside(move));
  }
  KB_RETURN_IF_ERROR(MendEnd(plan));
  for (const Move& move : plan.evidence) {
    const bool replaced = move.path == layout_.epoch() || move.path == layout_.synced();
    if (!replaced) KB_RETURN_IF_ERROR(MoveAside(move));
  }
  // Prove the repair: a replica finds its place.
  KB_ASSIGN_OR_RETURN(const StartSurvey survey, SurveyStart(fs_, layout_));
  return survey.opens();
}

absl::Status RepairSteps::MendEnd(const RepairPlan& plan) {
  const Move* const bad_mark = Find(plan.evidence, layout_.synced());
  std::string mark_path = layout_.synced();
  if (bad_mark != nullptr) {
    KB_ASSIGN_OR_RETURN(mark_path, PathOfNext(mark_path));
  }
  KB_ASSIGN_OR_RETURN(SyncMark mark, SyncMark::Open(fs_, mark_path));
  // The mark that can't be read may have said that a sync has failed.
  if (bad_mark != nullptr) mark.Poison(1);
  KB_RETURN_IF_ERROR(SettlePoison(fs_, layout_, mark, WriterIs::kAsLocked));
  RecoveryOptions options;
  // Lose frames by the operator's word, or since nothing is lost by that.
  if (plan.needs_word || !plan.base.joins) options.lose_from = plan.end.tail.facts.bad_seq;
  if (plan.base.snapshot) {
    options.known.push_back(
        {.seq = plan.base.snapshot->seq, .what = absl::StrCat("the snapshot ", plan.base.snapshot->path)});
  }
  if (options.lose_from) {
    Aside aside = AsideFor(absl::StrCat("the journal is cut before seq ", *options.lose_from));
    std::vector<std::string> kept;
    KB_RETURN_IF_ERROR(SetIncarnationAside(fs_, layout_, aside, kept));
    for (const std::string& path : kept) on_kept_(path);
  }
  KB_ASSIGN_OR_RETURN(JournalReader reader, plan.base.Open(fs_, layout_));
  RecoveryOutcome outcome;
  do {
    while (reader.Next()) {
    }
    KB_ASSIGN_OR_RETURN(outcome, RecoverTail(fs_, layout_, reader, mark, options));
    for (const std::string& path : outcome.aside) on_kept_(path);
  } while (outcome.read_on);
  const Seq last = plan.end.last.position.seq;
  if (mark.synced() > last) {
    // The file speaks of what is no part of the journal any more.
    KB_RETURN_IF_ERROR(KeepCopy(mark_path, absl::StrCat("the journal was cut after seq ", last)));
    KB_RETURN_IF_ERROR(mark.GiveUpAfter(last));
  }
  return bad_mark == nullptr ? absl::OkStatus() : Replace(*bad_mark, mark_path);
}

}  // namespace kekbit
