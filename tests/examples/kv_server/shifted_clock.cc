// A library for LD_PRELOAD: the machine's clock as somebody might set it. It is wrong by as many seconds as the file
// that SHIFTED_CLOCK names says; the monotonic clock is not.

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

extern "C" int clock_gettime(clockid_t id, timespec* time) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, id, time));
  const char* path = std::getenv("SHIFTED_CLOCK");
  if (result != 0 || id != CLOCK_REALTIME || path == nullptr) return result;
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  char seconds[32] = {};
  if (::read(file, seconds, sizeof seconds - 1) > 0) time->tv_sec += std::atoll(seconds);
  ::close(file);
  return result;
}
