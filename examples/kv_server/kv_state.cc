#include "examples/kv_server/kv_state.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kekbit::examples {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

KvState::Result WrongType() { return KvError{kKvWrongType}; }

KvState::Result InvalidExpiry(absl::string_view command) {
  return KvError{absl::StrCat("ERR invalid expire time in '", command, "' command")};
}

bool Has(uint8_t flags, KvExpireIf flag) { return (flags & static_cast<uint8_t>(flag)) != 0; }

// Returns true if EXPIRE's conditions let a key that expires at `current` expire at `wanted`.
bool MayExpire(uint8_t only_if, int64_t current, int64_t wanted) {
  const bool none = current == Keyspace::kNoExpiry;
  if (Has(only_if, KvExpireIf::kNone) && !none) return false;
  if (Has(only_if, KvExpireIf::kSome) && none) return false;
  if (Has(only_if, KvExpireIf::kLater) && (none || wanted <= current)) return false;
  return !Has(only_if, KvExpireIf::kEarlier) || none || wanted < current;
}

}  // namespace

KvState::Result KvState::Apply(const Command& command, const ApplyContext& context) {
  time_ms_ = context.time_ns() / 1'000'000;
  keys_.ForgetTouched();
  keys_.Purge(time_ms_);
  if (!parts_.empty() && !std::holds_alternative<KvTransaction>(command)) parts_.clear();
  return std::visit([this](const auto& c) { return Do(c); }, command);
}

void KvState::SetString(const std::string& key, const std::string& value, int64_t expire_ms) {
  Keyspace::Entry* entry = keys_.Find(key);
  if (entry == nullptr) entry = keys_.Insert(key);
  if (auto* string = std::get_if<std::string>(&entry->value)) {
    *string = value;
  } else {
    entry->value = value;
  }
  keys_.SetExpiry(entry, expire_ms);
  keys_.Touch(key);
}

KvState::Result KvState::Do(const KvSetString& command) {
  int64_t expire_ms = command.expire_ms;
  if (command.expiry == KvExpiry::kIn) {
    if (expire_ms > kMax - time_ms_) return InvalidExpiry("set");
    expire_ms += time_ms_;
  }
  const Keyspace::Entry* entry = keys_.Find(command.key);
  Result old = KvNil{};
  if (command.get && entry != nullptr) {
    const auto* value = std::get_if<std::string>(&entry->value);
    if (value == nullptr) return WrongType();
    old = *value;
  }
  if ((command.when == KvWhen::kIfMissing && entry != nullptr) ||
      (command.when == KvWhen::kIfThere && entry == nullptr)) {
    return old;
  }
  if (command.expiry == KvExpiry::kNone) expire_ms = Keyspace::kNoExpiry;
  if (command.expiry == KvExpiry::kKeep) expire_ms = entry == nullptr ? Keyspace::kNoExpiry : entry->expire_ms;
  SetString(command.key, command.value, expire_ms);
  return command.get ? old : KvOk{};
}

KvState::Result KvState::Do(const KvSetMany& command) {
  for (const auto& [key, value] : command.values) SetString(key, value, Keyspace::kNoExpiry);
  return KvOk{};
}

KvState::Result KvState::Do(const KvDelete& command) {
  int64_t deleted = 0;
  for (const std::string& key : command.keys) {
    if (Keyspace::Entry* entry = keys_.Find(key)) {
      keys_.Erase(entry);
      ++deleted;
    }
  }
  return deleted;
}

KvState::Result KvState::Do(const KvExpire& command) {
  if (command.in_ms > kMax - time_ms_) return InvalidExpiry(command.seconds ? "expire" : "pexpire");
  return Expire(command.key, command.only_if, time_ms_ + command.in_ms);
}

KvState::Result KvState::Do(const KvExpireAt& command) { return Expire(command.key, command.only_if, command.at_ms); }

