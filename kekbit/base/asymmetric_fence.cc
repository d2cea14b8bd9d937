#include "kekbit/base/asymmetric_fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kekbit {
namespace {

bool Membarrier(int command) { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

}  // namespace

bool JoinHeavyFence() {
  static const bool joined = Membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
  return joined;
}

bool HeavyFence() {
  // The call orders this thread too, as a fence of its own would.
  return Membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

}  // namespace kekbit
