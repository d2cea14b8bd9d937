#include "kekbit/replication/recovery/journal_base.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal/seek.h"

namespace kekbit {
namespace {

bool IsOfTheJournal(const absl::Status& status) { return absl::IsDataLoss(status) || absl::IsOutOfRange(status); }

// Returns the last seq that is read from there.
absl::StatusOr<Seq> ReachOf(FileSystem& fs, const JournalLayout& layout, const JournalBase& base) {
  KB_ASSIGN_OR_RETURN(JournalReader reader, base.Open(fs, layout));
  while (reader.Next()) {
  }
  return reader.last().position.seq;
}

}  // namespace

absl::StatusOr<JournalReader> JournalBase::Open(FileSystem& fs, const JournalLayout& layout) const {
  const ChainLink link = snapshot ? snapshot->last : ChainLink{};
  if (!joins) {
    KB_ASSIGN_OR_RETURN(JournalPlace place, PlaceBeforeAll(fs, layout, link));
    return JournalReader::At(fs, layout, std::nullopt, std::move(place));
  }
  if (!snapshot) return ReadJournal(fs, layout);
  return ReadJournalAfter(fs, layout, std::nullopt, link);
}

absl::StatusOr<JournalBase> ChooseBase(FileSystem& fs, const JournalLayout& layout, const StartSurvey& survey) {
  std::vector<JournalBase> bases;
  for (const SnapshotSeen& snapshot : survey.snapshots) {
    if (!snapshot.joins.ok() && !IsOfTheJournal(snapshot.joins)) return snapshot.joins;
    if (snapshot.good.ok()) bases.push_back({.snapshot = snapshot, .joins = snapshot.joins.ok()});
  }
  const absl::Status from_start = ReadJournal(fs, layout).status();
  if (!from_start.ok() && !IsOfTheJournal(from_start)) return from_start;
  if (from_start.ok() || bases.empty()) bases.push_back({.snapshot = std::nullopt, .joins = from_start.ok()});
  KB_CHECK(!bases.empty());
  // A base that joins reads all that an older base reads.
  if (bases.front().joins) return bases.front();
  JournalBase best = bases.front();
  KB_ASSIGN_OR_RETURN(Seq best_reach, ReachOf(fs, layout, best));
  for (const JournalBase& base : bases) {
    KB_ASSIGN_OR_RETURN(const Seq reach, ReachOf(fs, layout, base));
    if (reach > best_reach || (reach == best_reach && base.joins && !best.joins)) {
      best = base;
      best_reach = reach;
    }
  }
  return best;
}

absl::StatusOr<JournalEnd> FindEnd(FileSystem& fs, const JournalLayout& layout, const SyncMark* mark,
                                   const JournalBase& base) {
  std::vector<KnownSeq> known;
  if (base.snapshot) {
    known.push_back({.seq = base.snapshot->seq, .what = absl::StrCat("the snapshot ", base.snapshot->path)});
  }
  KB_ASSIGN_OR_RETURN(JournalReader reader, base.Open(fs, layout));
  for (;;) {
    while (reader.Next()) {
    }
    KB_ASSIGN_OR_RETURN(JournalTail tail, ExamineTail(fs, layout, reader, mark, known, /*holes=*/true));
    if (!tail.continues) return JournalEnd{.tail = std::move(tail), .last = reader.last()};
    KB_ASSIGN_OR_RETURN(reader, JournalReader::At(fs, layout, std::nullopt,
                                                  {.segment = tail.segment + 1, .offset = 0, .link = reader.last()}));
  }
}

}  // namespace kekbit
