#include "examples/ledger_protocol.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace kekbit::examples {
namespace {

absl::StatusOr<int64_t> ParseAmount(absl::string_view word) {
  int64_t amount = 0;
  if (!absl::SimpleAtoi(word, &amount)) {
    return absl::InvalidArgumentError(absl::StrCat("'", word, "' is not a whole number"));
  }
  return amount;
}

// Appends an error's text on one line, whatever words the input put into the text.
void AppendError(const absl::Status& status, std::string* answers) {
  std::string text(status.message());
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  absl::StrAppend(answers, "error ", text, "\n");
}

absl::Status Execute(Replica<Ledger>& replica, const Ledger::Command& command, std::string* answers) {
  const auto executed = replica.Submit(command);
  if (!executed.ok()) {
    // A command too long for the journal is the line's fault. The other errors end the service.
    if (!absl::IsResourceExhausted(executed.status())) return executed.status();
    AppendError(executed.status(), answers);
  } else if (!executed->result.ok()) {
    AppendError(executed->result.status(), answers);
  } else {
    absl::StrAppend(answers, "ok ", executed->position.seq, "\n");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Request> ParseRequest(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (words.empty()) {
    return absl::InvalidArgumentError("an empty line; want open, transfer, balance, digest or step-down");
  }
  if (words[0] == "open" && words.size() == 3) {
    const absl::StatusOr<int64_t> amount = ParseAmount(words[2]);
    if (!amount.ok()) return amount.status();
    return Ledger::Command(OpenAccount{.name = std::string(words[1]), .amount = *amount});
  }
  if (words[0] == "transfer" && words.size() == 4) {
    const absl::StatusOr<int64_t> amount = ParseAmount(words[3]);
    if (!amount.ok()) return amount.status();
    return Ledger::Command(Transfer{.from = std::string(words[1]), .to = std::string(words[2]), .amount = *amount});
  }
  if (words[0] == "balance" && words.size() == 2) return AskBalance{std::string(words[1])};
  if (words[0] == "digest" && words.size() == 1) return AskDigest{};
  if (words[0] == "step-down" && words.size() == 1) return StepDown{};
  return absl::InvalidArgumentError(
      "want: open NAME AMOUNT, transfer FROM TO AMOUNT, balance NAME, digest, or step-down");
}

absl::Status Answer(Replica<Ledger>& replica, const absl::StatusOr<Request>& request, uint64_t number,
                    std::string* answers) {
  if (!request.ok()) {
    AppendError(absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", request.status().message())), answers);
    return absl::OkStatus();
  }
  if (const auto* command = std::get_if<Ledger::Command>(&*request)) return Execute(replica, *command, answers);
  const Seq seq = replica.applied().seq;
  if (const auto* ask = std::get_if<AskBalance>(&*request)) {
    const auto balance = replica.Read([ask](const Ledger& ledger) { return ledger.balance(ask->name); });
    if (balance.ok()) {
      absl::StrAppend(answers, "ok ", seq, " ", *balance, "\n");
    } else {
      AppendError(balance.status(), answers);
    }
    return absl::OkStatus();
  }
  if (std::holds_alternative<StepDown>(*request)) return absl::OkStatus();
  const uint64_t digest = replica.Read([](const Ledger& ledger) { return ledger.digest(); });
  absl::StrAppend(answers, "ok ", seq, absl::StrFormat(" %016x\n", digest));
  return absl::OkStatus();
}

}  // namespace kekbit::examples
