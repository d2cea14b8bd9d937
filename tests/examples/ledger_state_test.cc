// The ledger of the examples: its order-free state has one digest and one encoding, that of every
// version so far.

#include "examples/ledger_state.h"

#include <algorithm>
#include <cereal/types/map.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/cereal/cereal_portable_codec.h"
#include "tests/support/status_matchers.h"

namespace kekbit::examples {
// SavedLedger is how a ledger was saved when it was a std::map, and still is.
struct SavedLedger {
  std::map<std::string, int64_t> balances;

  template <class Archive>
  void serialize(Archive& archive, uint32_t /*version*/) {
    archive(balances);
  }
};
}  // namespace kekbit::examples

CEREAL_CLASS_VERSION(kekbit::examples::SavedLedger, 1)

namespace kekbit::examples {
namespace {

const ApplyContext kContext{{.epoch = 1, .seq = 1}, 0};

Ledger LedgerOf(const std::vector<std::pair<std::string, int64_t>>& accounts) {
  Ledger ledger;
  for (const auto& [name, amount] : accounts) {
    EXPECT_THAT(ledger.Apply(OpenAccount{.name = name, .amount = amount}, kContext), IsOk());
  }
  return ledger;
}

template <typename T>
std::vector<uint8_t> Encoded(const T& value) {
  std::vector<uint8_t> bytes(1 << 20);
  bytes.resize(CerealPortableCodec::Encode(value, absl::MakeSpan(bytes)).value());
  return bytes;
}

std::vector<std::pair<std::string, int64_t>> ManyAccounts() {
  std::vector<std::pair<std::string, int64_t>> accounts;
  for (int64_t i = 0; i < 5000; ++i) accounts.emplace_back(absl::StrCat("account ", i * 7919 % 5000), i);
  return accounts;
}

TEST(LedgerStateTest, Transfers) {
  Ledger ledger = LedgerOf({{"ada", 100}, {"bob", 5}});
  EXPECT_THAT(ledger.Apply(Transfer{.from = "ada", .to = "bob", .amount = 30}, kContext), IsOkAndHolds(70));
  EXPECT_THAT(ledger.balance("bob"), IsOkAndHolds(35));
  EXPECT_THAT(ledger.Apply(Transfer{.from = "ada", .to = "ada", .amount = 70}, kContext), IsOkAndHolds(70));
  EXPECT_THAT(ledger.Apply(Transfer{.from = "ada", .to = "bob", .amount = 71}, kContext),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ledger.Apply(Transfer{.from = "ada", .to = "eve", .amount = 1}, kContext),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ledger.Apply(OpenAccount{.name = "ada", .amount = 1}, kContext),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ledger.sum(), 105);
}

TEST(LedgerStateTest, TheOrderOfOpeningIsNotInTheDigestOrTheEncoding) {
  std::vector<std::pair<std::string, int64_t>> accounts = ManyAccounts();
  const Ledger ledger = LedgerOf(accounts);
  std::reverse(accounts.begin(), accounts.end());
  const Ledger other = LedgerOf(accounts);
  EXPECT_EQ(ledger.digest(), other.digest());
  EXPECT_EQ(Encoded(ledger), Encoded(other));
  // The digest of a ledger is known for ever: it is compared between processes of several versions.
  EXPECT_EQ(LedgerOf({{"bob", 5}, {"ada", 100}}).digest(), 0x5065'94FD'CFBD'D539);
}

TEST(LedgerStateTest, IsSavedAsItWasWhenItWasAMap) {
  const std::vector<std::pair<std::string, int64_t>> accounts = ManyAccounts();
  const SavedLedger saved = {.balances = {accounts.begin(), accounts.end()}};
  EXPECT_EQ(Encoded(LedgerOf(accounts)), Encoded(saved));
  Ledger loaded = LedgerOf({{"to be forgotten", 1}});
  ASSERT_THAT(CerealPortableCodec::Decode(Encoded(saved), &loaded), IsOk());
  EXPECT_EQ(loaded.digest(), LedgerOf(accounts).digest());
  EXPECT_EQ(Encoded(loaded), Encoded(saved));
}

}  // namespace
}  // namespace kekbit::examples
