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
  // Makes a closed pipe an error of a write from now on, and no longer the end of the process.
  Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Writes `line` and a line end. Does nothing after an error.
  void Line(absl::string_view line);

  // Hands what is buffered to the reader.
  void Flush();

  // Looks whether the reader has closed the pipe; for callers that have nothing to write for long.
  void Look() { Wait(absl::ZeroDuration()); }
  // Looks until the time is over, or the reader has closed the pipe.
  void Wait(absl::Duration time);

  // Returns true if it is worth going on.
  bool open() const { return error_ == 0; }

  // Returns OK also when the reader has closed the pipe: the reader has seen what it wanted.
  absl::Status status() const;

 private:
  int error_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_OUTPUT_H_
