// WriterProcess is a replica in a process of its own. As primary it executes numbered commands and
// reports each acknowledged command through a pipe. WriterJournal is a journal that such processes
// write, and proves that none is lost.
//
//   WriterJournal journal;
//   WriterProcess primary = journal.Start();
//   primary.AwaitAcks(1000);
//   primary.Kill();                 // SIGKILL
//   journal.Check({&primary});      // all that was reported is in the journal, once, in order
//
// The command with number n is CheckedPayload(n). Each primary goes on after the last command of
// its state, so the journal of any number of them holds 0, 1, 2, ... without a hole.

#ifndef KEKBIT_TESTS_SUPPORT_WRITER_PROCESS_H_
#define KEKBIT_TESTS_SUPPORT_WRITER_PROCESS_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kekbit/codecs/text_codec.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/replication/replica.h"
#include "tests/support/checked_payload.h"
#include "tests/support/child_process.h"
#include "tests/support/tape.h"
#include "tests/support/temp_dir.h"

namespace kekbit {

// Fits into a segment of the smallest size.
inline constexpr size_t kCommandBytesMax = 80;

// Report is what a process says.
struct Report {
  enum Kind : uint64_t { kPrimary, kAck, kError } kind = kAck;
  uint64_t epoch = 0;
  uint64_t seq = 0;
  uint64_t number = 0;     // of the command; or the code of the error
  char message[224] = {};  // of the error
};
// A pipe takes a report whole or not at all.
static_assert(sizeof(Report) <= 4096);

class WriterProcess final {
 public:
  // `words`: 0 while the process may execute nothing as primary, afterwards how many commands it
  // may. A shared word of the caller, or null for no limit.
  WriterProcess(const ReplicaOptions& options, const SharedWords* allowed)
      : WriterProcess(MakePipe(), options, allowed) {}
  WriterProcess(WriterProcess&& other) noexcept
      : output_(std::exchange(other.output_, -1)),
        child_(std::move(other.child_)),
        acks_(std::move(other.acks_)),
        epoch_(other.epoch_),
        error_(std::move(other.error_)) {}
  WriterProcess& operator=(WriterProcess&&) = delete;
  ~WriterProcess() {
    if (output_ >= 0) ::close(output_);
  }

  // Takes what was reported, until `enough()` or the process is gone; false then.
  template <typename Enough>
  bool Await(Enough&& enough) {
    while (!enough()) {
      Report report;
      const ssize_t n = ::read(output_, &report, sizeof report);
      if (n != static_cast<ssize_t>(sizeof report)) return false;
      Take(report);
    }
    return true;
  }
  bool AwaitAcks(size_t count) {
    return Await([&] { return acks_.size() >= count; });
  }
  // Waits until the process is primary; returns its epoch, or 0 if it is gone.
  Epoch AwaitPrimary() {
    Await([&] { return epoch_ != 0; });
    return epoch_;
  }
  // Waits until an error ends the process. Returns the error's message; empty if it acknowledges
  // more than `acks` in all before.
  std::string AwaitError(size_t acks = SIZE_MAX) {
    Await([&] { return acks_.size() > acks; });
    return error_;
  }
  // Returns true if anything is reported within the time.
  bool SaysAnything(int milliseconds) const {
    pollfd poll = {.fd = output_, .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, milliseconds) > 0;
  }
  // Takes what is there already, without waiting.
  void TakeAll() {
    while (SaysAnything(0) && Await([taken = false]() mutable { return std::exchange(taken, true); })) {
    }
  }

  // Stops the process with SIGSTOP; returns once it is stopped.
  void Stop() {
    child_.Signal(SIGSTOP);
    AwaitStopped();
  }
  void AwaitStopped() {
    int status = 0;
    ASSERT_EQ(::waitpid(child_.pid(), &status, WUNTRACED), child_.pid());
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  void Continue() { child_.Signal(SIGCONT); }
  // Kills the process, and takes what it had reported.
  void Kill() {
    child_.Kill();
    AwaitError();
  }
  int Wait() { return child_.Wait(); }

  const std::vector<Report>& acks() const { return acks_; }
  Epoch epoch() const { return epoch_; }

 private:
  struct Pipe {
    int to;
    int from;
  };
  static Pipe MakePipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    return {.to = ends[1], .from = ends[0]};
  }

