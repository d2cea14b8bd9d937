// ObjectStore keeps objects off the host: whole byte strings, each under a name. An archive needs no
// more than these calls of its store; see directory_store.h for one.
//
//   absl::Status status = store.Put("frames/1", source);
//   status = store.PutIfAbsent("manifest/1", bytes);           // AlreadyExists: another was first
//   absl::StatusOr<size_t> size = store.Get("frames/1", 0, buffer);
//
// Names: parts of letters, digits and any of "._-", joined by slashes, not empty, not beginning
// with a dot; at most kObjectNameBytesMax in all.
//
// What is asked of a store: an object is there with all its bytes or not at all, and stays after
// Put() or PutIfAbsent() has returned OK, whatever happens to this host. Get() of an object that
// was put gives its bytes. List() may lag: what was just put may be missing, what was just deleted
// may still be named.
//
// Errors: NotFound, AlreadyExists; ResourceExhausted (out of space); PermissionDenied; Unavailable
// (try again: the store did not answer, or does not now); FailedPrecondition (the store can't do
// it: no such bucket, say); DataLoss (it says that it lost what it had). Each message has the
// store's location and the object's name, and tells what to do. After an error of a put nobody
// knows whether the object is there: put the same bytes again.
//
// Thread safety: any thread.

#ifndef KEKBIT_REPLICATION_ARCHIVE_OBJECT_STORE_H_
#define KEKBIT_REPLICATION_ARCHIVE_OBJECT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/file_system.h"

namespace kekbit {

inline constexpr size_t kObjectNameBytesMax = 200;

// Returns InvalidArgument, with the reason, for a name that no object can have.
absl::Status CheckObjectName(absl::string_view name);

// ObjectSource is the bytes of an object that is put. A store may read parts again.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual uint64_t bytes() const = 0;
  // Reads all of `to`, which lies inside the object.
  virtual absl::Status Read(uint64_t offset, MutableBytes to) = 0;
};

// BytesSource is an object in memory, which outlives it.
class BytesSource final : public ObjectSource {
 public:
  explicit BytesSource(Bytes bytes) : bytes_(bytes) {}
  uint64_t bytes() const override { return bytes_.size(); }
  absl::Status Read(uint64_t offset, MutableBytes to) override;

 private:
  Bytes bytes_;
};

// FileSource is an open file, which outlives it, with the length that it has at first.
class FileSource final : public ObjectSource {
 public:
  FileSource(File& file, uint64_t bytes) : file_(file), bytes_(bytes) {}
  uint64_t bytes() const override { return bytes_; }
  // DataLoss if the file became shorter.
  absl::Status Read(uint64_t offset, MutableBytes to) override;

 private:
  File& file_;
  uint64_t bytes_;
};

struct ObjectInfo {
  std::string name;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;  // by the store's clock, since the Unix epoch; 0: it does not say
};

class ObjectStore {
 public:
  ObjectStore() = default;
  ObjectStore(const ObjectStore&) = delete;
  ObjectStore& operator=(const ObjectStore&) = delete;
  virtual ~ObjectStore() = default;

  // Where it is, for messages: a path, or s3://BUCKET/PREFIX.
  virtual const std::string& location() const = 0;

  // Puts the object, in the place of one of that name, if there is one.
  virtual absl::Status Put(absl::string_view name, ObjectSource& source) = 0;
  absl::Status Put(absl::string_view name, Bytes bytes) {
    BytesSource source(bytes);
    return Put(name, source);
  }

  // Puts the object if there is none of that name, in one step: of several callers one succeeds.
  // AlreadyExists to the others.
  virtual absl::Status PutIfAbsent(absl::string_view name, Bytes bytes) = 0;

  // Reads from `offset` on; returns how much of `to` is filled: less than all only at the object's
  // end.
  virtual absl::StatusOr<size_t> Get(absl::string_view name, uint64_t offset, MutableBytes to) = 0;

  // Lists the objects whose names begin with `prefix` and have no slash after it, by name. Empty if
  // there are none. REQUIRES: `prefix` has a slash.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) = 0;

  // OK also if there is none.
  virtual absl::Status Delete(absl::string_view name) = 0;
};

// Reads a whole object. FailedPrecondition if it has more than `bytes_max` bytes.
absl::StatusOr<std::vector<uint8_t>> GetWhole(ObjectStore& store, absl::string_view name, uint64_t bytes_max);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_OBJECT_STORE_H_
