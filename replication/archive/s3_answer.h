// What an S3 server answers, read: lists of objects, and errors with what to do about them.
//
// Thread safety: none needed; pure functions.

#ifndef KEKBIT_REPLICATION_ARCHIVE_S3_ANSWER_H_
#define KEKBIT_REPLICATION_ARCHIVE_S3_ANSWER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/archive/object_store.h"

namespace kekbit {

struct S3List {
  std::vector<ObjectInfo> objects;  // with their whole keys
  std::string next;                 // the token by which the next part is asked for; empty: this is all
};

// Reads an answer to ListObjectsV2. Unavailable if it is none.
absl::StatusOr<S3List> ReadS3List(absl::string_view body);

// Reads the id of a multipart upload. Unavailable if there is none.
absl::StatusOr<std::string> ReadUploadId(absl::string_view body);

// Returns what an answer with the HTTP status `http` says; OK for 200 to 299 without an error in its
// body. `what` is for messages: the store, the object and the call.
absl::Status S3Error(long http, absl::string_view body, absl::string_view what);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_S3_ANSWER_H_
