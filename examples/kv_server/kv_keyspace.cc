#include "examples/kv_server/kv_keyspace.h"

#include <limits>

#include "kekbit/base/check.h"

namespace kekbit::examples {
namespace {

// FNV-1a, 64 bits.
class Digest {
 public:
  void Add(absl::string_view bytes) {
    Add(bytes.size());
    for (const char c : bytes) AddByte(static_cast<uint8_t>(c));
  }
  void Add(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) AddByte(static_cast<uint8_t>(number >> shift));
  }
  void Add(const KvList& list) { AddAll(list); }
  void Add(const KvSet& set) { AddAll(set); }
  void Add(const KvHash& hash) {
    Add(hash.size());
    for (const auto& [field, value] : hash) {
      Add(field);
      Add(value);
    }
  }
  uint64_t value() const { return value_; }

 private:
  void AddByte(uint8_t byte) { value_ = (value_ ^ byte) * 0x0000'0100'0000'01B3; }
  template <typename Strings>
  void AddAll(const Strings& strings) {
    Add(strings.size());
    for (const std::string& string : strings) Add(string);
  }

  uint64_t value_ = 0xCBF2'9CE4'8422'2325;
};

}  // namespace

absl::string_view KvTypeName(const KvValue& value) {
  static constexpr absl::string_view kNames[] = {"string", "list", "hash", "set"};
  static_assert(std::variant_size_v<KvValue> == sizeof kNames / sizeof kNames[0]);
  return kNames[value.index()];
}

uint64_t Keyspace::Fnv1a(absl::string_view key) {
  uint64_t hash = 0xCBF2'9CE4'8422'2325;
  for (const char c : key) hash = (hash ^ static_cast<uint8_t>(c)) * 0x0000'0100'0000'01B3;
  return hash >> 1;
}

Keyspace::Entry* Keyspace::Find(absl::string_view key) {
  const auto slot = slots_.find(Wanted{hash_(key), key});
  return slot == slots_.end() ? nullptr : slot->entry.get();
}

const Keyspace::Entry* Keyspace::Find(absl::string_view key) const { return const_cast<Keyspace*>(this)->Find(key); }

Keyspace::Entry* Keyspace::Insert(std::string key) {
  const uint64_t hash = hash_(key);
  const auto [slot, added] =
      slots_.insert({.hash = hash, .entry = std::make_unique<Entry>(Entry{.key = std::move(key), .value = {}})});
  KB_CHECK(added);
  touched_.push_back(hash);
  return slot->entry.get();
}

void Keyspace::Erase(Entry* entry) {
  SetExpiry(entry, kNoExpiry);
  const auto slot = slots_.find(Wanted{hash_(entry->key), entry->key});
  touched_.push_back(slot->hash);
  slots_.erase(slot);
}

void Keyspace::SetExpiry(Entry* entry, int64_t expire_ms) {
  if (entry->expire_ms != kNoExpiry) expiries_.erase({entry->expire_ms, entry});
  entry->expire_ms = expire_ms;
  if (expire_ms != kNoExpiry) expiries_.insert({expire_ms, entry});
}

void Keyspace::Clear() {
  for (const Slot& slot : slots_) touched_.push_back(slot.hash);
  expiries_.clear();
  slots_.clear();
}

void Keyspace::Purge(int64_t now_ms) {
  while (!expiries_.empty() && expiries_.begin()->first < now_ms) Erase(expiries_.begin()->second);
}

int64_t Keyspace::next_expiry_ms() const {
  return expiries_.empty() ? std::numeric_limits<int64_t>::max() : expiries_.begin()->first;
}

uint64_t Keyspace::digest() const {
  Digest digest;
  for (const Slot& slot : slots_) {
    const Entry& entry = *slot.entry;
    digest.Add(absl::string_view(entry.key));
    digest.Add(static_cast<uint64_t>(entry.value.index()));
    std::visit([&digest](const auto& value) { digest.Add(value); }, entry.value);
    digest.Add(static_cast<uint64_t>(entry.expire_ms));
  }
  return digest.value();
}

}  // namespace kekbit::examples
