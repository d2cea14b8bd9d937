// The ledger's language has one command a line, one answer a line.
//
//   open NAME AMOUNT         ok SEQ
//   transfer FROM TO AMOUNT  ok SEQ
//   balance NAME             ok SEQ VALUE
//   digest                   ok SEQ HEX
//   step-down                ok SEQ; then a standby takes over, and what follows waits until this
//                            process leads again
//
// An answer may also be error REASON; for step-down, if there is no standby. A name is any word; an
// amount is a whole number of the smallest unit of money. SEQ is that of the command in the
// journal; for a question, that of the newest command that the answer reflects.

#ifndef KEKBIT_EXAMPLES_LEDGER_PROTOCOL_H_
#define KEKBIT_EXAMPLES_LEDGER_PROTOCOL_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "examples/ledger_state.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {

struct AskBalance {
  std::string name;
};
struct AskDigest {};
struct StepDown {};

using Request = std::variant<Ledger::Command, AskBalance, AskDigest, StepDown>;

// Returns InvalidArgument, with what is wrong, if the line is no request.
absl::StatusOr<Request> ParseRequest(absl::string_view line);

// Does what the request of line `number` of the input asks for, and appends the answer to
// `answers`. For a line that is no request, the answer says what is wrong. The answer must not be
// shown before what was submitted is acknowledged. Returns an error of the replica (not of the
// line, nor of the ledger): nothing more can be answered. The caller does and answers a StepDown.
absl::Status Answer(Replica<Ledger>& replica, const absl::StatusOr<Request>& request, uint64_t number,
                    std::string* answers);

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_LEDGER_PROTOCOL_H_
