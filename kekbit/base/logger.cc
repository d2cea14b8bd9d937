#include "kekbit/base/logger.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace kekbit {
namespace {

void WriteLine(LogSeverity severity, absl::string_view text) {
  const std::string line = absl::StrCat("kekbit: ", LogSeverityName(severity), ": ", text, "\n");
  // Ignore an error: nobody is left to tell that nobody can be told.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

// StderrLines is what StderrLogger() returns.
class StderrLines final {
 public:
  explicit StderrLines(LogSeverity least) : least_(least) {}
  void operator()(LogSeverity severity, absl::string_view text) const {
    if (severity >= least_) WriteLine(severity, text);
  }

 private:
  LogSeverity least_;
};

}  // namespace

absl::string_view LogSeverityName(LogSeverity severity) {
  switch (severity) {
    case LogSeverity::kInfo:
      return "info";
    case LogSeverity::kWarning:
      return "warning";
    case LogSeverity::kError:
      return "error";
  }
  return "?";
}

Logger StderrLogger(LogSeverity least) { return StderrLines(least); }

Logger SilentLogger() {
  return [](LogSeverity /*severity*/, absl::string_view /*text*/) {};
}

void LogLast(const Logger& logger, absl::string_view text) {
  if (logger && logger.target<StderrLines>() == nullptr) logger(LogSeverity::kError, text);
  WriteLine(LogSeverity::kError, text);
}

void Log(const Logger& logger, LogSeverity severity, absl::string_view text) {
  if (logger) {
    logger(severity, text);
  } else if (severity >= LogSeverity::kError) {
    WriteLine(severity, text);
  }
}

}  // namespace kekbit