  WriterProcess(Pipe pipe, const ReplicaOptions& options, const SharedWords* allowed)
      : output_(pipe.from), child_([&] {
          ::close(pipe.from);
          return Run(options, allowed, pipe.to);
        }) {
    ::close(pipe.to);
  }

  static void Say(int output, const Report& report) {
    if (::write(output, &report, sizeof report) != static_cast<ssize_t>(sizeof report)) ::_exit(9);
  }
  static int Fail(int output, const absl::Status& status) {
    Report report{.kind = Report::kError, .number = static_cast<uint64_t>(status.code())};
    const std::string message = status.ToString();
    message.copy(report.message, sizeof report.message - 1);
    Say(output, report);
    return 1;
  }

  static int Run(const ReplicaOptions& options, const SharedWords* allowed, int output) {
    auto replica = Replica<Tape, TextCodec>::Open(options);
    if (!replica.ok()) return Fail(output, replica.status());
    if (!(*replica)->WaitForRole(Role::kPrimary, absl::InfiniteDuration())) return Fail(output, (*replica)->status());
    Say(output, {.kind = Report::kPrimary, .epoch = (*replica)->applied().epoch});
    uint64_t number = (*replica)->Read([](const Tape& tape) { return tape.commands.size(); });
    for (uint64_t done = 0;; ++done, ++number) {
      if (allowed != nullptr) allowed->AwaitAtLeast(0, done + 1);
      const std::vector<uint8_t> bytes = CheckedPayload(number, kCommandBytesMax);
      const auto executed = (*replica)->Execute(std::string(AsText(bytes)));
      if (!executed.ok()) return Fail(output, executed.status());
      Say(output,
          {.kind = Report::kAck, .epoch = executed->position.epoch, .seq = executed->position.seq, .number = number});
    }
  }

  void Take(const Report& report) {
    if (report.kind == Report::kPrimary) epoch_ = report.epoch;
    if (report.kind == Report::kAck) acks_.push_back(report);
    if (report.kind == Report::kError) error_ = report.message;
  }

  int output_;
  ChildProcess child_;
  std::vector<Report> acks_;
  Epoch epoch_ = 0;
  std::string error_;
};

// All that starts threads or maps a journal is in the children, or comes after the last of them.
class WriterJournal final {
 public:
  explicit WriterJournal(uint32_t segment_bytes = 64 << 10) : dir_(TempDir::InMemory()) {
    options_.directory = dir_.path();
    options_.segment_bytes = segment_bytes;
  }

  const ReplicaOptions& options() const { return options_; }
  JournalLayout layout() const { return JournalLayout(options_.directory); }

  WriterProcess Start(const SharedWords* allowed = nullptr) const { return WriterProcess(options_, allowed); }

  // Reads on to the journal's end. Its commands are 0, 1, 2, ... byte for byte, and each command
  // that the processes reported stands at the reported seq and epoch. Remembers the place for the
  // next call.
  void Check(const std::vector<const WriterProcess*>& processes) {
    if (!reader_) {
      auto reader = ReadJournal(FileSystem::Posix(), layout(), TextCodec::kDataFormat);
      ASSERT_TRUE(reader.ok()) << reader.status();
      reader_.emplace(*std::move(reader));
    }
    while (const std::optional<Frame> frame = reader_->Next()) {
      if (frame->kind() != FrameKind::kCommand) continue;
      ASSERT_TRUE(IsCheckedPayload(frame->payload, positions_.size(), kCommandBytesMax))
          << "at " << frame->position().ToString() << " stands another command than number " << positions_.size();
      positions_.push_back(frame->position());
    }
    ASSERT_TRUE(reader_->status().ok()) << reader_->status();
    std::set<Seq> acknowledged;
    for (const WriterProcess* process : processes) {
      for (const Report& ack : process->acks()) {
        ASSERT_LT(ack.number, positions_.size()) << "acknowledged and lost";
        ASSERT_EQ(positions_[ack.number], (Position{.epoch = ack.epoch, .seq = ack.seq})) << "number " << ack.number;
        ASSERT_TRUE(acknowledged.insert(ack.seq).second) << "seq " << ack.seq << " was acknowledged twice";
      }
    }
  }

  size_t commands() const { return positions_.size(); }

 private:
  TempDir dir_;
  ReplicaOptions options_;
  std::optional<JournalReader> reader_;
  std::vector<Position> positions_;  // of the commands
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_WRITER_PROCESS_H_