KvState::Result KvState::Expire(const std::string& key, uint8_t only_if, int64_t expire_ms) {
  Keyspace::Entry* entry = keys_.Find(key);
  if (entry == nullptr || !MayExpire(only_if, entry->expire_ms, expire_ms)) return int64_t{0};
  if (expire_ms <= time_ms_) {
    keys_.Erase(entry);
  } else {
    keys_.SetExpiry(entry, expire_ms);
    keys_.Touch(key);
  }
  return int64_t{1};
}

KvState::Result KvState::Do(const KvPersist& command) {
  Keyspace::Entry* entry = keys_.Find(command.key);
  if (entry == nullptr || entry->expire_ms == Keyspace::kNoExpiry) return int64_t{0};
  keys_.SetExpiry(entry, Keyspace::kNoExpiry);
  keys_.Touch(command.key);
  return int64_t{1};
}

KvState::Result KvState::Do(const KvAdd& command) {
  Keyspace::Entry* entry = keys_.Find(command.key);
  int64_t number = 0;
  if (entry != nullptr) {
    const auto* value = std::get_if<std::string>(&entry->value);
    if (value == nullptr) return WrongType();
    if (!ParseKvInteger(*value, &number)) return KvError{kKvNotInteger};
  }
  if (__builtin_add_overflow(number, command.number, &number)) {
    return KvError{"ERR increment or decrement would overflow"};
  }
  if (entry == nullptr) entry = keys_.Insert(command.key);
  std::get<std::string>(entry->value) = absl::StrCat(number);
  keys_.Touch(command.key);
  return number;
}

KvState::Result KvState::Do(const KvAppend& command) {
  auto* value = FindOrMake<std::string>(command.key);
  if (value == nullptr) return WrongType();
  if (command.value.size() > kKvStringBytesMax - value->size()) {
    return KvError{"ERR string exceeds maximum allowed size (proto-max-bulk-len)"};
  }
  value->append(command.value);
  keys_.Touch(command.key);
  return static_cast<int64_t>(value->size());
}

template <typename T>
T* KvState::FindOrMake(const std::string& key) {
  Keyspace::Entry* entry = keys_.Find(key);
  if (entry == nullptr) {
    entry = keys_.Insert(key);
    entry->value.emplace<T>();
  }
  return std::get_if<T>(&entry->value);
}

KvState::Result KvState::Do(const KvSetFields& command) {
  auto* hash = FindOrMake<KvHash>(command.key);
  if (hash == nullptr) return WrongType();
  keys_.Touch(command.key);
  int64_t added = 0;
  for (const auto& [field, value] : command.fields) added += hash->insert_or_assign(field, value).second ? 1 : 0;
  return added;
}

template <typename T, typename Remove>
KvState::Result KvState::RemoveEach(const std::string& key, const std::vector<std::string>& names, Remove&& remove) {
  Keyspace::Entry* entry = keys_.Find(key);
  if (entry == nullptr) return int64_t{0};
  auto* container = std::get_if<T>(&entry->value);
  if (container == nullptr) return WrongType();
  int64_t removed = 0;
  for (const std::string& name : names) removed += remove(*container, name) ? 1 : 0;
  if (removed > 0) keys_.Touch(key);
  if (container->empty()) keys_.Erase(entry);
  return removed;
}

KvState::Result KvState::Do(const KvDeleteFields& command) {
  return RemoveEach<KvHash>(command.key, command.fields,
                            [](KvHash& hash, const std::string& field) { return hash.erase(field) > 0; });
}

KvState::Result KvState::Do(const KvPush& command) {
  auto* list = FindOrMake<KvList>(command.key);
  if (list == nullptr) return WrongType();
  keys_.Touch(command.key);
  for (const std::string& value : command.values) {
    if (command.side == KvSide::kLeft) {
      list->push_front(value);
    } else {
      list->push_back(value);
    }
  }
  return static_cast<int64_t>(list->size());
}

