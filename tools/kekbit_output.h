// Output writes lines to standard output and finds out when nobody reads them any more.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_TOOLS_KEKBIT_OUTPUT_H_
#define KEKBIT_TOOLS_KEKBIT_OUTPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace kekbit {

class Output final {
 public:
  // From now on, a closed pipe is an error of a write and no longer the end of the process.
  Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Writes `line` and a line end. After an error it does nothing.
  void Line(absl::string_view line);

  // Hands what is buffered to the reader.
  void Flush();

  // Looks whether the reader has closed the pipe; for who has nothing to write for long.
  void Look() { Wait(absl::ZeroDuration()); }
  // The same until the time is over, or the reader has.
  void Wait(absl::Duration time);

  // Whether it is worth going on.
  bool open() const { return error_ == 0; }

  // OK also when the reader has closed the pipe: it has seen what it wanted.
  absl::Status status() const;

 private:
  int error_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_OUTPUT_H_
