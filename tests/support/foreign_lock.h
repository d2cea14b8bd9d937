// ForeignLock: a process that is none of kekbit's, and holds a lock on a file until the object goes.
//
//   ForeignLock lock(path, F_RDLCK, F_OFD_SETLK);   // returns once the lock is held
//   EXPECT_THAT(message, HasSubstr(absl::StrCat("process ", lock.pid())));
//
// As ChildProcess: fork it before anything that starts threads, or accept that it has none of them.

#ifndef KEKBIT_TESTS_SUPPORT_FOREIGN_LOCK_H_
#define KEKBIT_TESTS_SUPPORT_FOREIGN_LOCK_H_

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "tests/support/child_process.h"

namespace kekbit {

class ForeignLock final {
 public:
  // `type`: F_RDLCK or F_WRLCK. `command`: F_OFD_SETLK, or F_SETLK for a lock of the process.
  ForeignLock(const std::string& path, short type, int command)
      : child_([this, &path, type, command] {
          const int fd = ::open(path.c_str(), (type == F_RDLCK ? O_RDONLY : O_RDWR) | O_CLOEXEC);
          struct flock lock = {};
          lock.l_type = type;
          lock.l_whence = SEEK_SET;
          // Tried until it is free: the one that has the file may let go of it just now.
          while (::fcntl(fd, command, &lock) != 0) {
            if (fd < 0) return 1;
            ::usleep(100);
          }
          held_.Set(0, 1);
          for (;;) ::pause();
        }) {
    held_.AwaitAtLeast(0, 1);
  }

  pid_t pid() const { return child_.pid(); }

 private:
  SharedWords held_{1};
  ChildProcess child_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_FOREIGN_LOCK_H_
