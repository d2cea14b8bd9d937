#include "kekbit/base/errno_code.h"

#include <cerrno>
#include <cstring>
#include <map>

#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace kekbit {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

TEST(ErrnoCodeTest, EveryErrnoOfTheSystemHasACodeThatIsNotUnknown) {
  constexpr int kMax = 4095;  // the kernel gives none above
  int defined = 0;
  for (int error = 1; error <= kMax; ++error) {
    if (::strerrorname_np(error) != nullptr) ++defined;
    EXPECT_THAT(CodeOfErrno(error),
                AnyOf(StatusCode::kNotFound, StatusCode::kAlreadyExists, StatusCode::kResourceExhausted,
                      StatusCode::kPermissionDenied, StatusCode::kUnavailable, StatusCode::kDataLoss,
                      StatusCode::kFailedPrecondition))
        << std::strerror(error);
  }
  EXPECT_GT(defined, 130);
}

// What the calls on files give, by their manual pages.
TEST(ErrnoCodeTest, TheCodeIsTheMeaning) {
  const std::map<int, StatusCode> expected = {
      {ENOENT, StatusCode::kNotFound},
      {ENOTDIR, StatusCode::kNotFound},
      {EEXIST, StatusCode::kAlreadyExists},
      {ENOTEMPTY, StatusCode::kAlreadyExists},
      {ENOSPC, StatusCode::kResourceExhausted},
      {EDQUOT, StatusCode::kResourceExhausted},
      {EFBIG, StatusCode::kResourceExhausted},
      {EMFILE, StatusCode::kResourceExhausted},
      {ENFILE, StatusCode::kResourceExhausted},
      {ENOMEM, StatusCode::kResourceExhausted},
      {ENOLCK, StatusCode::kResourceExhausted},
      {EMLINK, StatusCode::kResourceExhausted},
      {EACCES, StatusCode::kPermissionDenied},
      {EPERM, StatusCode::kPermissionDenied},
      {EROFS, StatusCode::kPermissionDenied},
      {EINTR, StatusCode::kUnavailable},
      {EAGAIN, StatusCode::kUnavailable},
      {EBUSY, StatusCode::kUnavailable},
      {EDEADLK, StatusCode::kUnavailable},
      {ETIMEDOUT, StatusCode::kUnavailable},
      {EIO, StatusCode::kUnavailable},
      {EUCLEAN, StatusCode::kDataLoss},
      {EBADMSG, StatusCode::kDataLoss},
      {ELOOP, StatusCode::kFailedPrecondition},
      {EXDEV, StatusCode::kFailedPrecondition},
      {EISDIR, StatusCode::kFailedPrecondition},
      {ENXIO, StatusCode::kFailedPrecondition},
      {ENODEV, StatusCode::kFailedPrecondition},
      {EINVAL, StatusCode::kFailedPrecondition},
      {ENAMETOOLONG, StatusCode::kFailedPrecondition},
      {ETXTBSY, StatusCode::kFailedPrecondition},
      {EBADF, StatusCode::kFailedPrecondition},
      {ESPIPE, StatusCode::kFailedPrecondition},
      {EOVERFLOW, StatusCode::kFailedPrecondition},
      {ENOTTY, StatusCode::kFailedPrecondition},
      {EOPNOTSUPP, StatusCode::kFailedPrecondition},
      {ENOSYS, StatusCode::kFailedPrecondition},
  };
  for (const auto& [error, code] : expected) EXPECT_EQ(CodeOfErrno(error), code) << ::strerrorname_np(error);
}

TEST(ErrnoCodeTest, TheErrorSaysPathOperationReasonAndWhatToDo) {
  EXPECT_THAT(ErrorOf(ENOSPC, "pwrite", "/data/epoch"),
              StatusIs(StatusCode::kResourceExhausted, "/data/epoch: pwrite: No space left on device"));
  EXPECT_THAT(ErrorOf(EXDEV, "linkat", "/data/segments/x"),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("/data/segments/x: linkat: "), HasSubstr("must lie on one file system"))));
}

}  // namespace
}  // namespace kekbit
