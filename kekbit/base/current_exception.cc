#include "kekbit/base/current_exception.h"

#include <cxxabi.h>

#include <exception>

#include "kekbit/base/type_name.h"

namespace kekbit {

std::string CurrentExceptionWhat() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

std::string CurrentExceptionType() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  return type == nullptr ? "an unknown type" : TypeName(*type);
}

}  // namespace kekbit
