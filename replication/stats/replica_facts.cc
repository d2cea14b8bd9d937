#include "kekbit/replication/stats/replica_facts.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/shared_word.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/stats/stats_files.h"

namespace kekbit {
namespace {

int64_t Nanos(uint64_t word) { return static_cast<int64_t>(word); }

void ReadFrontiers(const ReplicaStatsWords& words, ReplicaFacts& facts) {
  facts.published.seq = AcquireWord(&words.published_seq);
  facts.published.epoch = PeekWord(&words.published_epoch);
  facts.published_time_ns = Nanos(PeekWord(&words.published_time_ns));
  facts.applied.seq = AcquireWord(&words.applied_seq);
  facts.applied.epoch = PeekWord(&words.applied_epoch);
  facts.applied_time_ns = Nanos(PeekWord(&words.applied_time_ns));
  facts.segment = AcquireWord(&words.applied_segment);
  facts.offset = AcquireWord(&words.applied_offset);
  facts.synced = AcquireWord(&words.synced_seq);
  if (facts.published.seq > facts.applied.seq) {
    facts.applied = facts.published;
    facts.applied_time_ns = facts.published_time_ns;
    facts.segment = facts.offset = 0;
  }
}

void ReadRole(const ReplicaStatsWords& words, ReplicaFacts& facts) {
  const auto role = LoadVersioned(words.role);
  if (!role) return;
  const auto& [number, epoch, since_ns, ended_ns, reserved0, reserved1, reserved2] = *role;
  if (number >= 1 && number <= 1 + static_cast<uint64_t>(Role::kStopped)) facts.role = static_cast<Role>(number - 1);
  facts.epoch = epoch;
  facts.role_since_ns = Nanos(since_ns);
  facts.ended_ns = Nanos(ended_ns);
}

void ReadEvents(const ReplicaStatsWords& words, ReplicaFacts& facts) {
  if (const auto takeover = LoadVersioned(words.takeover)) {
    const std::array<uint64_t, 15>& word = *takeover;
    facts.takeovers = {.count = word[0],
                       .total_ns = Nanos(word[1]),
                       .at_ns = Nanos(word[4]),
                       .report = {.epoch = word[2],
                                  .follows = word[3],
                                  .lease = absl::Nanoseconds(Nanos(word[5])),
                                  .drained = absl::Nanoseconds(Nanos(word[6])),
                                  .recovered = absl::Nanoseconds(Nanos(word[7])),
                                  .synced = absl::Nanoseconds(Nanos(word[8])),
                                  .first_append = absl::Nanoseconds(Nanos(word[9]))}};
  }
  if (const auto snapshot = LoadVersioned(words.snapshot)) {
    const std::array<uint64_t, 15>& word = *snapshot;
    facts.snapshots = {
        .count = word[0],
        .at_ns = Nanos(word[3]),
        .taken = {.position = {.epoch = word[1], .seq = word[2]}, .bytes = word[4], .took_ns = Nanos(word[5])}};
  }
}

void ReadUnkillable(const ReplicaStatsWords& words, ReplicaFacts& facts) {
  const auto unkillable = LoadVersioned(words.unkillable);
  if (!unkillable || (*unkillable)[0] == 0) return;
  const auto& [pid, start_time, pid_namespace, at_ns] = *unkillable;
  facts.unkillable = {.process = {.pid = pid, .start_time = start_time, .pid_namespace = pid_namespace},
                      .at_ns = Nanos(at_ns)};
}

void ReadError(const ReplicaStatsWords& words, ReplicaFacts& facts) {
  const auto error = LoadVersioned(words.error);
  if (!error) return;
  const std::array<uint64_t, 63>& word = *error;
  constexpr size_t kTextAt = 4;
  const Bytes text(reinterpret_cast<const uint8_t*>(&word[kTextAt]),
                   static_cast<size_t>(std::min<uint64_t>(word[3], kErrorTextBytes)));
  // No replica wrote OK, or a code that does not exist.
  constexpr auto kCodeMax = static_cast<uint64_t>(absl::StatusCode::kUnauthenticated);
  const auto code =
      word[1] >= 1 && word[1] <= kCodeMax ? static_cast<absl::StatusCode>(word[1]) : absl::StatusCode::kUnknown;
  facts.last_error = {.count = word[0], .at_ns = Nanos(word[2]), .status = absl::Status(code, AsText(text))};
}

}  // namespace

ReplicaFacts ReadReplicaStats(const ReplicaStatsWords& words) {
  ReplicaFacts facts;
  facts.process = {.pid = PeekWord(&words.pid),
                   .start_time = PeekWord(&words.start_time),
                   .pid_namespace = PeekWord(&words.pid_namespace)};
  facts.created_ns = Nanos(PeekWord(&words.created_ns));
  facts.may_lead = PeekWord(&words.may_lead) != 0;
  ReadRole(words, facts);
  ReadFrontiers(words, facts);
  ReadEvents(words, facts);
  ReadError(words, facts);
  ReadUnkillable(words, facts);
  facts.apply_ns = ReadHistogram(words.apply_ns);
  facts.execute_ns = ReadHistogram(words.execute_ns);
  facts.sync_ns = ReadHistogram(words.sync_ns);
  facts.group = ReadHistogram(words.group);
  return facts;
}

absl::StatusOr<ReplicaFacts> ReadReplicaStats(FileSystem& fs, const std::string& path) {
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, Access::kRead));
  KB_ASSIGN_OR_RETURN(const FileInfo info, file->Info());
  if (info.size < sizeof(ReplicaStatsWords)) {
    return absl::DataLossError(
        absl::StrCat(path, ": has ", info.size, " bytes, not ", sizeof(ReplicaStatsWords), ": no file of statistics"));
  }
  KB_ASSIGN_OR_RETURN(const std::unique_ptr<MappedFile> mapping, file->Map(Access::kRead, sizeof(ReplicaStatsWords)));
  const auto& words = *reinterpret_cast<const ReplicaStatsWords*>(mapping->data());
  if (const uint64_t magic = PeekWord(&words.magic); magic != kReplicaStatsMagic) {
    return absl::DataLossError(absl::StrFormat("%s: begins with 0x%016x, not 0x%016x: no file of statistics", path,
                                               magic, kReplicaStatsMagic));
  }
  if (const uint64_t version = PeekWord(&words.version); version != kReplicaStatsVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": has version ", version, ", this code knows ", kReplicaStatsVersion));
  }
  // Ask before the words are read: then all words of a dead replica are read.
  const absl::StatusOr<bool> alive = file->LockedByOther();
  ReplicaFacts facts = ReadReplicaStats(words);
  facts.path = path;
  facts.alive = alive.ok() && *alive;
  return facts;
}

std::vector<ReplicaFacts> ReadLivingReplicas(FileSystem& fs, const JournalLayout& layout) {
  std::vector<ReplicaFacts> living;
  for (const std::string& path : ListStatsFiles(fs, layout)) {
    absl::StatusOr<ReplicaFacts> facts = ReadReplicaStats(fs, path);
    if (facts.ok() && facts->alive) living.push_back(*std::move(facts));
  }
  return living;
}

}  // namespace kekbit
