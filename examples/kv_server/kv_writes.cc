// The commands that change something: from a request's words to a command of the state.

#include <array>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/kv_server/kv_commands.h"

namespace kekbit::examples {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr char kSyntaxError[] = "ERR syntax error";

bool Refuse(std::string* error, std::string text) {
  *error = std::move(text);
  return false;
}

bool Is(const std::string& argument, absl::string_view word) { return absl::EqualsIgnoreCase(argument, word); }

KvArguments From(KvArguments& request, size_t first) {
  return KvArguments(std::make_move_iterator(request.begin() + static_cast<ptrdiff_t>(first)),
                     std::make_move_iterator(request.end()));
}

// Returns what follows `first`, in pairs. REQUIRES: the number is even.
std::vector<std::pair<std::string, std::string>> Pairs(KvArguments& request, size_t first) {
  std::vector<std::pair<std::string, std::string>> pairs;
  pairs.reserve((request.size() - first) / 2);
  for (size_t i = first; i + 1 < request.size(); i += 2) {
    pairs.emplace_back(std::move(request[i]), std::move(request[i + 1]));
  }
  return pairs;
}

// SetOptions are SET's options, which follow the value.
struct SetOptions {
  KvSetString set;
  absl::string_view unit;  // EX, PX, EXAT or PXAT, if given
  const std::string* time = nullptr;
};

bool ParseSetOption(KvArguments& request, size_t* i, SetOptions* options) {
  KvSetString& set = options->set;
  const std::string& option = request[*i];
  if (Is(option, "NX") && set.when != KvWhen::kIfThere) {
    set.when = KvWhen::kIfMissing;
  } else if (Is(option, "XX") && set.when != KvWhen::kIfMissing) {
    set.when = KvWhen::kIfThere;
  } else if (Is(option, "GET")) {
    set.get = true;
  } else if (Is(option, "KEEPTTL") && options->time == nullptr) {
    set.expiry = KvExpiry::kKeep;
  } else {
    for (const absl::string_view unit : {"EX", "PX", "EXAT", "PXAT"}) {
      const bool other = options->time != nullptr && options->unit != unit;
      if (!Is(option, unit) || other || set.expiry == KvExpiry::kKeep || *i + 1 == request.size()) continue;
      options->unit = unit;
      options->time = &request[++*i];
      return true;
    }
    return false;
  }
  return true;
}

bool ParseSet(KvArguments& request, KvState::Command* command, std::string* error) {
  SetOptions options;
  for (size_t i = 3; i < request.size(); ++i) {
    if (!ParseSetOption(request, &i, &options)) return Refuse(error, kSyntaxError);
  }
  KvSetString& set = options.set;
  if (options.time != nullptr) {
    if (!ParseKvInteger(*options.time, &set.expire_ms)) return Refuse(error, kKvNotInteger);
    const bool seconds = options.unit[0] == 'E';
    if (set.expire_ms <= 0 || (seconds && set.expire_ms > kMax / 1000)) {
      return Refuse(error, "ERR invalid expire time in 'set' command");
    }
    if (seconds) set.expire_ms *= 1000;
    set.expiry = options.unit.size() > 2 ? KvExpiry::kAt : KvExpiry::kIn;
  }
  set.key = std::move(request[1]);
  set.value = std::move(request[2]);
  *command = std::move(set);
  return true;
}

bool ParseMSet(KvArguments& request, KvState::Command* command, std::string* error) {
  if (request.size() % 2 == 0) return Refuse(error, KvWrongArguments("mset"));
  *command = KvSetMany{.values = Pairs(request, 1)};
  return true;
}

bool ParseDel(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvDelete{.keys = From(request, 1)};
  return true;
}

bool ParseExpireOptions(const KvArguments& request, uint8_t* only_if, std::string* error) {
  static constexpr std::pair<absl::string_view, KvExpireIf> kOptions[] = {
      {"NX", KvExpireIf::kNone}, {"XX", KvExpireIf::kSome}, {"GT", KvExpireIf::kLater}, {"LT", KvExpireIf::kEarlier}};
  uint8_t flags = 0;
  for (size_t i = 3; i < request.size(); ++i) {
    uint8_t flag = 0;
    for (const auto& [name, value] : kOptions) {
      if (Is(request[i], name)) flag = static_cast<uint8_t>(value);
    }
    if (flag == 0) return Refuse(error, absl::StrCat("ERR Unsupported option ", request[i]));
    flags = static_cast<uint8_t>(flags | flag);
  }
  const bool later = (flags & static_cast<uint8_t>(KvExpireIf::kLater)) != 0;
  const bool earlier = (flags & static_cast<uint8_t>(KvExpireIf::kEarlier)) != 0;
  if ((flags & static_cast<uint8_t>(KvExpireIf::kNone)) != 0 && flags != static_cast<uint8_t>(KvExpireIf::kNone)) {
    return Refuse(error, "ERR NX and XX, GT or LT options at the same time are not compatible");
  }
  if (later && earlier) return Refuse(error, "ERR GT and LT options at the same time are not compatible");
  *only_if = flags;
  return true;
}

// SETEX, PSETEX.
template <bool kSeconds>
bool ParseSetFor(KvArguments& request, KvState::Command* command, std::string* error) {
  // Later than any time that the journal will see: the state would refuse it as SET's.
  constexpr int64_t kLongest = kMax - 10'000'000'000'000;
  int64_t in_ms = 0;
  if (!ParseKvInteger(request[2], &in_ms)) return Refuse(error, kKvNotInteger);
  if (in_ms <= 0 || in_ms > (kSeconds ? kLongest / 1000 : kLongest)) {
    return Refuse(error, absl::StrCat("ERR invalid expire time in '", kSeconds ? "setex" : "psetex", "' command"));
  }
  *command = KvSetString{.key = std::move(request[1]),
                         .value = std::move(request[3]),
                         .expiry = KvExpiry::kIn,
                         .expire_ms = kSeconds ? in_ms * 1000 : in_ms};
  return true;
}

bool ParseSetNx(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvSetString{.key = std::move(request[1]), .value = std::move(request[2]), .when = KvWhen::kIfMissing};
  return true;
}

bool ParseGetSet(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvSetString{.key = std::move(request[1]), .value = std::move(request[2]), .get = true};
  return true;
}

bool ParseGetDel(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvGetDelete{.key = std::move(request[1])};
  return true;
}

template <bool kIfMissing>
bool ParseRename(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvRename{.from = std::move(request[1]), .to = std::move(request[2]), .if_missing = kIfMissing};
  return true;
}

template <bool kSeconds>
bool ParseExpireAt(KvArguments& request, KvState::Command* command, std::string* error) {
  KvExpireAt expire{.key = std::move(request[1])};
  if (!ParseExpireOptions(request, &expire.only_if, error)) return false;
  if (!ParseKvInteger(request[2], &expire.at_ms)) return Refuse(error, kKvNotInteger);
  if (kSeconds) {
    if (expire.at_ms > kMax / 1000 || expire.at_ms < kMin / 1000) {
      return Refuse(error, "ERR invalid expire time in 'expireat' command");
    }
    expire.at_ms *= 1000;
  }
  *command = std::move(expire);
  return true;
}

template <bool kSeconds>
bool ParseExpire(KvArguments& request, KvState::Command* command, std::string* error) {
  KvExpire expire{.key = std::move(request[1]), .seconds = kSeconds};
  if (!ParseExpireOptions(request, &expire.only_if, error)) return false;
  if (!ParseKvInteger(request[2], &expire.in_ms)) return Refuse(error, kKvNotInteger);
  if (kSeconds) {
    if (expire.in_ms > kMax / 1000 || expire.in_ms < kMin / 1000) {
      return Refuse(error, "ERR invalid expire time in 'expire' command");
    }
    expire.in_ms *= 1000;
  }
  *command = std::move(expire);
  return true;
}

bool ParsePersist(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvPersist{.key = std::move(request[1])};
  return true;
}

template <int kNumber>
bool ParseIncr(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvAdd{.key = std::move(request[1]), .number = kNumber};
  return true;
}

template <bool kNegative>
bool ParseIncrBy(KvArguments& request, KvState::Command* command, std::string* error) {
  int64_t number = 0;
  if (!ParseKvInteger(request[2], &number)) return Refuse(error, kKvNotInteger);
  if (kNegative && number == kMin) return Refuse(error, "ERR decrement would overflow");
  *command = KvAdd{.key = std::move(request[1]), .number = kNegative ? -number : number};
  return true;
}

bool ParseAppend(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvAppend{.key = std::move(request[1]), .value = std::move(request[2])};
  return true;
}

template <bool kMany>
bool ParseHSet(KvArguments& request, KvState::Command* command, std::string* error) {
  if (request.size() % 2 != 0) return Refuse(error, KvWrongArguments(kMany ? "hmset" : "hset"));
  *command = KvSetFields{.key = std::move(request[1]), .fields = Pairs(request, 2)};
  return true;
}

bool ParseHDel(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvDeleteFields{.key = std::move(request[1]), .fields = From(request, 2)};
  return true;
}

template <KvSide kSide>
bool ParsePush(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvPush{.key = std::move(request[1]), .side = kSide, .values = From(request, 2)};
  return true;
}

template <KvSide kSide>
bool ParsePop(KvArguments& request, KvState::Command* command, std::string* error) {
  KvPop pop{.key = std::move(request[1]), .side = kSide};
  if (request.size() > 3) return Refuse(error, KvWrongArguments(kSide == KvSide::kLeft ? "lpop" : "rpop"));
  if (request.size() == 3) {
    int64_t count = 0;
    if (!ParseKvInteger(request[2], &count) || count < 0) {
      return Refuse(error, "ERR value is out of range, must be positive");
    }
    pop.one = false;
    pop.count = static_cast<uint64_t>(count);
  }
  *command = std::move(pop);
  return true;
}

bool ParseSAdd(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvAddMembers{.key = std::move(request[1]), .members = From(request, 2)};
  return true;
}

bool ParseSRem(KvArguments& request, KvState::Command* command, std::string* /*error*/) {
  *command = KvRemoveMembers{.key = std::move(request[1]), .members = From(request, 2)};
  return true;
}

bool ParseFlushAll(KvArguments& request, KvState::Command* command, std::string* error) {
  const bool known =
      request.size() == 1 || (request.size() == 2 && (Is(request[1], "SYNC") || Is(request[1], "ASYNC")));
  if (!known) return Refuse(error, kSyntaxError);
  *command = KvFlush{};
  return true;
}

constexpr KvCommandSpec Write(absl::string_view name, int arity, KvParseWrite parse, int last_key = 1,
                              int key_step = 1) {
  return {.name = name,
          .arity = arity,
          .write = parse,
          .first_key = last_key == 0 ? 0 : 1,
          .last_key = last_key,
          .key_step = last_key == 0 ? 0 : key_step};
}

constexpr KvCommandSpec Answering(KvAnswer answer, KvCommandSpec spec) {
  spec.answer = answer;
  return spec;
}

constexpr std::array kWrites = {
    Write("append", 3, ParseAppend),
    Write("decr", 2, ParseIncr<-1>),
    Write("decrby", 3, ParseIncrBy<true>),
    Write("del", -2, ParseDel, -1),
    Write("expire", -3, ParseExpire<true>),
    Write("expireat", -3, ParseExpireAt<true>),
    Write("flushall", -1, ParseFlushAll, 0),
    Write("flushdb", -1, ParseFlushAll, 0),
    Write("getdel", 2, ParseGetDel),
    Write("getset", 3, ParseGetSet),
    Write("hdel", -3, ParseHDel),
    Answering(KvAnswer::kOk, Write("hmset", -4, ParseHSet<true>)),
    Write("hset", -4, ParseHSet<false>),
    Write("incr", 2, ParseIncr<1>),
    Write("incrby", 3, ParseIncrBy<false>),
    Write("lpop", -2, ParsePop<KvSide::kLeft>),
    Write("lpush", -3, ParsePush<KvSide::kLeft>),
    Write("mset", -3, ParseMSet, -1, 2),
    Write("persist", 2, ParsePersist),
    Write("pexpire", -3, ParseExpire<false>),
    Write("pexpireat", -3, ParseExpireAt<false>),
    Write("psetex", 4, ParseSetFor<false>),
    Write("rename", 3, ParseRename<false>, 2),
    Write("renamenx", 3, ParseRename<true>, 2),
    Write("rpop", -2, ParsePop<KvSide::kRight>),
    Write("rpush", -3, ParsePush<KvSide::kRight>),
    Write("sadd", -3, ParseSAdd),
    Write("set", -3, ParseSet),
    Write("setex", 4, ParseSetFor<true>),
    Answering(KvAnswer::kNumber, Write("setnx", 3, ParseSetNx)),
    Write("srem", -3, ParseSRem),
    Write("unlink", -2, ParseDel, -1),
};

}  // namespace

absl::Span<const KvCommandSpec> KvWriteSpecs() { return kWrites; }

}  // namespace kekbit::examples
