// ReplicaOptions::checks.decode: a command that does not come out of the journal as it went in is not journaled.

#include "kekbit/replication/apply/command_check.h"

#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/codecs/cereal/cereal_json_codec.h"
#include "kekbit/codecs/codec.h"
#include "kekbit/codecs/text_codec.h"
#include "tests/support/replica_fixture.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

template <typename Codec, typename Command>
absl::Status Check(const Command& command, Command* decoded = nullptr) {
  std::vector<uint8_t> bytes(1000);
  const absl::StatusOr<size_t> length = Codec::Encode(command, MutableBytes(bytes));
  if (!length.ok()) return length.status();
  Command own;
  return DecodeChecked<Codec>(command, Bytes(bytes).first(*length), decoded == nullptr ? own : *decoded);
}

// In each a member is left out of serialize().
struct ForgetsAndCompares {
  std::string account;
  int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(account);
  }
  friend bool operator==(const ForgetsAndCompares&, const ForgetsAndCompares&) = default;
};
struct ForgetsNumber {
  uint64_t account = 0;
  int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(account);
  }
};

const auto kRefused = absl::StatusCode::kInvalidArgument;

TEST(CommandCheckTest, AMemberLeftOutIsFoundByComparing) {
  EXPECT_THAT((Check<CerealBinaryCodec>(ForgetsAndCompares{.account = "ada", .amount = 250})),
              StatusIs(kRefused, AllOf(HasSubstr("checks.decode"), HasSubstr("ForgetsAndCompares"))));
  EXPECT_THAT((Check<CerealJsonCodec>(ForgetsAndCompares{.account = "ada", .amount = 250})), StatusIs(kRefused));
  EXPECT_THAT((Check<CerealBinaryCodec>(ForgetsAndCompares{.account = "ada", .amount = 0})), IsOk());
}

TEST(CommandCheckTest, AMemberLeftOutIsFoundByTheBytesInMemory) {
  EXPECT_THAT((Check<CerealBinaryCodec>(ForgetsNumber{.account = 1, .amount = 250})),
              StatusIs(kRefused, HasSubstr("ForgetsNumber")));
}

struct Inner {
  std::string text;
  double lost = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(text));
  }
};
struct ForgetsDeepInside {
  std::vector<Inner> all;
  uint8_t flag = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(all, flag);
  }
};
struct ForgetsText {
  std::string account;
  std::string note;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(account);
  }
};
struct Whole {
  uint8_t a = 0;
  std::string text;
  uint16_t b = 0;
  std::map<int, double> map;
  double d = 0;
  uint8_t e = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(a, CEREAL_NVP(text), b, map, d, e);
  }
};

// In types that have nothing to be compared by.
TEST(CommandCheckTest, AMemberLeftOutIsFoundByWhatSerializeIsNotGiven) {
  const ForgetsDeepInside deep = {.all = {{.text = "a"}, {.text = "b", .lost = 250}}};
  EXPECT_THAT((Check<CerealBinaryCodec>(deep)),
              StatusIs(kRefused, AllOf(HasSubstr("bytes 32 to 40 of a "), HasSubstr("Inner"))));
  EXPECT_THAT((Check<CerealJsonCodec>(deep)), StatusIs(kRefused, HasSubstr("Inner")));
  EXPECT_THAT((Check<CerealBinaryCodec>(ForgetsText{.account = "ada", .note = "lost"})),
              StatusIs(kRefused, HasSubstr("bytes 32 to 64 of a ")));
  EXPECT_THAT((Check<CerealBinaryCodec>(std::variant<int, Inner>(Inner{.text = "a", .lost = 1}))),
              StatusIs(kRefused, HasSubstr("Inner")));
}

