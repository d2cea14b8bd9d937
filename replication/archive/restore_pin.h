// RestorePin keeps what a restore needs: while a young object "restores/..." is there, no copier
// drops or deletes what retention would.
//
//   const absl::StatusOr<RestorePin> pin = RestorePin::Put(store);   // before the manifest is read
//   ... now and then: pin->Renew() ...
//
// Best effort: who may not put into the archive restores without; then a retention at the same time
// may end the restore.
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_REPLICATION_ARCHIVE_RESTORE_PIN_H_
#define KEKBIT_REPLICATION_ARCHIVE_RESTORE_PIN_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {

inline constexpr absl::string_view kRestoresPrefix = "restores/";

// A pin that was not renewed for so long is that of a restore that died.
inline constexpr int64_t kPinLivesNs = 3'600'000'000'000;

class RestorePin final {
 public:
  static absl::StatusOr<RestorePin> Put(ObjectStore& store) {
    RestorePin pin(store, absl::StrFormat("%s%016x", kRestoresPrefix, NewIncarnationId()));
    KB_RETURN_IF_ERROR(pin.Renew());
    return pin;
  }

  RestorePin(RestorePin&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)), name_(std::move(other.name_)) {}
  RestorePin& operator=(RestorePin&&) = delete;
  ~RestorePin() {
    if (store_ != nullptr) store_->Delete(name_).IgnoreError();
  }

  absl::Status Renew() { return store_->Put(name_, AsBytes("a restore needs this archive as it is")); }

  // Returns true if some restore's pin is young, by the store's times and `now_ns`.
  static absl::StatusOr<bool> AnyLives(ObjectStore& store, int64_t now_ns) {
    KB_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> pins, store.List(kRestoresPrefix));
    for (const ObjectInfo& pin : pins) {
      if (pin.modified_ns == 0 || pin.modified_ns > now_ns - kPinLivesNs) return true;
    }
    return false;
  }

 private:
  RestorePin(ObjectStore& store, std::string name) : store_(&store), name_(std::move(name)) {}

  ObjectStore* store_;  // null: moved from
  std::string name_;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_RESTORE_PIN_H_
