#include "kekbit/replication/core/environment.h"

#include "absl/strings/str_cat.h"

namespace kekbit {

void Environment::Say(LogSeverity severity, absl::string_view text) const {
  Log(options.logger, severity, absl::StrCat(options.directory, ": ", text));
}

void Environment::LogError(const absl::Status& error, absl::string_view what) const {
  stats->SetError(error);
  Log(options.logger, LogSeverity::kError, absl::StrCat(what, ": ", error.ToString()));
}

}  // namespace kekbit
