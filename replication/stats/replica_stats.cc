#include "kekbit/replication/stats/replica_stats.h"

#include <array>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/check.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/lease/process_watch.h"
#include "kekbit/replication/stats/stats_files.h"

namespace kekbit {
namespace {

// Names that are tried: no machine has more replicas in one process, or more pid namespaces with
// equal processes.
constexpr uint64_t kNamesTried = 1000;

// On average 64 calls from one look at the clock to the next.
constexpr uint32_t kSampleGapMask = 127;

// These values are in files.
static_assert(static_cast<int>(Role::kFollower) == 0 && static_cast<int>(Role::kPrimary) == 1 &&
              static_cast<int>(Role::kStopped) == 2);

uint64_t NextNumber() {
  static std::atomic<uint64_t> next = 1;
  return next++;
}

}  // namespace

std::unique_ptr<ReplicaStats> ReplicaStats::Create(FileSystem& fs, const JournalLayout& layout, bool may_lead,
                                                   const Clock& clock) {
  auto stats = absl::WrapUnique(new ReplicaStats(fs, clock));
  const ProcessId self = ProcessId::Self(fs);
  ReplicaStatsWords words;
  words.magic = kReplicaStatsMagic;
  words.version = kReplicaStatsVersion;
  words.pid = self.pid;
  words.start_time = self.start_time;
  words.pid_namespace = self.pid_namespace;
  words.created_ns = stats->Now();
  words.may_lead = may_lead ? 1 : 0;
  RemoveDeadStats(fs, layout, kDeadStatsKept);
  stats->file_status_ = stats->MakeFile(layout, words);
  if (!stats->file_status_.ok()) {
    stats->file_.reset();
    stats->mapping_.reset();
    stats->own_words_ = std::make_unique<ReplicaStatsWords>(words);
    stats->words_ = stats->own_words_.get();
  }
  KB_CHECK(stats->words_ != nullptr);
  stats->SetRole(Role::kFollower, 0);
  return stats;
}

ReplicaStats::~ReplicaStats() {
  absl::MutexLock lock(&mutex_);
  StoreRole(role_, epoch_, Now());
}

absl::Status ReplicaStats::MakeFile(const JournalLayout& layout, const ReplicaStatsWords& words) {
  const std::string directory = layout.replicas();
  KB_RETURN_IF_ERROR(fs_.CreateDirectories(directory));
  KB_ASSIGN_OR_RETURN(file_, fs_.CreateUnnamed(directory, JoinPath(directory, "of a new replica")));
  KB_RETURN_IF_ERROR(file_->CheckSupported());
  KB_RETURN_IF_ERROR(file_->Allocate(sizeof(ReplicaStatsWords)));
  KB_ASSIGN_OR_RETURN(mapping_, file_->Map(Access::kReadWrite, sizeof(ReplicaStatsWords)));
  KB_ASSIGN_OR_RETURN(const bool locked, file_->TryLock());
  if (!locked) return absl::UnavailableError(absl::StrCat(directory, ": a new file is locked by somebody else"));
  // Nobody sees a file without a name, so these need not be shared words.
  std::memcpy(mapping_->data(), &words, sizeof words);
  KB_RETURN_IF_ERROR(NameFile(*file_, directory, words));
  // Touch the pages now, so that no page fault comes later, amid commands.
  mapping_->Touch(0, sizeof(ReplicaStatsWords)).IgnoreError();
  words_ = reinterpret_cast<ReplicaStatsWords*>(mapping_->data());
  return absl::OkStatus();
}

absl::Status ReplicaStats::NameFile(File& file, const std::string& directory, const ReplicaStatsWords& words) {
  absl::Status linked;
  for (uint64_t i = 0; i < kNamesTried; ++i) {
    path_ = JoinPath(
        directory, StatsFileName{.pid = words.pid, .start_time = words.start_time, .number = NextNumber()}.ToString());
    linked = file.LinkTo(path_);
    if (!absl::IsAlreadyExists(linked)) break;
  }
  if (!linked.ok()) path_.clear();
  return linked;
}

int64_t ReplicaStats::StartThisSample() {
  // xorshift32, a thread's own, begun differently in each thread.
  static constinit thread_local uint32_t random = 0;
  if (random == 0) {
    random = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(&random) >> 4) | 1;
  }
  random ^= random << 13;
  random ^= random >> 17;
  random ^= random << 5;
  calls_to_sample_ = 1 + (random & kSampleGapMask);
  return clock_.MonotonicNanos();
}

void ReplicaStats::AddSince(int64_t start_ns, HistogramWords& to) {
  AddToHistogram(to, static_cast<uint64_t>(std::max<int64_t>(clock_.MonotonicNanos() - start_ns, 0)));
}

void ReplicaStats::AddExecuteSince(int64_t start_ns) {
  absl::MutexLock lock(&mutex_);
  AddSince(start_ns, words_->execute_ns);
}

void ReplicaStats::StoreRole(Role role, Epoch epoch, uint64_t ended_ns) {
  StoreVersioned(words_->role, {1 + static_cast<uint64_t>(role), epoch, role_since_ns_, ended_ns});
}

void ReplicaStats::SetRole(Role role, Epoch epoch) {
  absl::MutexLock lock(&mutex_);
  role_ = role;
  epoch_ = epoch;
  role_since_ns_ = Now();
  StoreRole(role, epoch, 0);
}

void ReplicaStats::AddTakeover(const TakeoverReport& report) {
  const auto nanos = [](absl::Duration duration) { return static_cast<uint64_t>(absl::ToInt64Nanoseconds(duration)); };
  absl::MutexLock lock(&mutex_);
  takeover_ns_ += nanos(report.total());
  StoreVersioned(words_->takeover,
                 {++takeovers_, takeover_ns_, report.epoch, report.follows, Now(), nanos(report.lease),
                  nanos(report.drained), nanos(report.recovered), nanos(report.synced), nanos(report.first_append)});
}

void ReplicaStats::AddSnapshot(const SnapshotTaken& snapshot) {
  absl::MutexLock lock(&mutex_);
  StoreVersioned(words_->snapshot, {++snapshots_, snapshot.position.epoch, snapshot.position.seq, Now(), snapshot.bytes,
                                    static_cast<uint64_t>(snapshot.took_ns)});
}

void ReplicaStats::SetUnkillable(const std::optional<ProcessId>& process) {
  absl::MutexLock lock(&mutex_);
  std::array<uint64_t, 4> words = {};
  if (process) words = {process->pid, process->start_time, process->pid_namespace, Now()};
  StoreVersioned(words_->unkillable, words);
}

void ReplicaStats::SetError(const absl::Status& error) {
  if (error.ok()) return;
  constexpr size_t kTextAt = 4;
  const absl::string_view text(error.message().data(), std::min(error.message().size(), kErrorTextBytes));
  std::array<uint64_t, 63> words = {};
  static_assert(kErrorTextBytes == sizeof words - kTextAt * sizeof(uint64_t));
  absl::MutexLock lock(&mutex_);
  words[0] = ++errors_;
  words[1] = static_cast<uint64_t>(error.code());
  words[2] = Now();
  words[3] = text.size();
  std::memcpy(&words[kTextAt], text.data(), text.size());
  StoreVersioned(words_->error, words);
}

}  // namespace kekbit
