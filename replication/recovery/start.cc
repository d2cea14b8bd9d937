#include "kekbit/replication/recovery/start.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_file.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/journal/sync_mark.h"
#include "kekbit/replication/recovery/missing_segments.h"
#include "kekbit/replication/recovery/repair_hint.h"

namespace kekbit {
namespace {

// Looks at a journal from which a segment vanishes between two calls, before that is an error.
constexpr int kLooksAtCut = 100;

// Tries to survey a journal that is being trimmed.
constexpr int kSurveys = 10;

// Returns the newest snapshot, good or not; 0: there is none.
absl::StatusOr<Seq> NewestOf(const SnapshotStore& store) {
  KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, store.List());
  return seqs.empty() ? 0 : seqs.back();
}

// Choice is the snapshot that a replica takes, and the place after it, or why there is none.
struct Choice {
  SnapshotStore::Found found;
  absl::StatusOr<JournalReader> reader;
};

absl::StatusOr<Choice> Choose(FileSystem& fs, const JournalLayout& layout, SnapshotStore& store,
                              const StartRules& rules) {
  for (int looks = 1;; ++looks) {
    SnapshotStore::Found found;
    Seq newest = 0;
    if (rules.loads) {
      KB_ASSIGN_OR_RETURN(newest, NewestOf(store));
      KB_ASSIGN_OR_RETURN(found, store.FindNewest(rules.type));
    }
    absl::StatusOr<JournalReader> reader =
        found.snapshot == nullptr ? ReadJournal(fs, layout, rules.content)
                                  : ReadJournalAfter(fs, layout, rules.content, found.snapshot->header().last);
    const auto chosen = [&] { return Choice{.found = std::move(found), .reader = std::move(reader)}; };
    if (reader.ok()) return chosen();
    // The journal may have been trimmed meanwhile: between two looks at a segment, or before
    // snapshots that are newer still.
    if (absl::IsNotFound(reader.status()) && looks < kLooksAtCut) continue;
    if (!rules.loads) return chosen();
    KB_ASSIGN_OR_RETURN(const Seq newest_now, NewestOf(store));
    if (newest_now == newest) return chosen();
  }
}

// Returns what an operator needs to know of a journal in which there is no place to begin.
absl::Status NoPlace(const Choice& choice, const JournalLayout& layout) {
  const absl::Status& status = choice.reader.status();
  if (!absl::IsOutOfRange(status) && !absl::IsDataLoss(status)) return status;
  std::string text(status.message());
  const auto& snapshot = choice.found.snapshot;
  if (snapshot != nullptr) absl::StrAppend(&text, "; the newest good snapshot is ", snapshot->path());
  if (snapshot == nullptr) absl::StrAppend(&text, "; there is no good snapshot to begin with");
  for (const absl::Status& skipped : choice.found.passed_over) {
    absl::StrAppend(&text, "; passed over was ", skipped.message());
  }
  return absl::Status(status.code(), absl::StrCat(text, RepairHint(layout)));
}

// Returns the first seq of the first segment; 0 if that can't be read. 1 if there is none: the
// journal is still to come.
absl::StatusOr<Seq> FirstKept(FileSystem& fs, const JournalLayout& layout) {
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout.ListSegments(fs));
  if (segments.empty()) return 1;
  const absl::StatusOr<ChannelFile> channel = OpenChannelFile(fs, layout.segment(segments.front()));
  if (!channel.ok()) return 0;
  const absl::StatusOr<ChainLink> follows = FollowedBySegment(channel->extension);
  return follows.ok() ? follows->position.seq + 1 : 0;
}

// Returns true if the error is about the journal, or the journal holds what this version can't
// read.
bool IsOfAnyJournal(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsOutOfRange(status) || absl::IsFailedPrecondition(status);
}

// Listing is what changes when a journal is trimmed.
struct Listing {
  std::vector<Seq> snapshots;
  SegmentNumber first_segment = 0;

