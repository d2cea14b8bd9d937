// The commands that only ask.

#include "examples/kv_server/kv_queries.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kekbit::examples {
namespace {

bool Is(const std::string& argument, absl::string_view word) { return absl::EqualsIgnoreCase(argument, word); }

bool Expired(const Keyspace::Entry& entry, int64_t now_ms) {
  return entry.expire_ms != Keyspace::kNoExpiry && entry.expire_ms < now_ms;
}

const Keyspace::Entry* Find(const Keyspace& keys, int64_t now_ms, absl::string_view key) {
  const Keyspace::Entry* entry = keys.Find(key);
  return entry == nullptr || Expired(*entry, now_ms) ? nullptr : entry;
}

// The value of type T at a key. True if it is that, or there is no such key: then *value is null.
// Otherwise it has answered.
template <typename T>
bool FindValue(const Keyspace& keys, int64_t now_ms, absl::string_view key, KvReplyWriter& reply, const T** value) {
  const Keyspace::Entry* entry = Find(keys, now_ms, key);
  *value = entry == nullptr ? nullptr : std::get_if<T>(&entry->value);
  if (entry == nullptr || *value != nullptr) return true;
  reply.Error(kKvWrongType);
  return false;
}

void Get(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const std::string* value = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &value)) return;
  value == nullptr ? reply.Nil() : reply.Bulk(*value);
}

void MGet(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  reply.Array(request.size() - 1);
  for (size_t i = 1; i < request.size(); ++i) {
    const Keyspace::Entry* entry = Find(keys, now_ms, request[i]);
    const auto* value = entry == nullptr ? nullptr : std::get_if<std::string>(&entry->value);
    value == nullptr ? reply.Nil() : reply.Bulk(*value);
  }
}

void StrLen(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const std::string* value = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &value)) return;
  reply.Integer(value == nullptr ? 0 : static_cast<int64_t>(value->size()));
}

void Exists(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  int64_t found = 0;
  for (size_t i = 1; i < request.size(); ++i) found += Find(keys, now_ms, request[i]) != nullptr ? 1 : 0;
  reply.Integer(found);
}

template <bool kSeconds>
void Ttl(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const Keyspace::Entry* entry = Find(keys, now_ms, request[1]);
  if (entry == nullptr || entry->expire_ms == Keyspace::kNoExpiry) return reply.Integer(entry == nullptr ? -2 : -1);
  const int64_t left = entry->expire_ms - now_ms;
  reply.Integer(kSeconds ? left / 1000 + (left % 1000 >= 500 ? 1 : 0) : left);
}

void HGet(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvHash* hash = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &hash)) return;
  if (hash == nullptr) return reply.Nil();
  const auto field = hash->find(request[2]);
  field == hash->end() ? reply.Nil() : reply.Bulk(field->second);
}

void HGetAll(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvHash* hash = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &hash)) return;
  reply.Map(hash == nullptr ? 0 : hash->size());
  if (hash == nullptr) return;
  for (const auto& [field, value] : *hash) {
    reply.Bulk(field);
    reply.Bulk(value);
  }
}

template <bool kValues>
void HPart(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvHash* hash = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &hash)) return;
  reply.Array(hash == nullptr ? 0 : hash->size());
  if (hash == nullptr) return;
  for (const auto& [field, value] : *hash) reply.Bulk(kValues ? value : field);
}

// HLEN, LLEN, SCARD.
template <typename T>
void Size(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const T* container = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &container)) return;
  reply.Integer(container == nullptr ? 0 : static_cast<int64_t>(container->size()));
}

void LRange(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  int64_t first = 0;
  int64_t last = 0;
  if (!ParseKvInteger(request[2], &first) || !ParseKvInteger(request[3], &last)) return reply.Error(kKvNotInteger);
  const KvList* list = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &list)) return;
  const int64_t size = list == nullptr ? 0 : static_cast<int64_t>(list->size());
  if (first < 0) first = std::max<int64_t>(first + size, 0);
  if (last < 0) last += size;
  last = std::min(last, size - 1);
  if (first > last) return reply.Array(0);
  reply.Array(static_cast<size_t>(last - first + 1));
  for (int64_t i = first; i <= last; ++i) reply.Bulk((*list)[static_cast<size_t>(i)]);
}

void SMembers(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvSet* set = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &set)) return;
  reply.Set(set == nullptr ? 0 : set->size());
  if (set == nullptr) return;
  for (const std::string& member : *set) reply.Bulk(member);
}

void SIsMember(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvSet* set = nullptr;
  if (!FindValue(keys, now_ms, request[1], reply, &set)) return;
  reply.Integer(set != nullptr && set->contains(request[2]) ? 1 : 0);
}

void WriteAll(const std::vector<absl::string_view>& strings, KvReplyWriter& reply) {
  reply.Array(strings.size());
  for (const absl::string_view string : strings) reply.Bulk(string);
}

// Parses as Redis does: no text is 0, and a sign is taken.
bool ParseCursor(const std::string& text, uint64_t* cursor) {
  if (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text[0]))) return false;
  char* end = nullptr;
  errno = 0;
  *cursor = std::strtoull(text.c_str(), &end, 10);
  return *end == '\0' && errno != ERANGE;
}

