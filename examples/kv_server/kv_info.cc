// INFO, CONFIG: what is about the server.

#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/kv_server/kv_service.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/stats/replica_facts.h"

namespace kekbit::examples {

std::string KvService::Info(const KvArguments& request) const {
  std::string info;
  // Returns true if that section is asked for; then its head is there.
  const auto begins = [&](absl::string_view section) {
    const bool wanted = request.size() == 1 || std::any_of(request.begin() + 1, request.end(), [&](const auto& word) {
                          return absl::EqualsIgnoreCase(word, section) || absl::EqualsIgnoreCase(word, "default") ||
                                 absl::EqualsIgnoreCase(word, "all") || absl::EqualsIgnoreCase(word, "everything");
                        });
    if (wanted) absl::StrAppend(&info, info.empty() ? "# " : "\r\n# ", section, "\r\n");
    return wanted;
  };
  if (begins("Server")) {
    absl::StrAppend(&info, "redis_version:", kKvRedisVersion,
                    "\r\nredis_mode:standalone\r\nkekbit_server:kv_server\r\ntcp_port:", options_.port,
                    "\r\nprocess_id:", ::getpid(), "\r\n");
  }
  if (begins("Clients")) {
    absl::StrAppend(&info, "connected_clients:", sessions_.size(), "\r\nmaxclients:", options_.clients_max, "\r\n");
  }
  if (begins("Stats")) {
    absl::StrAppend(&info, "total_connections_received:", connected_, "\r\ntotal_commands_processed:", commands_,
                    "\r\n");
  }
  if (begins("Replication")) {
    const Position position = replica_->applied();
    // Fields that clients of Redis look for, and what the journal calls them.
    absl::StrAppend(&info, "role:master\r\nkekbit_role:", RoleName(replica_->role()), "\r\nepoch:", position.epoch,
                    "\r\nseq:", position.seq, "\r\nack:", AckName(options_.ack), "\r\n");
    AppendLag(position.seq, &info);
  }
  if (begins("Keyspace")) {
    const auto [keys, expires] =
        replica_->Read([](const KvState& state) { return std::pair(state.keys().size(), state.keys().expiring()); });
    if (keys > 0) absl::StrAppend(&info, "db0:keys=", keys, ",expires=", expires, ",avg_ttl=0\r\n");
  }
  return info;
}

void KvService::AppendLag(Seq published, std::string* info) const {
  std::string replicas;
  size_t count = 0;
  Seq longest = 0;
  for (const ReplicaFacts& facts : ReadLivingReplicas(FileSystem::Posix(), JournalLayout(options_.directory))) {
    if (facts.role != Role::kFollower) continue;
    // A command that it has applied by now may be newer than `published`.
    const Seq lag = published - std::min(published, facts.applied.seq);
    longest = std::max(longest, lag);
    absl::StrAppend(&replicas, "slave", count++, ":pid=", facts.process.pid, ",seq=", facts.applied.seq, ",lag=", lag,
                    "\r\n");
  }
  absl::StrAppend(info, "connected_slaves:", count, "\r\nlag:", longest, "\r\n", replicas);
}

size_t KvService::CountStandbys() const {
  const std::vector<ReplicaFacts> living = ReadLivingReplicas(FileSystem::Posix(), JournalLayout(options_.directory));
  return static_cast<size_t>(
      std::count_if(living.begin(), living.end(), [](const ReplicaFacts& one) { return one.stands_by(); }));
}

void KvService::Config(const KvArguments& request, KvReplyWriter& reply) {
  if (absl::EqualsIgnoreCase(request[1], "RESETSTAT")) {
    connected_ = commands_ = 0;
    return reply.Simple("OK");
  }
  if (absl::EqualsIgnoreCase(request[1], "SET")) {
    return reply.Error(absl::StrCat("ERR Unknown option or number of arguments for CONFIG SET - '", request[2], "'"));
  }
  // Answer in Redis' words: every write is in a file before it is answered.
  const std::vector<std::pair<absl::string_view, std::string>> settings = {
      {"appendfsync", options_.ack == Ack::kSynced ? "always" : "no"},
      {"appendonly", "yes"},
      {"bind", options_.bind},
      {"databases", "1"},
      {"dir", options_.directory},
      {"maxclients", absl::StrCat(options_.clients_max)},
      {"maxmemory", "0"},
      {"maxmemory-policy", "noeviction"},
      {"port", absl::StrCat(options_.port)},
      {"proto-max-bulk-len", absl::StrCat(options_.requests.string_bytes_max)},
      {"save", ""},
      {"timeout", "0"},
  };
  std::vector<const std::pair<absl::string_view, std::string>*> found;
  for (const auto& setting : settings) {
    const bool wanted = std::any_of(request.begin() + 2, request.end(), [&](const std::string& pattern) {
      return MatchesKvPattern(absl::AsciiStrToLower(pattern), setting.first);
    });
    if (wanted) found.push_back(&setting);
  }
  reply.Map(found.size());
  for (const auto* setting : found) {
    reply.Bulk(setting->first);
    reply.Bulk(setting->second);
  }
}

}  // namespace kekbit::examples
