// KvState is the keys of a key-value service, as the state of a Replica. Its commands are those of
// Redis that change something; what they do and answer is what Redis 7.0 does and answers.
//
// Time is that of the journal: a key expires for every replica at the same frame. Apply() first
// erases what has expired by the time of its command. So between commands keys stay that are due.
// KvTick is the command that does nothing else, for a service that finds a due key.
//
// The parser of requests (kv_commands.h) has made sure that a command makes sense as such. What
// depends on the keys is answered here.

#ifndef KEKBIT_EXAMPLES_KV_SERVER_KV_STATE_H_
#define KEKBIT_EXAMPLES_KV_SERVER_KV_STATE_H_

#include <cereal/types/string.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "examples/kv_server/kv_keyspace.h"
#include "examples/kv_server/kv_queries.h"
#include "kekbit/replication/apply_context.h"

namespace kekbit::examples {

// The length that a string may reach by APPEND.
inline constexpr size_t kKvStringBytesMax = 512u << 20;

enum class KvWhen : uint8_t { kAlways, kIfMissing, kIfThere };  // NX, XX
enum class KvExpiry : uint8_t { kNone, kKeep, kIn, kAt };       // none, KEEPTTL, EX and PX, EXAT, PXAT
enum class KvExpireIf : uint8_t { kNone = 1, kSome = 2, kLater = 4, kEarlier = 8 };  // NX, XX, GT, LT
enum class KvSide : uint8_t { kLeft, kRight };

// Each with the members that cereal saves, in this order.
#define KV_FIELDS(...)               \
  template <class Archive>           \
  void serialize(Archive& archive) { \
    archive(__VA_ARGS__);            \
  }

struct KvSetString {
  std::string key, value;
  KvWhen when = KvWhen::kAlways;
  KvExpiry expiry = KvExpiry::kNone;
  bool get = false;       // answer with the old value
  int64_t expire_ms = 0;  // from now on, or since the Unix epoch
  KV_FIELDS(key, value, when, expiry, get, expire_ms)
};
struct KvSetMany {
  std::vector<std::pair<std::string, std::string>> values;
  KV_FIELDS(values)
};
struct KvDelete {
  std::vector<std::string> keys;
  KV_FIELDS(keys)
};
struct KvExpire {
  std::string key;
  int64_t in_ms = 0;
  uint8_t only_if = 0;   // any KvExpireIf
  bool seconds = false;  // for the words of an error
  KV_FIELDS(key, in_ms, only_if, seconds)
};
struct KvPersist {
  std::string key;
  KV_FIELDS(key)
};
struct KvAdd {
  std::string key;
  int64_t number = 0;
  KV_FIELDS(key, number)
};
struct KvAppend {
  std::string key, value;
  KV_FIELDS(key, value)
};
struct KvSetFields {
  std::string key;
  std::vector<std::pair<std::string, std::string>> fields;
  KV_FIELDS(key, fields)
};
struct KvDeleteFields {
  std::string key;
  std::vector<std::string> fields;
  KV_FIELDS(key, fields)
};
struct KvPush {
  std::string key;
  KvSide side = KvSide::kLeft;
  std::vector<std::string> values;
  KV_FIELDS(key, side, values)
};
struct KvPop {
  std::string key;
  KvSide side = KvSide::kLeft;
  bool one = true;  // answer with a string, not with an array of `count`
  uint64_t count = 1;
  KV_FIELDS(key, side, one, count)
};
struct KvAddMembers {
  std::string key;
  std::vector<std::string> members;
  KV_FIELDS(key, members)
};
struct KvRemoveMembers {
  std::string key;
  std::vector<std::string> members;
  KV_FIELDS(key, members)
};
struct KvFlush {
  KV_FIELDS()
};
struct KvTick {
  KV_FIELDS()
};
struct KvExpireAt {
  std::string key;
  int64_t at_ms = 0;    // since the Unix epoch
  uint8_t only_if = 0;  // any KvExpireIf
  KV_FIELDS(key, at_ms, only_if)
};
struct KvGetDelete {
  std::string key;
  KV_FIELDS(key)
};
struct KvRename {
  std::string from, to;
  bool if_missing = false;  // only if there is no key `to`
  KV_FIELDS(from, to, if_missing)
};
// A question amid the commands of a transaction: its answer depends on those before it.
struct KvAsk {
  KvArguments words;
  uint8_t resp = 2;  // the version of the protocol to answer in
  KV_FIELDS(words, resp)
};

// A command of a transaction. The place of a type in it is in journals: add new ones at the end.
using KvStep = std::variant<KvSetString, KvSetMany, KvDelete, KvExpire, KvPersist, KvAdd, KvAppend, KvSetFields,
                            KvDeleteFields, KvPush, KvPop, KvAddMembers, KvRemoveMembers, KvFlush, KvTick, KvExpireAt,
                            KvGetDelete, KvRename, KvAsk>;

// The commands between MULTI and EXEC. If they don't fit into one frame, they are cut into several
// of these, which are published together. The last one does what all of them say. So a power
// failure that leaves a part only of the frames leaves nothing of the transaction.
struct KvTransaction {
  uint32_t part = 0;  // how many of them stand before this one
  bool last = true;
  std::vector<KvStep> steps;
  KV_FIELDS(part, last, steps)
};

#undef KV_FIELDS

struct KvOk {};
struct KvNil {};
struct KvNilArray {};
struct KvError {
  std::string text;
};
// The answer to a question, as the protocol has it.
struct KvReply {
  std::string text;
};
struct KvResults;

// KvResult is what Redis would answer.
using KvResult = std::variant<KvOk, KvNil, KvNilArray, KvError, int64_t, std::string, std::vector<std::string>, KvReply,
                              std::shared_ptr<const KvResults>>;

// KvResults are the results of the steps of a transaction.
struct KvResults {
  std::vector<KvResult> results;
};

class KvState final {
 public:
  // The place of a command in it is in journals: add new ones at the end.
  using Command = std::variant<KvSetString, KvSetMany, KvDelete, KvExpire, KvPersist, KvAdd, KvAppend, KvSetFields,
                               KvDeleteFields, KvPush, KvPop, KvAddMembers, KvRemoveMembers, KvFlush, KvTick,
                               KvExpireAt, KvGetDelete, KvRename, KvTransaction>;
  // In its journals, whatever the class will be called.
  static constexpr absl::string_view kStateName = "kv_server";
  // Type and version of its snapshots; the version grows when save() changes. Version 1 knew no
  // transactions.
  static constexpr uint32_t kSnapshotTypeId = 0x4B56;  // "KV"
  static constexpr uint32_t kSnapshotVersion = 2;
  using Result = KvResult;