void Scan(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  uint64_t cursor = 0;
  if (!ParseCursor(request[1], &cursor)) return reply.Error("ERR invalid cursor");
  int64_t count = 10;
  const std::string* pattern = nullptr;
  const std::string* type = nullptr;
  for (size_t i = 2; i < request.size(); i += 2) {
    if (i + 1 == request.size()) return reply.Error("ERR syntax error");
    if (Is(request[i], "COUNT")) {
      if (!ParseKvInteger(request[i + 1], &count)) return reply.Error(kKvNotInteger);
      if (count < 1) return reply.Error("ERR syntax error");
    } else if (Is(request[i], "MATCH")) {
      pattern = &request[i + 1];
    } else if (Is(request[i], "TYPE")) {
      type = &request[i + 1];
    } else {
      return reply.Error("ERR syntax error");
    }
  }
  std::vector<absl::string_view> found;
  const uint64_t next = keys.Scan(cursor, static_cast<size_t>(count), [&](const Keyspace::Entry& entry) {
    if (pattern != nullptr && !MatchesKvPattern(*pattern, entry.key)) return;
    if (type != nullptr && !Is(*type, KvTypeName(entry.value))) return;
    if (!Expired(entry, now_ms)) found.emplace_back(entry.key);
  });
  reply.Array(2);
  reply.Bulk(absl::StrCat(next));
  WriteAll(found, reply);
}

void Keys(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  std::vector<absl::string_view> found;
  keys.Scan(0, keys.size(), [&](const Keyspace::Entry& entry) {
    if (MatchesKvPattern(request[1], entry.key) && !Expired(entry, now_ms)) found.emplace_back(entry.key);
  });
  WriteAll(found, reply);
}

void Type(const Keyspace& keys, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const Keyspace::Entry* entry = Find(keys, now_ms, request[1]);
  reply.Simple(entry == nullptr ? "none" : KvTypeName(entry->value));
}

void DbSize(const Keyspace& keys, int64_t /*now_ms*/, const KvArguments& /*request*/, KvReplyWriter& reply) {
  reply.Integer(static_cast<int64_t>(keys.size()));
}

void Ping(const Keyspace& /*keys*/, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  if (request.size() > 2) return reply.Error(KvWrongArguments("ping"));
  request.size() == 2 ? reply.Bulk(request[1]) : reply.Simple("PONG");
}

void Echo(const Keyspace& /*keys*/, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  reply.Bulk(request[1]);
}

// DEBUG DIGEST: for comparing replicas.
void Debug(const Keyspace& keys, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  if (request.size() != 2 || !Is(request[1], "DIGEST")) return reply.Error("ERR DEBUG knows DIGEST only");
  reply.Simple(absl::StrFormat("%016x", keys.digest()));
}

constexpr std::array kQueries = {
    KvQuerySpec{"dbsize", 1, DbSize},
    KvQuerySpec{"debug", -2, Debug},
    KvQuerySpec{"echo", 2, Echo},
    KvQuerySpec{"exists", -2, Exists, -1},
    KvQuerySpec{"get", 2, Get, 1},
    KvQuerySpec{"hget", 3, HGet, 1},
    KvQuerySpec{"hgetall", 2, HGetAll, 1},
    KvQuerySpec{"hkeys", 2, HPart<false>, 1},
    KvQuerySpec{"hlen", 2, Size<KvHash>, 1},
    KvQuerySpec{"hvals", 2, HPart<true>, 1},
    KvQuerySpec{"keys", 2, Keys},
    KvQuerySpec{"llen", 2, Size<KvList>, 1},
    KvQuerySpec{"lrange", 4, LRange, 1},
    KvQuerySpec{"mget", -2, MGet, -1},
    KvQuerySpec{"ping", -1, Ping},
    KvQuerySpec{"pttl", 2, Ttl<false>, 1},
    KvQuerySpec{"scan", -2, Scan},
    KvQuerySpec{"scard", 2, Size<KvSet>, 1},
    KvQuerySpec{"sismember", 3, SIsMember, 1},
    KvQuerySpec{"smembers", 2, SMembers, 1},
    KvQuerySpec{"strlen", 2, StrLen, 1},
    KvQuerySpec{"ttl", 2, Ttl<true>, 1},
    KvQuerySpec{"type", 2, Type, 1},
};

}  // namespace

absl::Span<const KvQuerySpec> KvQuerySpecs() { return kQueries; }

const KvQuerySpec* KvQueryNamed(absl::string_view name) {
  for (const KvQuerySpec& spec : kQueries) {
    if (absl::EqualsIgnoreCase(spec.name, name)) return &spec;
  }
  return nullptr;
}

bool TakesKvArguments(int arity, size_t count) {
  return arity >= 0 ? count == static_cast<size_t>(arity) : count >= static_cast<size_t>(-arity);
}

std::string KvWrongArguments(absl::string_view name) {
  return absl::StrCat("ERR wrong number of arguments for '", name, "' command");
}

}  // namespace kekbit::examples