TEST(CommandCheckTest, PaddingIsNoMemberLeftOut) {
  for (int fill : {0, 0xAA}) {
    alignas(Whole) uint8_t memory[sizeof(Whole)];
    std::memset(memory, fill, sizeof memory);
    Whole* const whole = new (memory) Whole{.a = 1, .text = "text", .b = 2, .map = {{1, 0.5}}, .d = 1.5, .e = 3};
    EXPECT_THAT((Check<CerealBinaryCodec>(*whole)), IsOk());
    whole->~Whole();
  }
}

TEST(CommandCheckTest, OfAVariantTheAlternativeIsComparedAndNamed) {
  using Command = std::variant<std::string, ForgetsAndCompares, std::map<int, std::string>>;
  EXPECT_THAT((Check<CerealBinaryCodec>(Command(ForgetsAndCompares{.account = "ada", .amount = 250}))),
              StatusIs(kRefused, HasSubstr("a command of the type kekbit::(anonymous namespace)::ForgetsAndCompares")));
  EXPECT_THAT((Check<CerealBinaryCodec>(Command("text"))), IsOk());
  EXPECT_THAT((Check<CerealBinaryCodec>(Command(std::map<int, std::string>{{1, "one"}}))), IsOk());
}

// Encodes an order, and decodes it turned round, as cereal's own loader of a multimap does.
struct TurnsRound {
  static constexpr uint64_t kDataFormat = kTextDataFormat;
  static constexpr const char* kMediaType = "text/plain";
  static absl::StatusOr<size_t> Encode(const std::unique_ptr<std::string>& value, MutableBytes to) {
    return TextCodec::Encode(value == nullptr ? std::string() : *value, to);
  }
  static absl::Status Decode(Bytes from, std::unique_ptr<std::string>* value) {
    const absl::string_view text = AsText(from);
    *value = std::make_unique<std::string>(text.rbegin(), text.rend());
    return absl::OkStatus();
  }
};

static_assert(CodecFor<TurnsRound, std::unique_ptr<std::string>>);

// Its operator== compares addresses: what it says is of no use, and the bytes in the journal count.
TEST(CommandCheckTest, AnOrderThatIsNotKeptIsFoundByTheBytesInTheJournal) {
  EXPECT_THAT((Check<TurnsRound>(std::make_unique<std::string>("abc"))),
              StatusIs(kRefused, HasSubstr("the first difference is at offset 0")));
  EXPECT_THAT((Check<TurnsRound>(std::make_unique<std::string>("aba"))), IsOk());
}

struct Plain {
  double price = 0;
  std::shared_ptr<std::string> note;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(price, note);
  }
  friend bool operator==(const Plain&, const Plain&) = default;
};

TEST(CommandCheckTest, NaNsAndAddressesThatDifferAreNoDifference) {
  EXPECT_THAT((Check<CerealBinaryCodec>(Plain{.price = std::numeric_limits<double>::quiet_NaN(),
                                              .note = std::make_shared<std::string>("x")})),
              IsOk());
}

TEST(CommandCheckTest, WhatCantBeDecodedIsRefused) {
  EXPECT_THAT((Check<StrictTextCodec>(std::string("fine"))), IsOk());
  std::string decoded;
  EXPECT_THAT(DecodeChecked<StrictTextCodec>(std::string("a"), AsBytes("\xFF"), decoded),
              StatusIs(kRefused, AllOf(HasSubstr("can't be decoded"), HasSubstr("no UTF-8"))));
}

// Without the check its primary has 250, and its standby 0.
struct Balance {
  using Command = ForgetsAndCompares;
  using Result = int64_t;
  Result Apply(const Command& command, const ApplyContext& /*context*/) { return sum += command.amount; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(sum);
  }
  int64_t sum = 0;
};
// The same command without anything to compare it by, saved and loaded in a way that nobody can look into.
struct ForgetsInSilence {
  std::string account;
  int64_t amount = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(account);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(account);
  }
};
struct SilentBalance : Balance {
  using Command = ForgetsInSilence;
  Result Apply(const Command& command, const ApplyContext& /*context*/) { return sum += command.amount; }
};

