#include "kekbit/replication/replica_options.h"

namespace kekbit {

bool Checks::InDebugBuild() {
#ifdef NDEBUG
  return false;
#else
  return true;
#endif
}

}  // namespace kekbit
