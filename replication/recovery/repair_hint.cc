#include "kekbit/replication/recovery/repair_hint.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace kekbit {
std::string ShellQuoted(absl::string_view path) {
  constexpr absl::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:@%/";
  if (!path.empty() && path.find_first_not_of(kPlain) == absl::string_view::npos) return std::string(path);
  return absl::StrCat("'", absl::StrReplaceAll(path, {{"'", "'\\''"}}), "'");
}

std::string RepairHint(const JournalLayout& layout) {
  const std::string directory = ShellQuoted(layout.directory());
  return absl::StrCat("; to see what is damaged: kekbit verify ", directory,
                      "; to see what can be done: kekbit repair ", directory);
}

}  // namespace kekbit
