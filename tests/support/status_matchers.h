// Matchers for absl::Status and absl::StatusOr, which the Abseil of Debian 12 does not bring.
//
//   EXPECT_THAT(writer.Write({}),
//               StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
//   EXPECT_THAT(writer.Flush(), IsOk());
//   KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenAt(path));

#ifndef KEKBIT_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define KEKBIT_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"

namespace kekbit {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

// What a status is to be, of absl::Status and each absl::StatusOr. One class for all: the compiler takes
// long for matchers of each kind.
class StatusMatcher {
 public:
  using is_gtest_matcher = void;

  using Message = testing::Matcher<const std::string&>;

  // Any message if there is no `message`.
  explicit StatusMatcher(absl::StatusCode code, std::optional<Message> message = std::nullopt);

  template <typename T>
  bool MatchAndExplain(const T& value, testing::MatchResultListener* listener) const {
    return Explain(StatusOf(value), *listener);
  }
  void DescribeTo(std::ostream* os) const;
  void DescribeNegationTo(std::ostream* os) const;

 private:
  bool Explain(const absl::Status& status, testing::MatchResultListener& listener) const;

  absl::StatusCode code_;
  std::optional<Message> message_;
};

StatusMatcher IsOk();
StatusMatcher StatusIs(absl::StatusCode code);
StatusMatcher StatusIs(absl::StatusCode code, StatusMatcher::Message message);

MATCHER_P(IsOkAndHolds, value, "is OK and holds a value that matches") {
  *result_listener << "which has the status " << StatusOf(arg).ToString() << " ";
  if (arg.ok()) *result_listener << "and the value " << testing::PrintToString(*arg) << " ";
  return arg.ok() && testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace kekbit

#define KB_TEST_CONCAT_IMPL(x, y) x##y
#define KB_TEST_CONCAT(x, y) KB_TEST_CONCAT_IMPL(x, y)
#define KB_ASSERT_OK_AND_ASSIGN(lhs, expression) \
  KB_ASSERT_OK_AND_ASSIGN_IMPL(KB_TEST_CONCAT(kb_status_or_, __LINE__), lhs, expression)
#define KB_ASSERT_OK_AND_ASSIGN_IMPL(status_or, lhs, expression) \
  auto status_or = (expression);                                 \
  ASSERT_TRUE(status_or.ok()) << status_or.status();             \
  lhs = *std::move(status_or)

#endif  // KEKBIT_TESTS_SUPPORT_STATUS_MATCHERS_H_
