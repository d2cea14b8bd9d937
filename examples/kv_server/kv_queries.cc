// The commands that only ask.

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
#include "examples/kv_server/kv_commands.h"

namespace kekbit::examples {
namespace {

bool Is(const std::string& argument, absl::string_view word) { return absl::EqualsIgnoreCase(argument, word); }

bool Expired(const Keyspace::Entry& entry, int64_t now_ms) {
  return entry.expire_ms != Keyspace::kNoExpiry && entry.expire_ms < now_ms;
}

const Keyspace::Entry* Find(const KvState& state, int64_t now_ms, absl::string_view key) {
  const Keyspace::Entry* entry = state.keys().Find(key);
  return entry == nullptr || Expired(*entry, now_ms) ? nullptr : entry;
}

// The value of type T at a key. True if it is that, or there is no such key: then *value is null. Otherwise it has
// answered.
template <typename T>
bool FindValue(const KvState& state, int64_t now_ms, absl::string_view key, KvReplyWriter& reply, const T** value) {
  const Keyspace::Entry* entry = Find(state, now_ms, key);
  *value = entry == nullptr ? nullptr : std::get_if<T>(&entry->value);
  if (entry == nullptr || *value != nullptr) return true;
  reply.Error(kKvWrongType);
  return false;
}

void Get(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const std::string* value = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &value)) return;
  value == nullptr ? reply.Nil() : reply.Bulk(*value);
}

void MGet(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  reply.Array(request.size() - 1);
  for (size_t i = 1; i < request.size(); ++i) {
    const Keyspace::Entry* entry = Find(state, now_ms, request[i]);
    const auto* value = entry == nullptr ? nullptr : std::get_if<std::string>(&entry->value);
    value == nullptr ? reply.Nil() : reply.Bulk(*value);
  }
}

void StrLen(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const std::string* value = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &value)) return;
  reply.Integer(value == nullptr ? 0 : static_cast<int64_t>(value->size()));
}

void Exists(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  int64_t found = 0;
  for (size_t i = 1; i < request.size(); ++i) found += Find(state, now_ms, request[i]) != nullptr ? 1 : 0;
  reply.Integer(found);
}

template <bool kSeconds>
void Ttl(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const Keyspace::Entry* entry = Find(state, now_ms, request[1]);
  if (entry == nullptr || entry->expire_ms == Keyspace::kNoExpiry) return reply.Integer(entry == nullptr ? -2 : -1);
  const int64_t left = entry->expire_ms - now_ms;
  reply.Integer(kSeconds ? left / 1000 + (left % 1000 >= 500 ? 1 : 0) : left);
}

void HGet(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvHash* hash = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &hash)) return;
  if (hash == nullptr) return reply.Nil();
  const auto field = hash->find(request[2]);
  field == hash->end() ? reply.Nil() : reply.Bulk(field->second);
}

void HGetAll(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvHash* hash = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &hash)) return;
  reply.Array(hash == nullptr ? 0 : 2 * hash->size());
  if (hash == nullptr) return;
  for (const auto& [field, value] : *hash) {
    reply.Bulk(field);
    reply.Bulk(value);
  }
}

void LLen(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvList* list = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &list)) return;
  reply.Integer(list == nullptr ? 0 : static_cast<int64_t>(list->size()));
}

void LRange(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  int64_t first = 0;
  int64_t last = 0;
  if (!ParseKvInteger(request[2], &first) || !ParseKvInteger(request[3], &last)) return reply.Error(kKvNotInteger);
  const KvList* list = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &list)) return;
  const int64_t size = list == nullptr ? 0 : static_cast<int64_t>(list->size());
  if (first < 0) first = std::max<int64_t>(first + size, 0);
  if (last < 0) last += size;
  last = std::min(last, size - 1);
  if (first > last) return reply.Array(0);
  reply.Array(static_cast<size_t>(last - first + 1));
  for (int64_t i = first; i <= last; ++i) reply.Bulk((*list)[static_cast<size_t>(i)]);
}

void SMembers(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvSet* set = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &set)) return;
  reply.Array(set == nullptr ? 0 : set->size());
  if (set == nullptr) return;
  for (const std::string& member : *set) reply.Bulk(member);
}

void SIsMember(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
  const KvSet* set = nullptr;
  if (!FindValue(state, now_ms, request[1], reply, &set)) return;
  reply.Integer(set != nullptr && set->contains(request[2]) ? 1 : 0);
}

// As Redis does: nothing is 0, and a sign is taken.
bool ParseCursor(const std::string& text, uint64_t* cursor) {
  if (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text[0]))) return false;
  char* end = nullptr;
  errno = 0;
  *cursor = std::strtoull(text.c_str(), &end, 10);
  return *end == '\0' && errno != ERANGE;
}

