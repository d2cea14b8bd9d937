#include "kekbit/base/logger.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

using testing::ElementsAre;

// Returns what `speak` writes to standard error.
template <typename Speak>
std::string Said(Speak speak) {
  testing::internal::CaptureStderr();
  speak();
  return testing::internal::GetCapturedStderr();
}

void LogOneOfEach(const Logger& logger) {
  Log(logger, LogSeverity::kInfo, "an info");
  Log(logger, LogSeverity::kWarning, "a warning");
  Log(logger, LogSeverity::kError, "an error");
}

TEST(LoggerTest, WithoutAnyErrorsGoToStandardErrorAndNothingElse) {
  EXPECT_EQ(Said([] { LogOneOfEach({}); }), "kekbit: error: an error\n");
  EXPECT_EQ(Said([] { LogOneOfEach(StderrLogger()); }), "kekbit: error: an error\n");
}

TEST(LoggerTest, StandardErrorGetsWhatIsAskedFor) {
  EXPECT_EQ(Said([] { LogOneOfEach(StderrLogger(LogSeverity::kInfo)); }),
            "kekbit: info: an info\nkekbit: warning: a warning\nkekbit: error: an error\n");
  EXPECT_EQ(Said([] { LogOneOfEach(SilentLogger()); }), "");
}

TEST(LoggerTest, TheUsersOwnGetsEverything) {
  std::vector<std::string> lines;
  const Logger logger = [&lines](LogSeverity severity, absl::string_view text) {
    lines.push_back(absl::StrCat(LogSeverityName(severity), "|", text));
  };
  EXPECT_EQ(Said([&] { LogOneOfEach(logger); }), "");
  EXPECT_THAT(lines, ElementsAre("info|an info", "warning|a warning", "error|an error"));
}

}  // namespace
}  // namespace kekbit