KvState::Result KvState::Do(const KvPop& command) {
  Keyspace::Entry* entry = keys_.Find(command.key);
  if (entry == nullptr) return command.one ? Result(KvNil{}) : Result(KvNilArray{});
  auto* list = std::get_if<KvList>(&entry->value);
  if (list == nullptr) return WrongType();
  const auto count = static_cast<size_t>(std::min<uint64_t>(command.one ? 1 : command.count, list->size()));
  std::vector<std::string> popped;
  popped.reserve(count);
  while (popped.size() < count) {
    if (command.side == KvSide::kLeft) {
      popped.push_back(std::move(list->front()));
      list->pop_front();
    } else {
      popped.push_back(std::move(list->back()));
      list->pop_back();
    }
  }
  if (count > 0) keys_.Touch(command.key);
  if (list->empty()) keys_.Erase(entry);
  if (command.one) return std::move(popped.front());
  return popped;
}

KvState::Result KvState::Do(const KvAddMembers& command) {
  auto* set = FindOrMake<KvSet>(command.key);
  if (set == nullptr) return WrongType();
  int64_t added = 0;
  for (const std::string& member : command.members) added += set->insert(member).second ? 1 : 0;
  if (added > 0) keys_.Touch(command.key);
  return added;
}

KvState::Result KvState::Do(const KvRemoveMembers& command) {
  return RemoveEach<KvSet>(command.key, command.members,
                           [](KvSet& set, const std::string& member) { return set.erase(member) > 0; });
}

KvState::Result KvState::Do(const KvFlush& /*command*/) {
  keys_.Clear();
  return KvOk{};
}

KvState::Result KvState::Do(const KvTick& /*command*/) { return KvOk{}; }

KvState::Result KvState::Do(const KvGetDelete& command) {
  Keyspace::Entry* entry = keys_.Find(command.key);
  if (entry == nullptr) return KvNil{};
  auto* value = std::get_if<std::string>(&entry->value);
  if (value == nullptr) return WrongType();
  Result result = std::move(*value);
  keys_.Erase(entry);
  return result;
}

KvState::Result KvState::Do(const KvRename& command) {
  Keyspace::Entry* from = keys_.Find(command.from);
  if (from == nullptr) return KvError{"ERR no such key"};
  Keyspace::Entry* to = keys_.Find(command.to);
  if (command.if_missing && to != nullptr) return int64_t{0};
  if (from != to) {
    if (to == nullptr) to = keys_.Insert(command.to);
    to->value = std::move(from->value);
    keys_.SetExpiry(to, from->expire_ms);
    keys_.Touch(command.to);
    keys_.Erase(from);
  }
  return command.if_missing ? Result(int64_t{1}) : KvOk{};
}

KvState::Result KvState::Do(const KvAsk& command) {
  KvReply answer;
  KvReplyWriter reply(&answer.text, command.resp);
  // One of a newer version may ask what this one does not know: nobody reads that answer.
  const KvQuerySpec* spec = command.words.empty() ? nullptr : KvQueryNamed(command.words[0]);
  const bool known = spec != nullptr && TakesKvArguments(spec->arity, command.words.size());
  known ? spec->query(keys_, time_ms_, command.words, reply) : reply.Error("ERR unknown command");
  return answer;
}

KvState::Result KvState::Do(const KvTransaction& command) {
  // Parts of another transaction are what a power failure left of that.
  if (command.part == 0) parts_.clear();
  if (command.part != parts_.size()) {
    parts_.clear();
    return KvError{"ERR a part of the transaction is missing"};
  }
  if (!command.last) {
    parts_.push_back(command);
    return KvOk{};
  }
  auto results = std::make_shared<KvResults>();
  const auto run = [&](const std::vector<KvStep>& steps) {
    for (const KvStep& step : steps) {
      results->results.push_back(std::visit([this](const auto& c) { return Do(c); }, step));
    }
  };
  for (const KvTransaction& part : std::exchange(parts_, {})) run(part.steps);
  run(command.steps);
  return results;
}

}  // namespace kekbit::examples