class CommandCheckReplicaTest : public ReplicaTest {
 protected:
  template <typename State>
  std::unique_ptr<Replica<State>> Primary(bool decode) {
    ReplicaOptions options = Polled();
    options.checks.decode = decode;
    auto replica = Open<Replica<State>>(options);
    EXPECT_THAT(PollUntil(Role::kPrimary, *replica), IsOk());
    return replica;
  }
  template <typename State>
  int64_t SumOfAFollower() {
    ReplicaOptions options = Polled();
    options.may_lead = false;
    return Open<Replica<State>>(options)->Read([](const State& state) { return state.sum; });
  }
};

TEST_F(CommandCheckReplicaTest, AMemberLeftOutOfSerializeIsAnErrorOfTheCallAndNothingIsPublished) {
  const auto primary = Primary<Balance>(true);
  const Position before = primary->applied();
  EXPECT_THAT(primary->Execute({.account = "ada", .amount = 250}), StatusIs(kRefused, HasSubstr("another command")));
  EXPECT_THAT(
      primary->SubmitBatch(std::vector<ForgetsAndCompares>{{.account = "bob"}, {.account = "ada", .amount = 1}}),
      StatusIs(kRefused, HasSubstr("another command")));
  EXPECT_EQ(primary->applied(), before);
  EXPECT_EQ(primary->role(), Role::kPrimary);
  EXPECT_EQ(primary->Read([](const Balance& balance) { return balance.sum; }), 0);
  KB_ASSERT_OK_AND_ASSIGN(const auto next, primary->Execute({.account = "bob"}));
  EXPECT_EQ(next.position.seq, before.seq + 1);
  EXPECT_EQ(SumOfAFollower<Balance>(), 0);
}

TEST_F(CommandCheckReplicaTest, WhatNothingTellsIsTheSameOnAllReplicasAllTheSame) {
  const auto primary = Primary<SilentBalance>(true);
  KB_ASSERT_OK_AND_ASSIGN(const auto executed, primary->Execute({.account = "ada", .amount = 250}));
  const std::vector<ForgetsInSilence> batch = {{.account = "ada", .amount = 1}, {.account = "ada", .amount = 2}};
  ASSERT_THAT(primary->SubmitBatch(batch), IsOk());
  EXPECT_EQ(executed.result, 0);
  EXPECT_EQ(primary->Read([](const SilentBalance& balance) { return balance.sum; }), SumOfAFollower<SilentBalance>());
}

// What the check is for: without it they differ.
TEST_F(CommandCheckReplicaTest, WithoutTheCheckThePrimaryAppliesWhatWasPassed) {
  const auto primary = Primary<Balance>(false);
  KB_ASSERT_OK_AND_ASSIGN(const auto executed, primary->Execute({.account = "ada", .amount = 250}));
  EXPECT_EQ(executed.result, 250);
  EXPECT_EQ(SumOfAFollower<Balance>(), 0);
}

TEST_F(CommandCheckReplicaTest, GoodCommandsPassWhereSegmentsRollOver) {
  ReplicaOptions options = Polled();
  options.checks.decode = true;
  options.segment_bytes = 16 << 10;
  const auto primary = Open(options);
  ASSERT_THAT(PollUntil(Role::kPrimary, *primary), IsOk());
  std::vector<std::string> commands;
  for (int i = 0; i < 1000; ++i) {
    commands.push_back(absl::StrCat("command ", i));
    ASSERT_THAT(primary->Execute(commands.back()), IsOk());
  }
  EXPECT_EQ(CommandsOf(*primary), commands);
}

TEST(ChecksTest, AreOnInDebugBuildsAndOffInOthers) {
#ifdef NDEBUG
  EXPECT_FALSE(Checks().decode);
#else
  EXPECT_TRUE(Checks().decode);
#endif
}

}  // namespace
}  // namespace kekbit
