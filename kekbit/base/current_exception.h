// Tells what the exception being handled says and is; to be called in a catch block.
//
//   // "std::runtime_error", "no such account"
//   catch (...) { Say(CurrentExceptionType(), CurrentExceptionWhat()); }
//
// Thread safety: each thread asks for its own exception.

#ifndef KEKBIT_BASE_CURRENT_EXCEPTION_H_
#define KEKBIT_BASE_CURRENT_EXCEPTION_H_

#include <string>

namespace kekbit {

// Its what(); "an exception of unknown type" if it is no std::exception.
std::string CurrentExceptionWhat();

// The name of its type.
std::string CurrentExceptionType();

}  // namespace kekbit

#endif  // KEKBIT_BASE_CURRENT_EXCEPTION_H_
