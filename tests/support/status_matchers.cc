#include "tests/support/status_matchers.h"

#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock-matchers.h"

namespace kekbit {

StatusMatcher::StatusMatcher(absl::StatusCode code, std::optional<Message> message)
    : code_(code), message_(std::move(message)) {}

bool StatusMatcher::Explain(const absl::Status& status, testing::MatchResultListener& listener) const {
  listener << "which has the status " << status.ToString();
  if (status.code() != code_) return false;
  return !message_ || testing::ExplainMatchResult(*message_, std::string(status.message()), &listener);
}

void StatusMatcher::DescribeTo(std::ostream* os) const {
  *os << "has the code " << absl::StatusCodeToString(code_);
  if (!message_) return;
  *os << " and a message that ";
  message_->DescribeTo(os);
}

void StatusMatcher::DescribeNegationTo(std::ostream* os) const {
  *os << "is not one that ";
  DescribeTo(os);
}

StatusMatcher IsOk() { return StatusMatcher(absl::StatusCode::kOk); }
StatusMatcher StatusIs(absl::StatusCode code) { return StatusMatcher(code); }
StatusMatcher StatusIs(absl::StatusCode code, StatusMatcher::Message message) {
  return StatusMatcher(code, std::move(message));
}

}  // namespace kekbit
