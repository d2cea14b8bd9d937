// Texts for messages: what a type is called in the source, and what the exception being handled is
// and says.
//
//   TypeName(typeid(Transfer));   // "ledger::Transfer"
//   // "std::runtime_error", "no such account"
//   catch (...) { Say(CurrentExceptionType(), CurrentExceptionWhat()); }
//
// Thread safety: plain functions; each thread asks for its own exception.

#ifndef KEKBIT_BASE_TYPE_NAME_H_
#define KEKBIT_BASE_TYPE_NAME_H_

#include <string>
#include <typeinfo>

namespace kekbit {

// Returns the type's name with its namespaces; the compiler's own name if that can't be read.
std::string TypeName(const std::type_info& type);

// Returns what() of the exception being handled; "an exception of unknown type" if it is no
// std::exception. REQUIRES: the caller is in a catch block.
std::string CurrentExceptionWhat();

// Returns the name of that exception's type. REQUIRES: the caller is in a catch block.
std::string CurrentExceptionType();

}  // namespace kekbit

#endif  // KEKBIT_BASE_TYPE_NAME_H_
