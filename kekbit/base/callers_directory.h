// EnterCallersDirectory is for programs that `bazel run` starts, in a directory of its own. A
// relative path on the command line is meant from where the caller is.
//
//   int main(int argc, char** argv) {
//     kekbit::EnterCallersDirectory();   // before a path is looked at, and before there are threads

#ifndef KEKBIT_BASE_CALLERS_DIRECTORY_H_
#define KEKBIT_BASE_CALLERS_DIRECTORY_H_

#include <stdlib.h>
#include <unistd.h>

namespace kekbit {

// Goes to the directory that `bazel run` names in BUILD_WORKING_DIRECTORY, if any, and removes the
// variable. A program that this one starts then begins where it is told to.
inline void EnterCallersDirectory() {
  constexpr char kVariable[] = "BUILD_WORKING_DIRECTORY";
  const char* const directory = ::getenv(kVariable);
  if (directory == nullptr || *directory == '\0') return;
  // If it is gone, a relative path names nothing in either place.
  [[maybe_unused]] const int entered = ::chdir(directory);
  ::unsetenv(kVariable);
}

}  // namespace kekbit

#endif  // KEKBIT_BASE_CALLERS_DIRECTORY_H_
