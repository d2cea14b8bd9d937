// SimulatedInode: the bytes of one file of a SimulatedDisk, as memory has them and as the device
// may have them.
//
// A file is a row of units (the device's pages or sectors). Of each unit it is known what is on
// stable storage, what memory holds, and every content that memory held since the last sync: the
// kernel may have written any of them, or none. Stores into a mapping are seen by comparing, in
// Observe().
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_TESTS_SUPPORT_SIMULATED_INODE_H_
#define KEKBIT_TESTS_SUPPORT_SIMULATED_INODE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kekbit/base/bytes.h"

namespace kekbit {

// A seeded generator (SplitMix64): the same on every machine.
class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  // Below `n`, which is not 0.
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

uint64_t MixHash(uint64_t a, uint64_t b);
uint64_t HashOf(Bytes bytes);

// UnitContent is what a unit holds, or held. Shared by all units of that content.
struct UnitContent {
  std::vector<uint8_t> bytes;
  uint64_t hash;
};
// Null: never written. That reads as zeros, unless the device shows what stood there before.
using UnitRef = std::shared_ptr<const UnitContent>;

struct UnitState {
  UnitRef durable;
  UnitRef cached;                 // what memory held when it was last observed
  std::vector<UnitRef> versions;  // since the last sync, the last one is `cached`; none: the unit is clean
};

class SimulatedInode final {
 public:
  // With `torn`, a change of several words also leaves contents in which only some of them have
  // changed.
  SimulatedInode(uint64_t id, uint64_t unit_bytes, bool torn) : id_(id), unit_bytes_(unit_bytes), torn_(torn) {}
  // The file as it is after a restart: memory holds what is `durable`.
  SimulatedInode(uint64_t id, uint64_t unit_bytes, bool torn, uint64_t size, const std::vector<UnitRef>& durable);
  // Returns the same file, after all that had it open died.
  static std::shared_ptr<SimulatedInode> AfterDeath(const SimulatedInode& other);

  SimulatedInode(const SimulatedInode&) = delete;
  SimulatedInode& operator=(const SimulatedInode&) = delete;

  uint64_t id() const { return id_; }
  uint64_t size() const { return size_; }
  uint64_t durable_size() const { return durable_size_; }
  // Without the holes.
  uint64_t allocated() const { return size_ - HoleBytes(0, size_); }
  // Of the holes in [begin, end).
  uint64_t HoleBytes(uint64_t begin, uint64_t end) const;
  uint64_t unit_bytes() const { return unit_bytes_; }
  const std::vector<UnitState>& units() const { return units_; }

  // Makes the file at least so long. REQUIRES: the file stays within a page, or nobody maps it.
  void Grow(uint64_t size);
  // Its bytes. Valid while somebody maps it.
  uint8_t* memory();
  void Write(uint64_t offset, Bytes from);

  // Makes the whole pages inside [offset, offset + size) a hole, which reads as zeros. The device
  // has what it had, or zeros, of each unit. A store into a hole by a mapping is a failed check: on
  // a full disk it would be SIGBUS.
  void PunchHole(uint64_t offset, uint64_t size);
  // No hole is left in [0, size).
  void FillHoles(uint64_t size);

  void Mapped(bool writable);
  void Unmapped(bool writable);

  // Takes note of what was stored since the last time.
  void Observe();

  // From Freeze() to Thaw() nothing is observed, and Thaw() takes back what was stored meanwhile.
  void Freeze();
  void Thaw();

  // Of a scratch file only the bytes are kept, no contents of before: no power failure leaves it
  // anyway.
  void SetScratch() { scratch_ = true; }

  // The units that [offset, offset + size) touches, and the file's length, are on stable storage;
  // what was held before is history.
  void Sync(uint64_t offset, uint64_t size);
  // Syncs, but each dirty unit reached the device or did not, as `random` says. All are clean: no
  // later sync writes them unless they change again.
  void FailSync(uint64_t offset, uint64_t size, SeededRandom& random);
  // Clean units are read anew from the device, unless somebody maps the file.
  void DropCache(uint64_t offset, uint64_t size);

  // Syncs that have failed. As Linux does, each open file is told of those since it was opened,
  // once.
  uint64_t errors = 0;

  // The holder of the lock; null: nobody.
  const void* locked_by = nullptr;

 private:
  UnitRef Content(const uint8_t* from) const;
  void AddVersion(UnitState& unit, const uint8_t* now);
  void AddTorn(UnitState& unit, const uint8_t* now);
  void Add(UnitState& unit, UnitRef content);
  const uint8_t* BytesOf(const UnitRef& unit) const;
  void Reserve(uint64_t size);
  // The units that [offset, offset + size) touches, whole pages of them: [first, second).
  std::pair<uint64_t, uint64_t> Range(uint64_t offset, uint64_t size) const;

  const uint64_t id_;
  const uint64_t unit_bytes_;
  const bool torn_;
  uint64_t size_ = 0;
  uint64_t durable_size_ = 0;
  std::vector<UnitState> units_;
  std::vector<bool> holes_;            // by unit; a file after a power failure has none
  std::unique_ptr<uint8_t[]> memory_;  // null: nobody needed it yet
  uint64_t memory_bytes_ = 0;
  std::vector<uint8_t> frozen_bytes_;
  bool frozen_ = false;
  bool scratch_ = false;
  int mappings_ = 0;
  int writable_mappings_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_SIMULATED_INODE_H_
