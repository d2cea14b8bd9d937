// LedgerProcess is a `ledger serve` as a child process, with a pipe to its input and a pipe from
// its output.

#ifndef KEKBIT_EXAMPLES_LEDGER_PROCESS_H_
#define KEKBIT_EXAMPLES_LEDGER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kekbit::examples {

class LedgerProcess final {
 public:
  // Starts `binary serve --directory directory` with more arguments, its standard error going to
  // `log` (appended). Unavailable if there is no such program.
  static absl::StatusOr<std::unique_ptr<LedgerProcess>> Start(const std::string& binary, const std::string& directory,
                                                              const std::string& log,
                                                              const std::vector<std::string>& more = {});

  LedgerProcess(const LedgerProcess&) = delete;
  LedgerProcess& operator=(const LedgerProcess&) = delete;
  // Kills the process, if it lives.
  ~LedgerProcess();

  // Neither pipe blocks. `input` takes commands. `output` gives answers, and its end when the
  // process is dead.
  int input() const { return input_; }
  int output() const { return output_; }
  pid_t pid() const { return pid_; }

  // Sends one line and waits for the line that answers. Unavailable if the process ended. REQUIRES:
  // everything sent before is answered.
  absl::StatusOr<std::string> Ask(const std::string& line);

  // Sends SIGKILL, which no process survives, and none can prepare for. Returns at once; Wait() for
  // the end.
  void Kill();
  // Ends the input: the process answers what it has, and exits.
  void CloseInput();
  // Waits for the end; returns the exit status as by waitpid.
  int Wait();

 private:
  LedgerProcess(pid_t pid, int input, int output) : pid_(pid), input_(input), output_(output) {}

  pid_t pid_;
  int input_;
  int output_;
  bool ended_ = false;
  int status_ = 0;
};

// Returns the path of a program beside this program: built in the same folder.
std::string BesideThisProgram(const std::string& name);

}  // namespace kekbit::examples

#endif  // KEKBIT_EXAMPLES_LEDGER_PROCESS_H_
