#include "kekbit/replication/stats/stats_files.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kekbit/base/bytes.h"
#include "kekbit/replication/stats/replica_stats_words.h"

namespace kekbit {
namespace {

constexpr absl::string_view kSuffix = ".stats";

// Returns when the replica was made; 0, the oldest of all, if the file does not say.
uint64_t CreatedNs(File& file) {
  uint8_t bytes[sizeof(uint64_t)] = {};
  const auto size = file.ReadAt(offsetof(ReplicaStatsWords, created_ns), MutableBytes(bytes, sizeof bytes));
  return size.ok() && *size == sizeof bytes ? LoadUnaligned<uint64_t>(bytes) : 0;
}

}  // namespace

std::string StatsFileName::ToString() const { return absl::StrCat(pid, "-", start_time, "-", number, kSuffix); }

std::optional<StatsFileName> ParseStatsFileName(absl::string_view name) {
  absl::string_view numbers = name;
  if (!absl::ConsumeSuffix(&numbers, kSuffix)) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(numbers, '-');
  StatsFileName parsed;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &parsed.pid) ||
      !absl::SimpleAtoi(parts[1], &parsed.start_time) || !absl::SimpleAtoi(parts[2], &parsed.number)) {
    return std::nullopt;
  }
  // Spaces, signs and leading zeros are not ours.
  if (parsed.ToString() != name) return std::nullopt;
  return parsed;
}

std::vector<std::string> ListStatsFiles(FileSystem& fs, const JournalLayout& layout) {
  std::vector<std::string> paths;
  const absl::StatusOr<std::vector<std::string>> names = fs.List(layout.replicas());
  if (!names.ok()) return paths;
  for (const std::string& name : *names) {
    if (ParseStatsFileName(name)) paths.push_back(JoinPath(layout.replicas(), name));
  }
  return paths;
}

bool IsReplicaAlive(FileSystem& fs, const std::string& path) {
  const auto file = fs.Open(path, Access::kRead);
  if (!file.ok()) return false;
  const absl::StatusOr<bool> locked = (*file)->LockedByOther();
  return locked.ok() && *locked;
}

void RemoveDeadStats(FileSystem& fs, const JournalLayout& layout, size_t kept) {
  std::vector<std::pair<uint64_t, std::string>> dead;
  for (std::string& path : ListStatsFiles(fs, layout)) {
    const auto file = fs.Open(path, Access::kRead);
    if (!file.ok()) continue;
    // Check the lock. A file is locked before it has its name: without a lock now, it never will be
    // locked.
    const absl::StatusOr<bool> locked = (*file)->LockedByOther();
    if (!locked.ok() || *locked) continue;
    dead.emplace_back(CreatedNs(**file), std::move(path));
  }
  std::sort(dead.begin(), dead.end());
  for (size_t i = 0; i + kept < dead.size(); ++i) fs.Unlink(dead[i].second).IgnoreError();
}

}  // namespace kekbit
