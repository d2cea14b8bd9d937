// S3Store keeps objects in a bucket of S3, or of any server that speaks its protocol: by libcurl, with
// signature version 4.
//
//   KB_ASSIGN_OR_RETURN(const S3Location location, ParseS3Location("s3://backups/ledger"));
//   KB_ASSIGN_OR_RETURN(std::unique_ptr<S3Store> store, S3Store::Open(location));
//
// A call that the server does not answer, or answers with 429 or 5xx, is made again, with back-off,
// up to S3Limits. An object longer than a part is put in parts; it appears with the last.
//
// PutIfAbsent() needs a server that knows `If-None-Match: *`: that is tried once, by an object
// "probes/...". FailedPrecondition if the server does not, unless the location says one-copier=yes.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_ARCHIVE_S3_STORE_H_
#define KEKBIT_REPLICATION_ARCHIVE_S3_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/archive/s3_location.h"

namespace kekbit {

struct S3Limits {
  int tries = 5;
  absl::Duration first_pause = absl::Milliseconds(100);  // twice as long after each try
  absl::Duration connect_timeout = absl::Seconds(5);
  // A call ends after this and what its bytes need at 100 KB/s.
  absl::Duration timeout = absl::Seconds(15);
  uint64_t part_bytes = 16 << 20;  // 5 MiB at least, by S3's rule
};

class S3Store final : public ObjectStore {
 public:
  static absl::StatusOr<std::unique_ptr<S3Store>> Open(S3Location location, S3Limits limits = {});
  ~S3Store() override;

  using ObjectStore::Put;

  const std::string& location() const override { return location_.text; }
  absl::Status Put(absl::string_view name, ObjectSource& source) override;
  absl::Status PutIfAbsent(absl::string_view name, Bytes bytes) override;
  absl::StatusOr<size_t> Get(absl::string_view name, uint64_t offset, MutableBytes to) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::Status Delete(absl::string_view name) override;

 private:
  struct Call;
  struct Answer;
  class Connections;

  S3Store(S3Location location, const S3Limits& limits);

  // Makes the call, again and again while that may help. Returns the last answer, if it is no error
  // but for `expected`.
  absl::StatusOr<Answer> Make(const Call& call);
  absl::StatusOr<Answer> MakeOnce(const Call& call);
  absl::Status PutWhole(const std::string& key, Bytes bytes, bool if_absent);
  absl::Status PutInParts(const std::string& key, ObjectSource& source);
  // OK if the server takes If-None-Match.
  absl::Status CheckPutIfAbsent();
  std::string KeyOf(absl::string_view name) const;

  const S3Location location_;
  const S3Limits limits_;
  const std::unique_ptr<Connections> connections_;
  absl::Mutex mutex_;
  bool put_if_absent_works_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_S3_STORE_H_
