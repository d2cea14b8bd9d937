// CrashImages: the disks that could be found after the power failed now.
//
// Each unit has on it what is durable, or any of its contents since the last sync; each file its
// old length or the new one; each name that changed since its directory was synced, the old state
// or the new one. If these are few choices, all combinations come; else the corners (nothing
// written, all written, only one thing, all but one, the data and not the names, the names and not
// the data), and as many drawn by chance as wanted. Some of the latter show, in a file that was
// allocated and not written yet, bytes of another file at the same place: what stood on the device
// before.
//
// The disk must not change meanwhile, and outlives this.

#ifndef KEKBIT_TESTS_SUPPORT_CRASH_IMAGES_H_
#define KEKBIT_TESTS_SUPPORT_CRASH_IMAGES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/simulated_disk.h"
#include "tests/support/simulated_inode.h"

namespace kekbit {

struct CrashImagesOptions {
  // All combinations up to this many.
  uint64_t all_up_to = 64;
  // Otherwise so many by chance, and at most so many corners (those with only one thing are drawn
  // if there are more).
  uint64_t samples = 16;
  uint64_t corners = 24;
  // One in so many of the drawn ones shows old bytes in space that was never written; 0: none.
  uint64_t stale_one_in = 4;
};

class CrashImages final {
 public:
  // `disk` was observed: this is used in its hook, or after CrashPoint().
  CrashImages(const SimulatedDisk& disk, SeededRandom& random, CrashImagesOptions options);

  // The next one; null: there are no more. The same one may come twice.
  std::unique_ptr<SimulatedDisk> Next();

  // One by chance, of any kind: nothing written, all, names only, all but names, one thing only,
  // all but one, a mixture of all that, with old bytes or without. `kind`, if there is one, gets
  // which.
  std::unique_ptr<SimulatedDisk> Draw(std::string* kind = nullptr);

  // Returns how many combinations there are; at most 2^62.
  uint64_t combinations() const { return combinations_; }

 private:
  // Something of which the device may have one of several states: 0 is the durable one, the last
  // one the newest.
  struct Variable {
    enum class Kind { kUnit, kSize, kName } kind;
    uint64_t inode;  // of a unit or size
    uint64_t index;  // of the unit in its file, or of the change of names
    uint32_t states;
  };
  using Choice = std::vector<uint32_t>;

  void AddVariable(Variable variable);
  Choice Uniform(bool newest) const;
  // Only `kind` newest, or all but it.
  Choice OnlyNames(bool names) const;
  Choice Corner(uint64_t index);
  Choice Sample();
  bool Advance();
  std::unique_ptr<SimulatedDisk> Build(const Choice& choice, bool stale) const;
  void BuildNames(const Choice& choice, SimulatedDisk& after) const;
  std::shared_ptr<SimulatedInode> BuildInode(const SimulatedInode& inode, uint64_t size,
                                             const std::map<uint64_t, uint32_t>& chosen, bool stale) const;
  UnitRef StaleUnit(const SimulatedInode& inode, uint64_t index) const;

  const SimulatedDisk& disk_;
  SeededRandom& random_;
  const CrashImagesOptions options_;
  std::vector<Variable> variables_;
  uint64_t combinations_ = 1;
  bool all_ = false;
  Choice counter_;  // of all combinations, the next one
  bool done_ = false;
  uint64_t corners_ = 0;
  uint64_t next_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_CRASH_IMAGES_H_
