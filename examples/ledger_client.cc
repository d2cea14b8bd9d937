#include "examples/ledger_client.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/codecs/cereal/cereal_binary_codec.h"
#include "kekbit/replication/journal/seek.h"

namespace kekbit::examples {
namespace {

// Commands on the way at the same time.
constexpr size_t kWindow = 4096;

constexpr char kStepDown[] = "step-down\n";

absl::Status DecodeCommand(const Frame& frame, Ledger::Command* command) {
  return CerealBinaryCodec::Decode(frame.payload, command);
}

}  // namespace

std::string ToLine(const Ledger::Command& command) {
  if (const auto* open = std::get_if<OpenAccount>(&command)) {
    return absl::StrCat("open ", open->name, " ", open->amount);
  }
  const auto& transfer = std::get<Transfer>(command);
  return absl::StrCat("transfer ", transfer.from, " ", transfer.to, " ", transfer.amount);
}

void LedgerClient::Queue(const Ledger::Command& command) {
  absl::StrAppend(&to_send_, ToLine(command), "\n");
  sent_.push_back(command);
}

absl::Status LedgerClient::TakeAnswers() {
  size_t begin = 0;
  for (size_t end; (end = answers_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    absl::string_view answer = absl::string_view(answers_).substr(begin, end - begin);
    Seq seq = 0;
    if (sent_.empty() && stepping_down_ && absl::StartsWith(answer, "ok ")) {
      stepping_down_ = false;
      continue;
    }
    if (sent_.empty() && stepping_down_ && absl::StrContains(answer, "there is no standby")) {
      absl::StrAppend(&to_send_, kStepDown);  // one that was just started is seen soon
      continue;
    }
    if (sent_.empty()) return absl::DataLossError(absl::StrCat("an answer to nothing: ", answer));
    if (!absl::ConsumePrefix(&answer, "ok ") || !absl::SimpleAtoi(answer, &seq)) {
      return absl::DataLossError(absl::StrCat("answer to '", ToLine(sent_.front()), "': ", answer));
    }
    done_.push_back({.command = std::move(sent_.front()), .seq = seq});
    sent_.pop_front();
  }
  answers_.erase(0, begin);
  return absl::OkStatus();
}

absl::Status LedgerClient::Step(LedgerProcess& primary, bool send) {
  while (send && sent_.size() < kWindow) {
    if (resend_.empty()) {
      Queue(next_());
    } else {
      Queue(resend_.front());
      resend_.pop_front();
    }
  }
  pollfd polls[] = {{.fd = primary.output(), .events = POLLIN, .revents = 0},
                    {.fd = to_send_.empty() ? -1 : primary.input(), .events = POLLOUT, .revents = 0}};
  if (::poll(polls, 2, -1) < 0 && errno != EINTR) return absl::InternalError(std::strerror(errno));
  if (polls[1].revents != 0) {
    const ssize_t n = ::write(primary.input(), to_send_.data(), to_send_.size());
    if (n > 0) to_send_.erase(0, static_cast<size_t>(n));
  }
  if (polls[0].revents == 0) return absl::OkStatus();
  char buffer[64 * 1024];
  const ssize_t n = ::read(primary.output(), buffer, sizeof buffer);
  if (n == 0) return absl::UnavailableError("the primary is gone");
  if (n > 0) answers_.append(buffer, static_cast<size_t>(n));
  return TakeAnswers();
}

absl::Status LedgerClient::Drive(LedgerProcess& primary, const std::function<bool()>& enough) {
  while (!enough()) KB_RETURN_IF_ERROR(Step(primary, /*send=*/true));
  return absl::OkStatus();
}

absl::Status LedgerClient::Drain(LedgerProcess& primary) {
  while (!sent_.empty()) KB_RETURN_IF_ERROR(Step(primary, /*send=*/false));
  return absl::OkStatus();
}

absl::Status LedgerClient::StepDown(LedgerProcess& primary) {
  absl::StrAppend(&to_send_, kStepDown);
  stepping_down_ = true;
  while (stepping_down_) KB_RETURN_IF_ERROR(Step(primary, /*send=*/false));
  return absl::OkStatus();
}

absl::StatusOr<size_t> LedgerClient::FailOver(LedgerProcess& standby, const Ledger::Command& first) {
  unsure_.push_back(std::exchange(sent_, {}));
  stepping_down_ = false;
  to_send_.clear();
  answers_.clear();
  const Seq acknowledged = done_.empty() ? 0 : done_.back().seq;
  Queue(first);
  KB_RETURN_IF_ERROR(Drain(standby));
  const Done first_done = std::move(done_.back());
  done_.pop_back();
  // Look between the last answer and `first`: there stands what the dead primaries published after
  // it.
  KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(FileSystem::Posix(), JournalLayout(directory_),
                                                        CerealBinaryCodec::kDataFormat, acknowledged + 1));
  std::deque<Ledger::Command> lost;
  size_t published = 0;
  for (std::optional<Frame> frame; (frame = reader.Next()) && frame->header.seq < first_done.seq;) {
    if (frame->kind() != FrameKind::kCommand) continue;
    Ledger::Command command;
    KB_RETURN_IF_ERROR(DecodeCommand(*frame, &command));
    // The first of each primary's commands were published; the next primary's follow.
    while (!unsure_.empty() && (unsure_.front().empty() || command != unsure_.front().front())) LoseFirst(&lost);
    if (unsure_.empty()) {
      return absl::DataLossError(absl::StrCat(
          "the journal has '", ToLine(command), "' at seq ", frame->header.seq,
          lost.empty() ? ", which was never sent" : absl::StrCat(" instead of '", ToLine(lost.front()), "'")));
    }
    done_.push_back({.command = std::move(unsure_.front().front()), .seq = frame->header.seq});
    unsure_.front().pop_front();
    ++published;
  }
  KB_RETURN_IF_ERROR(reader.status());
  while (!unsure_.empty()) LoseFirst(&lost);
  done_.push_back(first_done);
  resend_.insert(resend_.begin(), lost.begin(), lost.end());
  return published;
}

void LedgerClient::LoseFirst(std::deque<Ledger::Command>* lost) {
  lost->insert(lost->end(), unsure_.front().begin(), unsure_.front().end());
  unsure_.pop_front();
}

absl::StatusOr<LedgerAudit> LedgerAudit::Open(const std::string& directory, const std::string& name) {
  std::optional<ReaderCursor> cursor;
  if (!name.empty()) {
    KB_ASSIGN_OR_RETURN(cursor, ReaderCursor::Register(FileSystem::Posix(), JournalLayout(directory), name));
  }
  KB_ASSIGN_OR_RETURN(JournalReader reader,
                      ReadJournal(FileSystem::Posix(), JournalLayout(directory), CerealBinaryCodec::kDataFormat));
  return LedgerAudit(std::move(cursor), std::move(reader));
}

absl::Status LedgerAudit::Check(const std::vector<LedgerClient::Done>& done) {
  while (const std::optional<Frame> frame = reader_.Next()) {
    if (frame->kind() != FrameKind::kCommand) continue;
    Ledger::Command command;
    KB_RETURN_IF_ERROR(DecodeCommand(*frame, &command));
    if (commands_ == done.size()) {
      return absl::DataLossError(absl::StrCat("seq ", frame->header.seq, " of the journal, '", ToLine(command),
                                              "', was never acknowledged, or twice"));
    }
    const LedgerClient::Done& expected = done[commands_++];
    if (command != expected.command || frame->header.seq != expected.seq) {
      return absl::DataLossError(absl::StrCat("seq ", frame->header.seq, " of the journal is '", ToLine(command),
                                              "'; acknowledged was '", ToLine(expected.command), "' as seq ",
                                              expected.seq));
    }
    ledger_.Apply(command, ApplyContext(frame->header)).status().IgnoreError();
  }
  KB_RETURN_IF_ERROR(reader_.status());
  if (commands_ == done.size()) return cursor_ ? cursor_->Advance(last()) : absl::OkStatus();
  return absl::DataLossError(absl::StrCat("'", ToLine(done[commands_].command), "' was acknowledged as seq ",
                                          done[commands_].seq, ", but the journal ends at ", last().ToString()));
}

}  // namespace kekbit::examples
