// Matchers for absl::Status and absl::StatusOr, which the Abseil of Debian 12 does not bring.
//
//   EXPECT_THAT(writer.Write({}),
//               StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
//   EXPECT_THAT(writer.Flush(), IsOk());
//   KB_ASSERT_OK_AND_ASSIGN(ShmReader reader, ShmReader::OpenAt(path));

#ifndef KEKBIT_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define KEKBIT_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kekbit {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  *result_listener << "which has the status " << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "has the code " + absl::StatusCodeToString(code)) {
  *result_listener << "which has the status " << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

MATCHER_P2(StatusIs, code, message, "has the code " + absl::StatusCodeToString(code) + " and a message that matches") {
  *result_listener << "which has the status " << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         testing::ExplainMatchResult(message, std::string(StatusOf(arg).message()), result_listener);
}

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
