// Keyspace: keys with values and expiry times, of a key-value service.
//
// Keys stand in the order of a hash of them that never changes. So a cursor of Scan() is a place
// among the hashes, and means the same whatever is added or erased, and in every process that holds
// the same keys.
//
// Thread safety: as a standard container.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_KEYSPACE_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_KEYSPACE_H_

#include <cereal/cereal.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/strings/string_view.h"

namespace kekbit::examples {

using KvList = std::deque<std::string>;
using KvHash = std::map<std::string, std::string, std::less<>>;
using KvSet = std::set<std::string, std::less<>>;
// The place of a type in it is in snapshots: add new ones at the end.
using KvValue = std::variant<std::string, KvList, KvHash, KvSet>;

// Its name in TYPE.
absl::string_view KvTypeName(const KvValue& value);

class Keyspace final {
 public:
  static constexpr int64_t kNoExpiry = -1;

  struct Entry {
    std::string key;
    KvValue value;
    int64_t expire_ms = kNoExpiry;  // since the Unix epoch: gone once it is later than that
  };
  using Hash = uint64_t (*)(absl::string_view);

  explicit Keyspace(Hash hash = &Fnv1a) : hash_(hash) {}

  // FNV-1a, without its lowest bit, because some clients read cursors as signed numbers.
  static uint64_t Fnv1a(absl::string_view key);

  // Returns null if there is no such key. An entry stays where it is until erased.
  Entry* Find(absl::string_view key);
  const Entry* Find(absl::string_view key) const;
  // A new key, with an empty string and no expiry. REQUIRES: it is not there.
  Entry* Insert(std::string key);
  void Erase(Entry* entry);
  void SetExpiry(Entry* entry, int64_t expire_ms);  // kNoExpiry: none
  void Clear();

  // Keys that have changed since ForgetTouched(), as their HashOf(); some of them more than once.
  // Insert(), Erase(), Clear() and Purge() touch a key by themselves; code that changes an entry
  // calls Touch().
  void Touch(absl::string_view key) { touched_.push_back(hash_(key)); }
  const std::vector<uint64_t>& touched() const { return touched_; }
  void ForgetTouched() { touched_.clear(); }
  uint64_t HashOf(absl::string_view key) const { return hash_(key); }

  // Erases all that expired before `now_ms`.
  void Purge(int64_t now_ms);
  // The earliest expiry; the largest number if there is none.
  int64_t next_expiry_ms() const;

  size_t size() const { return slots_.size(); }
  size_t expiring() const { return expiries_.size(); }

  // Calls see(entry) for `count` entries from the place `cursor` on, 0 for the first, and for more
  // only if they share the last one's hash. Returns the cursor for the next call, or 0 at the end.
  // A key that exists during a whole row of calls, from 0 to 0, is seen once. A key that exists for
  // a part of the row is seen once or not at all.
  template <typename See>
  uint64_t Scan(uint64_t cursor, size_t count, See&& see) const {
    auto slot = slots_.lower_bound(cursor);
    for (uint64_t last = cursor; slot != slots_.end() && (count > 0 || slot->hash == last); ++slot) {
      see(static_cast<const Entry&>(*slot->entry));
      last = slot->hash;
      if (count > 0) --count;
    }
    return slot == slots_.end() ? 0 : slot->hash;
  }

  // Equal for equal content.
  uint64_t digest() const;

  template <class Archive>
  void save(Archive& archive) const {
    archive(cereal::make_size_tag(static_cast<cereal::size_type>(slots_.size())));
    for (const Slot& slot : slots_) archive(slot.entry->key, slot.entry->value, slot.entry->expire_ms);
  }
  template <class Archive>
  void load(Archive& archive) {
    Clear();
    cereal::size_type size = 0;
    archive(cereal::make_size_tag(size));
    for (; size > 0; --size) {
      Entry read;
      archive(read.key, read.value, read.expire_ms);
      if (Find(read.key) != nullptr) throw cereal::Exception("a key twice");
      Entry* entry = Insert(std::move(read.key));
      entry->value = std::move(read.value);
      SetExpiry(entry, read.expire_ms);
    }
    ForgetTouched();
  }

 private:
  struct Slot {
    uint64_t hash;
    std::unique_ptr<Entry> entry;
  };
  struct Wanted {
    uint64_t hash;
    absl::string_view key;
  };
  struct Before {
    using is_transparent = void;
    static Wanted Of(const Slot& slot) { return {slot.hash, slot.entry->key}; }
    static Wanted Of(const Wanted& wanted) { return wanted; }
    static Wanted Of(uint64_t hash) { return {hash, {}}; }  // before all keys of that hash
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      const Wanted left = Of(a);
      const Wanted right = Of(b);
      return left.hash != right.hash ? left.hash < right.hash : left.key < right.key;
    }
  };

  Hash hash_;
  absl::btree_set<Slot, Before> slots_;
  absl::btree_set<std::pair<int64_t, Entry*>> expiries_;
  std::vector<uint64_t> touched_;  // in no snapshot
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_KEYSPACE_H_
