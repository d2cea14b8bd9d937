// TypeName: what a type is called in the source, for messages.
//
//   TypeName(typeid(Transfer));   // "ledger::Transfer"
//
// Thread safety: a plain function.

#ifndef KEKBIT_BASE_TYPE_NAME_H_
#define KEKBIT_BASE_TYPE_NAME_H_

#include <string>
#include <typeinfo>

namespace kekbit {

// With its namespaces. The compiler's own name for the type if that can't be read.
std::string TypeName(const std::type_info& type);

}  // namespace kekbit

#endif  // KEKBIT_BASE_TYPE_NAME_H_