  Result Apply(const Command& command, const ApplyContext& context);

  const Keyspace& keys() const { return keys_; }
  // Returns the time of the last command, in milliseconds since the Unix epoch.
  int64_t time_ms() const { return time_ms_; }
  uint64_t digest() const { return keys_.digest(); }

  // A snapshot may stand amid the parts of a transaction. A negative time says that the parts
  // follow; snapshots of version 1 have none.
  template <class Archive>
  void save(Archive& archive) const {
    parts_.empty() ? archive(time_ms_, keys_) : archive(-1 - time_ms_, keys_, parts_);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(time_ms_, keys_);
    parts_.clear();
    if (time_ms_ >= 0) return;
    time_ms_ = -1 - time_ms_;
    archive(parts_);
  }

 private:
  Result Do(const KvSetString& command);
  Result Do(const KvSetMany& command);
  Result Do(const KvDelete& command);
  Result Do(const KvExpire& command);
  Result Do(const KvPersist& command);
  Result Do(const KvAdd& command);
  Result Do(const KvAppend& command);
  Result Do(const KvSetFields& command);
  Result Do(const KvDeleteFields& command);
  Result Do(const KvPush& command);
  Result Do(const KvPop& command);
  Result Do(const KvAddMembers& command);
  Result Do(const KvRemoveMembers& command);
  Result Do(const KvFlush& command);
  Result Do(const KvTick& command);
  Result Do(const KvExpireAt& command);
  Result Do(const KvGetDelete& command);
  Result Do(const KvRename& command);
  Result Do(const KvTransaction& command);
  Result Do(const KvAsk& command);

  void SetString(const std::string& key, const std::string& value, int64_t expire_ms);
  // The value of type T at the key, made if it is not there; null if another type is.
  template <typename T>
  T* FindOrMake(const std::string& key);
  Result Expire(const std::string& key, uint8_t only_if, int64_t expire_ms);
  // Calls remove(container, name) for each name while there is something left; answers with how
  // often it was true.
  template <typename T, typename Remove>
  Result RemoveEach(const std::string& key, const std::vector<std::string>& names, Remove&& remove);

  Keyspace keys_;
  int64_t time_ms_ = 0;
  // Parts of a transaction whose last part has not come. If another command comes, the last part
  // never will.
  std::vector<KvTransaction> parts_;
};

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_KV_SERVER_KV_STATE_H_
