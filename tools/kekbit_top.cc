// The command Top.

#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/journal_view.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_overview.h"
#include "tools/kekbit_parts.h"

namespace kekbit {
namespace {

// Codes for the terminal: go to its upper left corner; clear the rest of the line, of the screen.
constexpr absl::string_view kHome = "\x1b[H";
constexpr absl::string_view kClearLine = "\x1b[K";
constexpr absl::string_view kClearRest = "\x1b[J";

void Show(const std::vector<std::string>& lines, bool redraw, bool first, Output& output) {
  // Take the place of the lines before, without a moment at which the screen is empty.
  if (redraw && first) output.Line(absl::StrCat(kHome, kClearRest));
  for (size_t i = 0; i < lines.size(); ++i) {
    output.Line(redraw ? absl::StrCat(i == 0 ? kHome : "", lines[i], kClearLine) : lines[i]);
  }
  if (redraw) output.Line(kClearRest);
  output.Flush();
}

}  // namespace

absl::StatusOr<bool> Top(const CommandOptions& options, Output& output) {
  FileSystem& fs = *options.file_system;
  if (!IsDirectory(fs, options.path)) {
    KB_RETURN_IF_ERROR(fs.Info(options.path).status());
    return absl::InvalidArgumentError(absl::StrCat(options.path, ": is no directory: only a journal has replicas"));
  }
  const bool redraw = !options.json && !options.once && ::isatty(STDOUT_FILENO) == 1;
  JournalView view(fs, options.path);
  std::optional<JournalFacts> before;
  absl::Time before_at;
  while (output.open()) {
    const absl::Time now = absl::Now();
    KB_ASSIGN_OR_RETURN(JournalFacts facts, view.Look());
    const EarlierLook earlier = {.facts = before ? &*before : nullptr, .ago = now - before_at};
    std::vector<std::string> lines = options.json ? OverviewJson(facts, earlier) : OverviewText(facts, earlier);
    if (!options.json && !options.once) {
      lines.insert(lines.begin(), absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone()));
    }
    if (before && !options.json && !redraw) lines.insert(lines.begin(), "");
    Show(lines, redraw, !before, output);
    if (options.once) return facts.lease_held;
    before = std::move(facts);
    before_at = now;
    output.Wait(options.interval);
  }
  return true;
}

}  // namespace kekbit