void Scan(const KvState& state, int64_t now_ms, const KvArguments& request, KvReplyWriter& reply) {
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
  std::vector<absl::string_view> keys;
  const uint64_t next = state.keys().Scan(cursor, static_cast<size_t>(count), [&](const Keyspace::Entry& entry) {
    if (pattern != nullptr && !MatchesKvPattern(*pattern, entry.key)) return;
    if (type != nullptr && !Is(*type, KvTypeName(entry.value))) return;
    if (!Expired(entry, now_ms)) keys.emplace_back(entry.key);
  });
  reply.Array(2);
  reply.Bulk(absl::StrCat(next));
  reply.Array(keys.size());
  for (const absl::string_view key : keys) reply.Bulk(key);
}

void DbSize(const KvState& state, int64_t /*now_ms*/, const KvArguments& /*request*/, KvReplyWriter& reply) {
  reply.Integer(static_cast<int64_t>(state.keys().size()));
}

void Ping(const KvState& /*state*/, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  if (request.size() > 2) return reply.Error(KvWrongArguments("ping"));
  request.size() == 2 ? reply.Bulk(request[1]) : reply.Simple("PONG");
}

void Echo(const KvState& /*state*/, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  reply.Bulk(request[1]);
}

// DEBUG DIGEST: for comparing replicas.
void Debug(const KvState& state, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  if (request.size() != 2 || !Is(request[1], "DIGEST")) return reply.Error("ERR DEBUG knows DIGEST only");
  reply.Simple(absl::StrFormat("%016x", state.digest()));
}

void DescribeCommand(const KvCommandSpec& spec, KvReplyWriter& reply) {
  reply.Array(6);
  reply.Bulk(spec.name);
  reply.Integer(spec.arity);
  reply.Array(spec.server == KvServerCommand::kNone ? 1 : 0);
  if (spec.server == KvServerCommand::kNone) reply.Simple(spec.write != nullptr ? "write" : "readonly");
  reply.Integer(spec.first_key);
  reply.Integer(spec.last_key);
  reply.Integer(spec.key_step);
}

void Command(const KvState& /*state*/, int64_t /*now_ms*/, const KvArguments& request, KvReplyWriter& reply) {
  const std::vector<absl::string_view> names = KvCommandNames();
  const auto describe = [&reply](const std::string& name) {
    const KvCommandSpec* spec = KvCommandNamed(name);
    spec == nullptr ? reply.Nil() : DescribeCommand(*spec, reply);
  };
  if (request.size() == 1 || (request.size() == 2 && Is(request[1], "INFO"))) {
    reply.Array(names.size());
    for (const absl::string_view name : names) describe(std::string(name));
  } else if (Is(request[1], "INFO")) {
    reply.Array(request.size() - 2);
    for (size_t i = 2; i < request.size(); ++i) describe(request[i]);
  } else if (Is(request[1], "COUNT")) {
    if (request.size() > 2) return reply.Error(KvWrongArguments("command|count"));
    reply.Integer(static_cast<int64_t>(names.size()));
  } else if (Is(request[1], "LIST")) {
    if (request.size() > 2) return reply.Error("ERR syntax error");  // no FILTERBY
    reply.Array(names.size());
    for (const absl::string_view name : names) reply.Bulk(name);
  } else if (Is(request[1], "DOCS")) {
    reply.Array(0);  // what redis-cli asks for first; none is as good an answer
  } else {
    reply.Error(absl::StrCat("ERR unknown subcommand '", request[1].substr(0, 128), "'. Try COMMAND HELP."));
  }
}

constexpr KvCommandSpec Query(absl::string_view name, int arity, KvQuery query, int last_key = 1) {
  return {.name = name,
          .arity = arity,
          .query = query,
          .first_key = last_key == 0 ? 0 : 1,
          .last_key = last_key,
          .key_step = last_key == 0 ? 0 : 1};
}

constexpr std::array kQueries = {
    Query("command", -1, Command, 0), Query("dbsize", 1, DbSize, 0),   Query("debug", -2, Debug, 0),
    Query("echo", 2, Echo, 0),        Query("exists", -2, Exists, -1), Query("get", 2, Get),
    Query("hget", 3, HGet),           Query("hgetall", 2, HGetAll),    Query("llen", 2, LLen),
    Query("lrange", 4, LRange),       Query("mget", -2, MGet, -1),     Query("ping", -1, Ping, 0),
    Query("pttl", 2, Ttl<false>),     Query("scan", -2, Scan, 0),      Query("sismember", 3, SIsMember),
    Query("smembers", 2, SMembers),   Query("strlen", 2, StrLen),      Query("ttl", 2, Ttl<true>),
};

}  // namespace

absl::Span<const KvCommandSpec> KvQuerySpecs() { return kQueries; }

}  // namespace kekbit::examples
