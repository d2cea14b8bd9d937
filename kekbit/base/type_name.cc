#include "kekbit/base/type_name.h"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <memory>

namespace kekbit {

std::string TypeName(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 && name != nullptr ? name.get() : type.name();
}

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
