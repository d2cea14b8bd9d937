#include "kekbit/replication/journal/state_name.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace kekbit {

struct Plainly {};
struct Named {
  static constexpr absl::string_view kStateName = "my ledger";
};
struct NamedByText {
  static constexpr const char* kStateName = "text";
};

namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

TEST(StateNameTest, IsThatOfTheClassUnlessTheClassSaysOne) {
  EXPECT_EQ(StateName<Plainly>(), "kekbit::Plainly");
  EXPECT_EQ(StateName<Named>(), "my ledger");
  EXPECT_EQ(StateName<NamedByText>(), "text");
  EXPECT_EQ(StateName<int>(), "int");
}

TEST(StateNameTest, FitsIntoAFile) {
  EXPECT_EQ(FittingStateName(std::string(56, 'a')), std::string(56, 'a'));
  const std::string longer = FittingStateName(std::string(57, 'a'));
  EXPECT_THAT(longer, AllOf(SizeIs(56), StartsWith(std::string(47, 'a') + "#")));
  EXPECT_NE(longer, FittingStateName(std::string(58, 'a')));
  using Long = std::map<std::string, std::variant<std::vector<int>, std::map<int, Named>>>;
  EXPECT_THAT(StateName<Long>(), SizeIs(56));
}

TEST(StateNameTest, ComesBackFromAField) {
  for (const std::string& name : {std::string(), std::string("x"), std::string(56, 'y')}) {
    EXPECT_EQ(FromStateNameField(ToStateNameField(name)), name);
  }
}

TEST(StateNameTest, AnotherIsRefusedWithBothAndNoNameFitsAll) {
  EXPECT_THAT(CheckStateName("ledger", "ledger"), IsOk());
  EXPECT_THAT(CheckStateName("", "ledger"), IsOk());
  EXPECT_THAT(CheckStateName("ledger", ""), IsOk());
  EXPECT_THAT(CheckStateName("ledger", "tape"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("\"ledger\", not of \"tape\""), EndsWith("kStateName = \"ledger\"`"))));
}

// Whatever a damaged or hostile file holds, it must not reach a terminal as it is.
TEST(StateNameTest, AHostileNameIsEscaped) {
  const absl::Status status = CheckStateName("\x1b[2Jevil\n", "tape");
  EXPECT_EQ(status.message().find('\x1b'), absl::string_view::npos);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

}  // namespace
}  // namespace kekbit
