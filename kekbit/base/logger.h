// Logger is where a replica says what happens to it: the user's own, or standard error, which gets
// errors only.
//
//   options.logger = [](LogSeverity severity, absl::string_view text) { syslog(..., text); };
//   options.logger = StderrLogger(LogSeverity::kInfo);   // everything, to standard error
//   options.logger = SilentLogger();                     // nothing
//
// A logger is called by any thread of the replica, one call a line, also with locks of the replica
// held. So a logger must be quick, must not throw and must not call the replica. What can come
// often is not logged; see ReplicaStats for figures.

#ifndef KEKBIT_BASE_LOGGER_H_
#define KEKBIT_BASE_LOGGER_H_

#include <functional>

#include "absl/strings/string_view.h"

namespace kekbit {

enum class LogSeverity {
  kInfo,     // what an operator may want to know later: roles, recoveries, snapshots
  kWarning,  // it goes on, but somebody should look: what was cut or passed over, a disk nearly full
  kError,    // the replica can't go on, or a call failed that should not
};

// "info", "warning" or "error".
absl::string_view LogSeverityName(LogSeverity severity);

using Logger = std::function<void(LogSeverity severity, absl::string_view text)>;

// Writes "kekbit: SEVERITY: TEXT" to standard error, if the severity is at least `least`. Each line
// is one call of the system, so that lines of several threads don't mix.
Logger StderrLogger(LogSeverity least = LogSeverity::kError);

// Drops everything.
Logger SilentLogger();

// Says why the process ends: to the logger and, whatever that does with it, to standard error;
// there once.
void LogLast(const Logger& logger, absl::string_view text);

// Hands the text to the logger, if there is one; else to StderrLogger().
void Log(const Logger& logger, LogSeverity severity, absl::string_view text);

}  // namespace kekbit

#endif  // KEKBIT_BASE_LOGGER_H_
