#include "tests/support/crash_images.h"

#include <algorithm>
#include <set>
#include <utility>

namespace kekbit {
namespace {

constexpr uint64_t kCombinationsMax = uint64_t{1} << 62;
// Before this, a file of ours has its header. Old bytes there would be another file's name and place, not its contents.
constexpr uint64_t kStaleFrom = 1024;

UnitRef ZeroUnit(uint64_t bytes) {
  const auto make = [](uint64_t size) {
    auto unit = std::make_shared<UnitContent>();
    unit->bytes.assign(size, 0);
    unit->hash = 0;  // as a unit that was never written
    return unit;
  };
  static const UnitRef page = make(4096);
  static const UnitRef sector = make(512);
  return bytes == 4096 ? page : sector;
}

}  // namespace

CrashImages::CrashImages(const SimulatedDisk& disk, SeededRandom& random, CrashImagesOptions options)
    : disk_(disk), random_(random), options_(options) {
  std::set<uint64_t> scratch;
  for (const SimulatedDisk::NameChange& change : disk.changes_) {
    if (disk.IsScratch(change)) scratch.insert(change.entry.id);
  }
  for (const auto& [id, inode] : disk.inodes_) {
    if (scratch.contains(id)) continue;
    for (uint64_t i = 0; i < inode->units().size(); ++i) {
      const UnitState& unit = inode->units()[i];
      if (!unit.versions.empty()) {
        AddVariable({Variable::Kind::kUnit, id, i, static_cast<uint32_t>(unit.versions.size() + 1)});
      }
    }
    if (inode->durable_size() != inode->size()) AddVariable({Variable::Kind::kSize, id, 0, 2});
  }
  for (uint64_t i = 0; i < disk.changes_.size(); ++i) {
    if (!disk.changes_[i].settled() && !disk.IsScratch(disk.changes_[i])) AddVariable({Variable::Kind::kName, 0, i, 2});
  }
  all_ = combinations_ <= options_.all_up_to;
  counter_ = Uniform(false);
  corners_ = std::min<uint64_t>(4 + 2 * variables_.size(), options_.corners);
}

void CrashImages::AddVariable(Variable variable) {
  const bool too_many = combinations_ > kCombinationsMax / variable.states;
  combinations_ = too_many ? kCombinationsMax : combinations_ * variable.states;
  variables_.push_back(variable);
}

CrashImages::Choice CrashImages::Uniform(bool newest) const {
  Choice choice(variables_.size(), 0);
  for (size_t i = 0; newest && i < choice.size(); ++i) choice[i] = variables_[i].states - 1;
  return choice;
}

CrashImages::Choice CrashImages::OnlyNames(bool names) const {
  Choice choice = Uniform(true);
  for (size_t i = 0; i < choice.size(); ++i) {
    if ((variables_[i].kind == Variable::Kind::kName) != names) choice[i] = 0;
  }
  return choice;
}

CrashImages::Choice CrashImages::Corner(uint64_t index) {
  if (index < 2) return Uniform(index == 1);
  if (index < 4) return OnlyNames(index == 3);
  // One thing alone, or all but one.
  const uint64_t pairs = variables_.size();
  const bool enough = 4 + 2 * pairs <= options_.corners;
  const uint64_t pick = enough ? index - 4 : random_.Below(2 * pairs);
  Choice choice = Uniform(pick % 2 == 1);
  choice[pick / 2] = pick % 2 == 1 ? 0 : variables_[pick / 2].states - 1;
  return choice;
}

CrashImages::Choice CrashImages::Sample() {
  Choice choice(variables_.size(), 0);
  // From "nearly nothing was written" to "nearly all was".
  const uint64_t eagerness = random_.Below(5);
  for (size_t i = 0; i < choice.size(); ++i) {
    const uint32_t newest = variables_[i].states - 1;
    if (random_.OneIn(3)) {
      choice[i] = static_cast<uint32_t>(random_.Below(variables_[i].states));
    } else {
      choice[i] = random_.Below(4) < eagerness ? newest : 0;
    }
  }
  return choice;
}

bool CrashImages::Advance() {
  for (size_t i = 0; i < counter_.size(); ++i) {
    if (++counter_[i] < variables_[i].states) return true;
    counter_[i] = 0;
  }
  return false;
}

std::unique_ptr<SimulatedDisk> CrashImages::Next() {
  if (done_) return nullptr;
  if (all_) {
    auto disk = Build(counter_, false);
    done_ = !Advance();
    return disk;
  }
  const uint64_t index = next_++;
  if (index < corners_) return Build(Corner(index), false);
  if (index >= corners_ + options_.samples) return nullptr;
  const bool stale = options_.stale_one_in != 0 && random_.OneIn(options_.stale_one_in);
  return Build(Sample(), stale);
}

std::unique_ptr<SimulatedDisk> CrashImages::Draw(std::string* kind) {
  static constexpr const char* kKinds[] = {"nothing written", "all written", "names only",     "all but names",
                                           "one thing only",  "all but one", "some of it all", "some, and old bytes"};
  uint64_t pick = random_.Below(12);
  if (variables_.empty()) pick = 1;
  if (pick >= 8) pick = 6;
  if (kind != nullptr) *kind = kKinds[pick];
  if (pick < 4) return Build(Corner(pick), false);
  if (pick >= 6) return Build(Sample(), pick == 7);
  Choice choice = Uniform(pick == 5);
  const uint64_t one = random_.Below(variables_.size());
  choice[one] = pick == 5 ? 0 : variables_[one].states - 1;
  return Build(choice, false);
}

void CrashImages::BuildNames(const Choice& choice, SimulatedDisk& after) const {
  std::vector<bool> lost(disk_.changes_.size(), false);
  for (size_t i = 0; i < variables_.size(); ++i) {
    if (variables_[i].kind == Variable::Kind::kName && choice[i] == 0) lost[variables_[i].index] = true;
  }
  for (size_t i = 0; i < lost.size(); ++i) lost[i] = lost[i] || disk_.IsScratch(disk_.changes_[i]);
  after.directories_ = disk_.directories_;
  for (size_t i = 0; i < disk_.changes_.size(); ++i) {
    if (!lost[i]) SimulatedDisk::Apply(disk_.changes_[i], after.directories_, &SimulatedDisk::Directory::durable);
  }
  for (auto& [id, directory] : after.directories_) directory.names = directory.durable;
}

UnitRef CrashImages::StaleUnit(const SimulatedInode& inode, uint64_t index) const {
  for (const auto& [id, other] : disk_.inodes_) {
    if (id == inode.id() || other->units().size() <= index) continue;
    const UnitState& unit = other->units()[index];
    if (unit.durable && unit.durable->hash != 0) return unit.durable;
  }
  return nullptr;
}

std::shared_ptr<SimulatedInode> CrashImages::BuildInode(const SimulatedInode& inode, uint64_t size,
                                                        const std::map<uint64_t, uint32_t>& chosen, bool stale) const {
  std::vector<UnitRef> units((size + inode.unit_bytes() - 1) / inode.unit_bytes());
  for (uint64_t i = 0; i < units.size(); ++i) {
    const UnitState& unit = inode.units()[i];
    const auto pick = chosen.find(i);
    const uint32_t state = pick == chosen.end() ? 0 : pick->second;
    units[i] = state == 0 ? unit.durable : unit.versions[state - 1];
    if (!units[i] && stale && i * inode.unit_bytes() >= kStaleFrom) units[i] = StaleUnit(inode, i);
    // Once read as zeros it stays so.
    if (!units[i]) units[i] = ZeroUnit(inode.unit_bytes());
  }
  return std::make_shared<SimulatedInode>(inode.id(), inode.unit_bytes(), disk_.options_.torn, size, units);
}

std::unique_ptr<SimulatedDisk> CrashImages::Build(const Choice& choice, bool stale) const {
  auto after = std::make_unique<SimulatedDisk>(disk_.options_);
  after->next_id_ = disk_.next_id_;
  after->boot_ = disk_.boot_ + 1;
  BuildNames(choice, *after);
  std::map<uint64_t, std::map<uint64_t, uint32_t>> units;
  std::map<uint64_t, bool> grown;
  for (size_t i = 0; i < variables_.size(); ++i) {
    const Variable& variable = variables_[i];
    if (choice[i] == 0) continue;
    if (variable.kind == Variable::Kind::kUnit) units[variable.inode][variable.index] = choice[i];
    if (variable.kind == Variable::Kind::kSize) grown[variable.inode] = true;
  }
  // Only what a name leads to, from the root down.
  std::map<uint64_t, SimulatedDisk::Directory> reached;
  std::vector<uint64_t> open = {1};
  while (!open.empty()) {
    const uint64_t id = open.back();
    open.pop_back();
    const auto node = after->directories_.extract(id);
    if (node.empty()) continue;
    for (const auto& [name, entry] : node.mapped().names) {
      if (entry.is_directory) {
        open.push_back(entry.id);
      } else if (!after->inodes_.contains(entry.id)) {
        const SimulatedInode& inode = *disk_.inodes_.at(entry.id);
        const uint64_t size = grown.contains(entry.id) ? inode.size() : inode.durable_size();
        after->inodes_[entry.id] = BuildInode(inode, size, units[entry.id], stale);
      }
    }
    reached.emplace(id, std::move(node.mapped()));
  }
  after->directories_ = std::move(reached);
  return after;
}

}  // namespace kekbit
