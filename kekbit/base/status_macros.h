// KB_RETURN_IF_ERROR and KB_ASSIGN_OR_RETURN pass an absl::Status on to the caller.
//
//   KB_RETURN_IF_ERROR(file->Sync());
//   KB_ASSIGN_OR_RETURN(FileInfo info, file->Info());

#ifndef KEKBIT_BASE_STATUS_MACROS_H_
#define KEKBIT_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define KB_RETURN_IF_ERROR(expression)                                                \
  do {                                                                                \
    if (absl::Status kb_status = (expression); ABSL_PREDICT_FALSE(!kb_status.ok())) { \
      return kb_status;                                                               \
    }                                                                                 \
  } while (false)

#define KB_ASSIGN_OR_RETURN(lhs, expression) \
  KB_ASSIGN_OR_RETURN_IMPL(KB_STATUS_CONCAT(kb_status_or_, __LINE__), lhs, expression)

#define KB_STATUS_CONCAT_IMPL(x, y) x##y
#define KB_STATUS_CONCAT(x, y) KB_STATUS_CONCAT_IMPL(x, y)
#define KB_ASSIGN_OR_RETURN_IMPL(status_or, lhs, expression)                     \
  auto status_or = (expression);                                                 \
  if (ABSL_PREDICT_FALSE(!status_or.ok())) return std::move(status_or).status(); \
  lhs = *std::move(status_or)

#endif  // KEKBIT_BASE_STATUS_MACROS_H_
