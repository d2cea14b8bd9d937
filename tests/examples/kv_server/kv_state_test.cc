// KvState: what depends on the journal's time, what snapshots hold, and cursors. That commands
// answer as Redis does, kv_differential_test shows.

#include "examples/kv_server/kv_state.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/bytes.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/replication/state_archive.h"
#include "kekbit/replication/state_machine.h"
#include "tests/support/status_matchers.h"

namespace kekbit::examples {
namespace {

using testing::IsEmpty;

static_assert(StateMachine<KvState> && SnapshotState<KvState>);

constexpr int64_t kStartMs = 1'700'000'000'000;

// A result in a few words.
std::string Text(const KvState::Result& result) {
  struct Words {
    std::string operator()(const KvOk&) const { return "OK"; }
    std::string operator()(const KvNil&) const { return "nil"; }
    std::string operator()(const KvNilArray&) const { return "nil array"; }
    std::string operator()(const KvError& error) const { return error.text; }
    std::string operator()(int64_t number) const { return absl::StrCat(number); }
    std::string operator()(const std::string& bytes) const { return absl::StrCat("'", bytes, "'"); }
    std::string operator()(const std::vector<std::string>& strings) const {
      std::string text = "[";
      for (const std::string& string : strings) absl::StrAppend(&text, text.size() > 1 ? " " : "", string);
      return text + "]";
    }
    std::string operator()(const KvReply& reply) const { return absl::StrReplaceAll(reply.text, {{"\r\n", " "}}); }
    std::string operator()(const std::shared_ptr<const KvResults>& all) const {
      std::string text = "(";
      for (const KvResult& one : all->results) absl::StrAppend(&text, text.size() > 1 ? ", " : "", Text(one));
      return text + ")";
    }
  };
  return std::visit(Words(), result);
}

class KvStateTest : public testing::Test {
 protected:
  // Applies a command `at_ms` after the start.
  std::string Do(const KvState::Command& command, int64_t at_ms = 0) { return Text(state_.Apply(command, At(at_ms))); }
  ApplyContext At(int64_t at_ms) { return ApplyContext({.epoch = 1, .seq = ++seq_}, (kStartMs + at_ms) * 1'000'000); }
  bool Has(absl::string_view key) const { return state_.keys().Find(key) != nullptr; }

