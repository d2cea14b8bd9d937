// Texts that tell an operator what to do about a damaged journal: the commands that show what is,
// and mend it.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_RECOVERY_REPAIR_HINT_H_
#define KEKBIT_REPLICATION_RECOVERY_REPAIR_HINT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "kekbit/replication/journal/journal_layout.h"

namespace kekbit {

// The path as one word of a shell's command.
std::string ShellQuoted(absl::string_view path);

// "; to see what is damaged: kekbit verify DIR; to see what can be done: kekbit repair DIR".
std::string RepairHint(const JournalLayout& layout);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_RECOVERY_REPAIR_HINT_H_