  friend bool operator==(const Listing&, const Listing&) = default;
};

absl::StatusOr<Listing> List(FileSystem& fs, const JournalLayout& layout, const SnapshotStore& store) {
  Listing listing;
  KB_ASSIGN_OR_RETURN(listing.snapshots, store.List());
  KB_ASSIGN_OR_RETURN(const std::vector<SegmentNumber> segments, layout.ListSegments(fs));
  if (!segments.empty()) listing.first_segment = segments.front();
  return listing;
}

// Returns NotFound if something vanished meanwhile.
absl::StatusOr<StartSurvey> SurveyOnce(FileSystem& fs, const JournalLayout& layout, SnapshotStore& store) {
  StartSurvey survey;
  {
    // Ask first: the store does not read again what it has found to be good.
    const absl::StatusOr<Choice> choice = Choose(fs, layout, store, {});
    survey.begins = choice.ok() ? choice->reader.status() : choice.status();
  }
  if (!survey.begins.ok() && !IsOfAnyJournal(survey.begins)) return survey.begins;
  KB_ASSIGN_OR_RETURN(const std::vector<Seq> seqs, store.List());
  for (size_t i = seqs.size(); i-- > 0;) {
    SnapshotSeen seen = {.seq = seqs[i], .path = store.PathOf(seqs[i]), .good = {}, .last = {}, .joins = {}};
    const absl::StatusOr<SnapshotHeader> header = store.Check(seen.seq);
    if (absl::IsNotFound(header.status())) return header.status();
    seen.good = header.status();
    if (header.ok()) {
      seen.last = header->last;
      seen.joins = ReadJournalAfter(fs, layout, std::nullopt, seen.last).status();
      if (!seen.joins.ok() && !IsOfAnyJournal(seen.joins)) return seen.joins;
    }
    survey.snapshots.push_back(std::move(seen));
  }
  KB_ASSIGN_OR_RETURN(survey.first_kept, FirstKept(fs, layout));
  const absl::StatusOr<SyncMark> mark = SyncMark::OpenForReading(fs, layout.synced());
  if (mark.ok()) {
    const SnapshotSeen* const newest = survey.newest_good();
    survey.there = CheckSegments(fs, layout, *mark, newest == nullptr ? 0 : newest->seq);
    if (!survey.there.ok() && !absl::IsDataLoss(survey.there)) return survey.there;
  }
  return survey;
}

}  // namespace

absl::StatusOr<ReplicaStart> FindStart(FileSystem& fs, const JournalLayout& layout, const StartRules& rules) {
  SnapshotStore store(fs, layout.snapshots());
  KB_ASSIGN_OR_RETURN(Choice choice, Choose(fs, layout, store, rules));
  if (!choice.reader.ok()) return NoPlace(choice, layout);
  ReplicaStart start = {.found = std::move(choice.found), .reader = *std::move(choice.reader)};
  // Nothing is applied twice, and nothing is skipped.
  KB_CHECK(start.reader.last().position.seq == start.snapshot_seq());
  return start;
}

const SnapshotSeen* StartSurvey::newest_good() const {
  for (const SnapshotSeen& snapshot : snapshots) {
    if (snapshot.good.ok()) return &snapshot;
  }
  return nullptr;
}

absl::StatusOr<StartSurvey> SurveyStart(FileSystem& fs, const JournalLayout& layout) {
  SnapshotStore store(fs, layout.snapshots());
  for (int surveys = 1;; ++surveys) {
    KB_ASSIGN_OR_RETURN(const Listing before, List(fs, layout, store));
    absl::StatusOr<StartSurvey> survey = SurveyOnce(fs, layout, store);
    if (survey.ok() || absl::IsNotFound(survey.status())) {
      KB_ASSIGN_OR_RETURN(const Listing after, List(fs, layout, store));
      if (after != before && surveys < kSurveys) continue;
    }
    return survey;
  }
}

}  // namespace kekbit