  KvState state_;
  Seq seq_ = 0;
};

KvSetString SetFor(std::string key, int64_t in_ms) {
  return {.key = std::move(key), .value = "v", .expiry = KvExpiry::kIn, .expire_ms = in_ms};
}

TEST_F(KvStateTest, AKeyExpiresWithTheFirstCommandBehindItsTime) {
  Do(SetFor("a", 100));
  Do(KvTick(), 100);
  EXPECT_TRUE(Has("a"));  // as for Redis, its last millisecond is its own
  EXPECT_EQ(state_.keys().next_expiry_ms(), kStartMs + 100);
  Do(KvTick(), 101);
  EXPECT_FALSE(Has("a"));
  EXPECT_EQ(state_.keys().expiring(), 0u);
}

TEST_F(KvStateTest, ACommandFindsNothingThatHasExpired) {
  for (const char* key : {"string", "number", "set", "nx", "deleted", "persistent"}) Do(SetFor(key, 100));
  EXPECT_EQ(Do(KvAppend{.key = "string", .value = "x"}, 200), "1");
  EXPECT_EQ(Do(KvAdd{.key = "number", .number = 5}, 200), "5");
  EXPECT_EQ(Do(KvAddMembers{.key = "set", .members = {"x"}}, 200), "1");
  EXPECT_EQ(Do(KvSetString{.key = "nx", .value = "new", .when = KvWhen::kIfMissing, .get = true}, 200), "nil");
  EXPECT_EQ(Do(KvDelete{.keys = {"deleted"}}, 200), "0");
  EXPECT_EQ(Do(KvPersist{.key = "persistent"}, 200), "0");
  EXPECT_EQ(Do(KvPop{.key = "gone"}, 200), "nil");
  // The value that takes its place does not have its expiry.
  EXPECT_EQ(state_.keys().expiring(), 0u);
}

TEST_F(KvStateTest, ReplicasAgreeWhateverTheirClocksSay) {
  // Two states that apply the same frames, one of them with pauses: only the frames' time counts.
  KvState other;
  std::mt19937_64 random(1);
  int64_t at_ms = 0;
  for (int i = 0; i < 20'000; ++i) {
    at_ms += static_cast<int64_t>(random() % 3);
    const std::string key = absl::StrCat(random() % 50);
    KvState::Command command;
    switch (random() % 5) {
      case 0:
        command = SetFor(key, static_cast<int64_t>(random() % 100) + 1);
        break;
      case 1:
        command = KvExpire{.key = key, .in_ms = static_cast<int64_t>(random() % 100) - 2};
        break;
      case 2:
        command = KvPush{.key = key, .values = {"x", "y"}};
        break;
      case 3:
        command = KvAdd{.key = key, .number = 1};
        break;
      default:
        command = KvAddMembers{.key = key, .members = {absl::StrCat(random() % 5)}};
    }
    const ApplyContext context = At(at_ms);
    ASSERT_EQ(Text(state_.Apply(command, context)), Text(other.Apply(command, context)));
  }
  EXPECT_EQ(state_.digest(), other.digest());
  EXPECT_GT(state_.keys().expiring(), 0u);
}

TEST_F(KvStateTest, ExpiryIsBoundedByWhatANumberHolds) {
  Do(SetFor("a", 1));
  EXPECT_EQ(Do(KvExpire{.key = "a", .in_ms = INT64_MAX - kStartMs}), "1");
  EXPECT_EQ(Do(KvExpire{.key = "a", .in_ms = INT64_MAX - kStartMs + 1}),
            "ERR invalid expire time in 'pexpire' command");
  EXPECT_EQ(Do(KvExpire{.key = "a", .in_ms = INT64_MAX, .seconds = true}),
            "ERR invalid expire time in 'expire' command");
  EXPECT_EQ(Do(SetFor("a", INT64_MAX)), "ERR invalid expire time in 'set' command");
  EXPECT_EQ(state_.keys().Find("a")->expire_ms, INT64_MAX);
  EXPECT_EQ(Do(KvExpire{.key = "a", .in_ms = INT64_MIN}), "1");
  EXPECT_FALSE(Has("a"));
}

TEST_F(KvStateTest, IntegersDoNotOverflow) {
  EXPECT_EQ(Do(KvAdd{.key = "n", .number = INT64_MAX}), "9223372036854775807");
  EXPECT_EQ(Do(KvAdd{.key = "n", .number = 1}), "ERR increment or decrement would overflow");
  EXPECT_EQ(Do(KvAdd{.key = "n", .number = INT64_MIN}), "-1");
  EXPECT_EQ(Do(KvAdd{.key = "n", .number = INT64_MIN}), "ERR increment or decrement would overflow");
  EXPECT_EQ(Do(KvAdd{.key = "n", .number = 0}), "-1");
}

TEST_F(KvStateTest, ATypeIsNotTakenForAnother) {
  Do(KvSetString{.key = "string", .value = "1"});
  Do(KvPush{.key = "list", .values = {"1"}});
  Do(KvSetFields{.key = "hash", .fields = {{"f", "1"}}});
  Do(KvAddMembers{.key = "set", .members = {"1"}});
  const uint64_t before = state_.digest();
  for (const std::string key : {"string", "list", "hash", "set"}) {
    if (key != "string") {
      EXPECT_EQ(Do(KvAdd{.key = key, .number = 1}), kKvWrongType);
      EXPECT_EQ(Do(KvAppend{.key = key, .value = "x"}), kKvWrongType);
      EXPECT_EQ(Do(KvSetString{.key = key, .value = "x", .get = true}), kKvWrongType);
    }
    if (key != "list") {
      EXPECT_EQ(Do(KvPush{.key = key, .values = {"x"}}), kKvWrongType);
      EXPECT_EQ(Do(KvPop{.key = key}), kKvWrongType);
    }
    if (key != "hash") {
      EXPECT_EQ(Do(KvSetFields{.key = key, .fields = {{"f", "x"}}}), kKvWrongType);
      EXPECT_EQ(Do(KvDeleteFields{.key = key, .fields = {"f"}}), kKvWrongType);
    }
    if (key != "set") {
      EXPECT_EQ(Do(KvAddMembers{.key = key, .members = {"x"}}), kKvWrongType);
      EXPECT_EQ(Do(KvRemoveMembers{.key = key, .members = {"1"}}), kKvWrongType);
    }
  }
  EXPECT_EQ(state_.digest(), before);
}

TEST_F(KvStateTest, WhatIsEmptyIsGone) {
  Do(KvPush{.key = "list", .values = {"a", "b"}});
  EXPECT_EQ(Do(KvPop{.key = "list", .side = KvSide::kRight, .one = false, .count = UINT64_MAX}), "[a b]");
  Do(KvSetFields{.key = "hash", .fields = {{"f", "1"}, {"g", "2"}, {"f", "3"}}});
  EXPECT_EQ(Do(KvDeleteFields{.key = "hash", .fields = {"f", "g", "f"}}), "2");
  Do(KvAddMembers{.key = "set", .members = {"a", "a"}});
  EXPECT_EQ(Do(KvRemoveMembers{.key = "set", .members = {"a"}}), "1");
  EXPECT_EQ(state_.keys().size(), 0u);
}

TEST_F(KvStateTest, ASnapshotHasEverything) {
  Do(KvSetString{.key = "string", .value = std::string("\0\xFF", 2)});
  Do(KvPush{.key = "list", .values = {"1", "", "3"}});
  Do(KvSetFields{.key = "hash", .fields = {{"f", "1"}, {"", "2"}}});
  Do(KvAddMembers{.key = "set", .members = {"x", "y"}});
  Do(SetFor("expiring", 1000), 5);
  std::vector<uint8_t> bytes(4096);
  const auto size = CerealBinaryCodec::Encode(state_, MutableBytes(bytes));
  ASSERT_THAT(size, IsOk());
  KvState loaded;
  loaded.Apply(KvSetString{.key = "old", .value = "x"}, At(0));
  ASSERT_THAT(CerealBinaryCodec::Decode(Bytes(bytes).first(*size), &loaded), IsOk());
  EXPECT_EQ(loaded.digest(), state_.digest());
  EXPECT_EQ(loaded.keys().size(), 5u);
  EXPECT_EQ(loaded.time_ms(), kStartMs + 5);
  loaded.Apply(KvTick(), At(2000));
  EXPECT_EQ(loaded.keys().Find("expiring"), nullptr);
  EXPECT_NE(loaded.digest(), state_.digest());
}

// A state in the bytes of a snapshot, and back.
void SaveAndLoad(const KvState& state, KvState* loaded) {
  std::vector<uint8_t> bytes(4096);
  const auto size = CerealBinaryCodec::Encode(state, MutableBytes(bytes));
  ASSERT_THAT(size, IsOk());
  ASSERT_THAT(CerealBinaryCodec::Decode(Bytes(bytes).first(*size), loaded), IsOk());
}

TEST_F(KvStateTest, ASnapshotOfBeforeTransactionsIsTaken) {
  // As version 1 saved a state: its time and its keys.
  Keyspace keys;
  keys.Insert("a")->value = "b";
  std::vector<uint8_t> bytes(4096);
  const auto size = CerealBinaryCodec::Encode(std::pair(kStartMs, std::move(keys)), MutableBytes(bytes));
  ASSERT_THAT(size, IsOk());
  ASSERT_THAT(CerealBinaryCodec::Decode(Bytes(bytes).first(*size), &state_), IsOk());
  EXPECT_EQ(state_.time_ms(), kStartMs);
  EXPECT_TRUE(Has("a"));
}

KvStep Append(std::string key, std::string value) { return KvAppend{.key = std::move(key), .value = std::move(value)}; }

TEST_F(KvStateTest, ATransactionAnswersEachOfItsSteps) {
  EXPECT_EQ(
      Do(KvTransaction{.steps = {Append("a", "xy"), KvAsk{.words = {"GET", "a"}}, KvPush{.key = "a", .values = {"v"}},
                                 KvAdd{.key = "n", .number = 3}, KvAsk{.words = {"get", "none"}, .resp = 3},
                                 KvDelete{.keys = {"a"}}, KvAsk{.words = {"EXISTS", "a"}}}}),
      absl::StrCat("(2, $2 xy , ", kKvWrongType, ", 3, _ , 1, :0 )"));
  EXPECT_FALSE(Has("a"));
  EXPECT_TRUE(Has("n"));
}

TEST_F(KvStateTest, AQuestionOfANewerVersionChangesNothing) {
  for (const KvArguments& words :
       {KvArguments{}, KvArguments{"NOSUCH"}, KvArguments{"GET"}, KvArguments{"GET", "a", "b"}}) {
    EXPECT_EQ(Do(KvTransaction{.steps = {KvAsk{.words = words}, Append("a", "x")}}).substr(0, 21),
              "(-ERR unknown command");
  }
  EXPECT_EQ(Do(KvTransaction{.steps = {KvAsk{.words = {"GET", "a"}}}}), "($4 xxxx )");
}

TEST_F(KvStateTest, APartOfATransactionDoesNothingByItself) {
  Do(KvTransaction{.last = false, .steps = {Append("a", "1"), Append("a", "2")}});
  Do(KvTransaction{.part = 1, .last = false, .steps = {Append("a", "3")}});
  EXPECT_FALSE(Has("a"));
  // A snapshot may be taken here.
  KvState loaded;
  SaveAndLoad(state_, &loaded);
  EXPECT_EQ(loaded.time_ms(), kStartMs);
  const KvTransaction last{.part = 2, .steps = {Append("a", "4"), KvAsk{.words = {"GET", "a"}}}};
  for (KvState* state : {&loaded, &state_}) {
    EXPECT_EQ(Text(state->Apply(last, At(0))), "(1, 2, 3, 4, $4 1234 )");
  }
  // Nothing of it is left.
  SaveAndLoad(state_, &loaded);
  EXPECT_EQ(Text(loaded.Apply(KvTransaction{.steps = {Append("b", "1")}}, At(0))), "(1)");
}

TEST_F(KvStateTest, ATransactionWithoutItsEndIsNone) {
  // What a power failure may leave: parts, and then whatever the next primary does.
  for (const KvState::Command& next :
       std::vector<KvState::Command>{KvTick(), KvTransaction{.steps = {Append("b", "x")}},
                                     KvTransaction{.part = 0, .last = false, .steps = {Append("b", "x")}}}) {
    Do(KvTransaction{.last = false, .steps = {Append("a", "1")}});
    Do(next);
    const bool begun = std::holds_alternative<KvTransaction>(next) && !std::get<KvTransaction>(next).last;
    EXPECT_EQ(Do(KvTransaction{.part = 1, .steps = {Append("b", "y")}}),
              begun ? "(2, 3)" : "ERR a part of the transaction is missing");
    EXPECT_FALSE(Has("a"));
  }
  EXPECT_EQ(Do(KvTransaction{.steps = {KvAsk{.words = {"GET", "b"}}}}), "($3 xxy )");
}

TEST_F(KvStateTest, EachCommandSaysWhichKeysItTouched) {
  const auto touched = [this](const KvState::Command& command, int64_t at_ms = 0) {
    Do(command, at_ms);
    const std::vector<uint64_t>& hashes = state_.keys().touched();
    std::set<std::string> keys;
    for (const char* key : {"a", "b", "h", "l", "s", "t"}) {
      if (std::count(hashes.begin(), hashes.end(), state_.keys().HashOf(key)) > 0) keys.insert(key);
    }
    return absl::StrJoin(keys, " ");
  };
  EXPECT_EQ(touched(KvSetString{.key = "a", .value = "1"}), "a");
  EXPECT_EQ(touched(KvSetString{.key = "a", .value = "1", .when = KvWhen::kIfMissing}), "");
  EXPECT_EQ(touched(KvSetMany{.values = {{"a", "1"}, {"b", "2"}}}), "a b");
  EXPECT_EQ(touched(KvAdd{.key = "a", .number = 1}), "a");
  EXPECT_EQ(touched(KvAppend{.key = "a", .value = ""}), "a");
  EXPECT_EQ(touched(KvSetFields{.key = "h", .fields = {{"f", "v"}}}), "h");
  EXPECT_EQ(touched(KvSetFields{.key = "h", .fields = {{"f", "v"}}}), "h");
  EXPECT_EQ(touched(KvDeleteFields{.key = "h", .fields = {"g"}}), "");
  EXPECT_EQ(touched(KvDeleteFields{.key = "h", .fields = {"f"}}), "h");
  EXPECT_EQ(touched(KvPush{.key = "l", .values = {"v", "w"}}), "l");
  EXPECT_EQ(touched(KvPop{.key = "l"}), "l");
  EXPECT_EQ(touched(KvPop{.key = "l", .one = false, .count = 0}), "");
  EXPECT_EQ(touched(KvAddMembers{.key = "s", .members = {"m", "n"}}), "s");
  EXPECT_EQ(touched(KvAddMembers{.key = "s", .members = {"m"}}), "");
  EXPECT_EQ(touched(KvRemoveMembers{.key = "s", .members = {"x"}}), "");
  EXPECT_EQ(touched(KvRemoveMembers{.key = "s", .members = {"m"}}), "s");
  EXPECT_EQ(touched(KvExpire{.key = "a", .in_ms = 1000}), "a");
  EXPECT_EQ(touched(KvExpireAt{.key = "a", .at_ms = kStartMs + 500}), "a");
  EXPECT_EQ(touched(KvExpireAt{.key = "none", .at_ms = kStartMs + 500}), "");
  EXPECT_EQ(touched(KvPersist{.key = "a"}), "a");
  EXPECT_EQ(touched(KvPersist{.key = "a"}), "");
  EXPECT_EQ(touched(KvRename{.from = "a", .to = "t"}), "a t");
  EXPECT_EQ(touched(KvRename{.from = "t", .to = "b", .if_missing = true}), "");
  EXPECT_EQ(touched(KvGetDelete{.key = "t"}), "t");
  EXPECT_EQ(touched(KvDelete{.keys = {"b", "none"}}), "b");
  EXPECT_EQ(touched(SetFor("t", 100)), "t");
  EXPECT_EQ(touched(KvTick(), 200), "t");
  EXPECT_EQ(touched(KvTransaction{.steps = {Append("a", "1"), Append("b", "1")}}), "a b");
  EXPECT_EQ(touched(KvFlush()), "a b l s");
}

TEST_F(KvStateTest, ARenamedKeyKeepsItsValueAndItsExpiry) {
  Do(KvPush{.key = "l", .values = {"x"}});
  Do(KvExpire{.key = "l", .in_ms = 100});
  Do(SetFor("old", 50));
  EXPECT_EQ(Do(KvRename{.from = "l", .to = "old"}), "OK");
  EXPECT_EQ(Do(KvRename{.from = "old", .to = "old"}), "OK");
  EXPECT_EQ(Do(KvRename{.from = "l", .to = "old"}), "ERR no such key");
  EXPECT_EQ(Do(KvPop{.key = "old", .one = false, .count = 0}, 60), "[]");
  EXPECT_EQ(state_.keys().next_expiry_ms(), kStartMs + 100);
  Do(KvTick(), 101);
  EXPECT_EQ(state_.keys().size(), 0u);
}

TEST_F(KvStateTest, TheDigestSeesEachPart) {
  std::set<uint64_t> digests;
  const auto add = [&](const KvState::Command& command) {
    Do(command);
    EXPECT_TRUE(digests.insert(state_.digest()).second) << digests.size();
  };
  add(KvFlush());
  add(KvSetString{.key = "a", .value = "b"});
  add(KvSetString{.key = "ab", .value = ""});
  add(SetFor("a", 100));
  add(KvPersist{.key = "a"});
  add(KvPush{.key = "l", .values = {"x"}});
  add(KvPush{.key = "l", .values = {"y"}});
  add(KvSetFields{.key = "l2", .fields = {{"f", "g"}}});
  add(KvSetFields{.key = "l2", .fields = {{"g", ""}}});
  add(KvDelete{.keys = {"ab"}});
}

// Few hashes, so that many keys have the same one.
uint64_t FewHashes(absl::string_view key) { return key.size() % 3; }

std::vector<std::string> Scanned(const Keyspace& keys, size_t count, size_t* calls) {
  std::vector<std::string> seen;
  uint64_t cursor = 0;
  *calls = 0;
  do {
    cursor = keys.Scan(cursor, count, [&](const Keyspace::Entry& entry) { seen.push_back(entry.key); });
    ++*calls;
  } while (cursor != 0);
  return seen;
}

TEST(KeyspaceTest, ScanGoesThroughAllKeys) {
  for (const Keyspace::Hash hash : {&Keyspace::Fnv1a, &FewHashes}) {
    Keyspace keys(hash);
    size_t calls = 0;
    EXPECT_THAT(Scanned(keys, 10, &calls), IsEmpty());
    std::set<std::string> all;
    for (int i = 0; i < 1000; ++i) {
      keys.Insert(absl::StrCat(i));
      all.insert(absl::StrCat(i));
    }
    for (const size_t count : {size_t{1}, size_t{7}, size_t{1000}, SIZE_MAX}) {
      const std::vector<std::string> seen = Scanned(keys, count, &calls);
      EXPECT_EQ(seen.size(), all.size());
      EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()), all);
      if (hash == &Keyspace::Fnv1a) {
        EXPECT_EQ(calls, count > 1000 ? 1 : (1000 + count - 1) / count);
      }
    }
  }
}

TEST(KeyspaceTest, ScanSeesOnceWhatIsThereAllTheTime) {
  for (const Keyspace::Hash hash : {&Keyspace::Fnv1a, &FewHashes}) {
    Keyspace keys(hash);
    std::mt19937_64 random(3);
    for (int i = 0; i < 500; ++i) keys.Insert(absl::StrCat("stays", i));
    for (int i = 0; i < 500; ++i) keys.Insert(absl::StrCat("goes", i));
    std::map<std::string, int> seen;
    uint64_t cursor = 0;
    int number = 0;
    do {
      cursor = keys.Scan(cursor, 10, [&](const Keyspace::Entry& entry) { ++seen[entry.key]; });
      for (int i = 0; i < 20; ++i) {
        Keyspace::Entry* entry = keys.Find(absl::StrCat("goes", random() % 500));
        if (entry != nullptr) keys.Erase(entry);
        keys.Insert(absl::StrCat("comes", number++));
      }
    } while (cursor != 0);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(seen[absl::StrCat("stays", i)], 1);
    for (const auto& [key, times] : seen) EXPECT_LE(times, 1) << key;
  }
}

TEST(KeyspaceTest, KeysOfOneHashAreDifferentKeys) {
  Keyspace keys(&FewHashes);
  keys.Insert("abc")->value = "1";
  keys.Insert("def")->value = "2";
  keys.SetExpiry(keys.Find("def"), 5);
  EXPECT_EQ(keys.Find("ghi"), nullptr);
  keys.Erase(keys.Find("abc"));
  EXPECT_EQ(keys.Find("abc"), nullptr);
  ASSERT_NE(keys.Find("def"), nullptr);
  keys.Purge(6);
  EXPECT_EQ(keys.size(), 0u);
}

TEST(KvIntegerTest, OnlyWhatRedisTakes) {
  int64_t value = 0;
  for (const int64_t number : {int64_t{0}, int64_t{7}, int64_t{-7}, INT64_MAX, INT64_MIN}) {
    EXPECT_TRUE(ParseKvInteger(absl::StrCat(number), &value));
    EXPECT_EQ(value, number);
  }
  for (const char* text : {"", "-", "+1", " 1", "1 ", "01", "-0", "-01", "00", "0x1", "1.0", "9223372036854775808",
                           "-9223372036854775809"}) {
    EXPECT_FALSE(ParseKvInteger(text, &value)) << text;
  }
  EXPECT_FALSE(ParseKvInteger(absl::string_view("1\0", 2), &value));
}

}  // namespace
}  // namespace kekbit::examples
