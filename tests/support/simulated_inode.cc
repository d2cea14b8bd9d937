#include "tests/support/simulated_inode.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kekbit/base/check.h"

namespace kekbit {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint8_t kZeros[kPageBytes] = {};

uint64_t WordAt(const uint8_t* bytes, uint64_t index) { return LoadUnaligned<uint64_t>(bytes + 8 * index); }

}  // namespace

uint64_t SeededRandom::Next() {
  state_ += 0x9E37'79B9'7F4A'7C15;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58'476D'1CE4'E5B9;
  z = (z ^ (z >> 27)) * 0x94D0'49BB'1331'11EB;
  return z ^ (z >> 31);
}

uint64_t MixHash(uint64_t a, uint64_t b) { return SeededRandom(a ^ (b * 0x9FB2'1C65'1E98'DF25)).Next(); }

uint64_t HashOf(Bytes bytes) {
  // Four lanes, so that no multiplication waits for the one before.
  uint64_t lanes[4] = {1, 2, 3, 4};
  size_t i = 0;
  for (; i + 32 <= bytes.size(); i += 32) {
    for (uint64_t lane = 0; lane < 4; ++lane) {
      uint64_t& h = lanes[lane];
      h = (h ^ LoadUnaligned<uint64_t>(bytes.data() + i + 8 * lane)) * 0x9FB2'1C65'1E98'DF25;
      h ^= h >> 29;
    }
  }
  for (; i < bytes.size(); ++i) lanes[i % 4] = (lanes[i % 4] ^ bytes[i]) * 0x9FB2'1C65'1E98'DF25;
  return MixHash(MixHash(lanes[0], lanes[1]), MixHash(lanes[2], lanes[3]));
}

SimulatedInode::SimulatedInode(uint64_t id, uint64_t unit_bytes, bool torn, uint64_t size,
                               const std::vector<UnitRef>& durable)
    : id_(id), unit_bytes_(unit_bytes), torn_(torn), size_(size), durable_size_(size) {
  units_.reserve(durable.size());
  for (const UnitRef& unit : durable) units_.push_back({.durable = unit, .cached = unit, .versions = {}});
  holes_.resize(units_.size());
}

std::shared_ptr<SimulatedInode> SimulatedInode::AfterDeath(const SimulatedInode& other) {
  auto inode = std::make_shared<SimulatedInode>(other.id_, other.unit_bytes_, other.torn_);
  inode->size_ = other.size_;
  inode->durable_size_ = other.durable_size_;
  inode->units_ = other.units_;
  inode->holes_ = other.holes_;
  return inode;
}

const uint8_t* SimulatedInode::BytesOf(const UnitRef& unit) const { return unit ? unit->bytes.data() : kZeros; }

void SimulatedInode::Reserve(uint64_t size) {
  if (memory_ != nullptr && size <= memory_bytes_) return;
  KB_CHECK(mappings_ == 0);
  const uint64_t wanted = memory_ == nullptr ? size : std::max(size, 2 * memory_bytes_);
  const uint64_t bytes = std::max<uint64_t>(1, (wanted + kPageBytes - 1) / kPageBytes) * kPageBytes;
  // Do not initialize the values: most are overwritten at once.
  std::unique_ptr<uint8_t[]> memory(new uint8_t[bytes]);
  uint64_t filled = 0;
  if (memory_ != nullptr) {
    filled = memory_bytes_;
    std::memcpy(memory.get(), memory_.get(), filled);
  } else {
    for (const UnitState& unit : units_) {
      std::memcpy(memory.get() + filled, BytesOf(unit.cached), unit_bytes_);
      filled += unit_bytes_;
    }
  }
  std::memset(memory.get() + filled, 0, bytes - filled);
  memory_ = std::move(memory);
  memory_bytes_ = bytes;
}

uint8_t* SimulatedInode::memory() {
  Reserve(size_);
  return memory_.get();
}

void SimulatedInode::Grow(uint64_t size) {
  if (size <= size_) return;
  if (memory_ != nullptr) Reserve(size);
  size_ = size;
  units_.resize((size_ + unit_bytes_ - 1) / unit_bytes_);
  holes_.resize(units_.size());
}

uint64_t SimulatedInode::HoleBytes(uint64_t begin, uint64_t end) const {
  uint64_t units = 0;
  for (uint64_t i = begin / unit_bytes_; i < holes_.size() && i * unit_bytes_ < end; ++i) units += holes_[i];
  return std::min(size_, units * unit_bytes_);
}

void SimulatedInode::PunchHole(uint64_t offset, uint64_t size) {
  Observe();
  const uint64_t begin = (offset + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uint64_t end = std::min(size_, offset + size) / kPageBytes * kPageBytes;
  for (uint64_t i = begin / unit_bytes_; i * unit_bytes_ < end; ++i) {
    uint8_t* const unit = memory() + i * unit_bytes_;
    if (std::memcmp(unit, kZeros, unit_bytes_) != 0) {
      std::memset(unit, 0, unit_bytes_);
      AddVersion(units_[i], unit);
    }
    holes_[i] = true;
  }
}

void SimulatedInode::FillHoles(uint64_t size) {
  for (uint64_t i = 0; i < holes_.size() && i * unit_bytes_ < size; ++i) holes_[i] = false;
}

void SimulatedInode::Write(uint64_t offset, Bytes from) {
  Grow(offset + from.size());
  if (from.empty()) return;
  std::memcpy(memory() + offset, from.data(), from.size());
  for (uint64_t i = offset / unit_bytes_; i * unit_bytes_ < offset + from.size(); ++i) {
    AddVersion(units_[i], memory_.get() + i * unit_bytes_);
    holes_[i] = false;
  }
}

void SimulatedInode::Mapped(bool writable) {
  ++mappings_;
  writable_mappings_ += writable;
}

void SimulatedInode::Unmapped(bool writable) {
  if (writable) Observe();
  --mappings_;
  writable_mappings_ -= writable;
}

void SimulatedInode::Freeze() {
  if (frozen_) return;
  Observe();
  frozen_ = true;
  if (writable_mappings_ != 0) frozen_bytes_.assign(memory_.get(), memory_.get() + size_);
}

void SimulatedInode::Thaw() {
  if (!std::exchange(frozen_, false)) return;
  if (!frozen_bytes_.empty()) std::memcpy(memory_.get(), frozen_bytes_.data(), frozen_bytes_.size());
  frozen_bytes_.clear();
}

void SimulatedInode::Observe() {
  if (writable_mappings_ == 0 || frozen_) return;
  const uint8_t* from = memory_.get();
  for (size_t i = 0; i < units_.size(); ++i) {
    if (std::memcmp(from, BytesOf(units_[i].cached), unit_bytes_) != 0) {
      KB_CHECK(!holes_[i]);
      AddVersion(units_[i], from);
    }
    from += unit_bytes_;
  }
}

UnitRef SimulatedInode::Content(const uint8_t* from) const {
  auto content = std::make_shared<UnitContent>();
  content->bytes.assign(from, from + unit_bytes_);
  content->hash = HashOf(content->bytes);
  return content;
}

void SimulatedInode::Add(UnitState& unit, UnitRef content) {
  for (const UnitRef& version : unit.versions) {
    if (version->hash == content->hash) return;
  }
  unit.versions.push_back(std::move(content));
}

void SimulatedInode::AddVersion(UnitState& unit, const uint8_t* now) {
  if (scratch_) {
    unit.cached = Content(now);
    return;
  }
  if (torn_) AddTorn(unit, now);
  UnitRef content = Content(now);
  // The newest is last, also if the unit had held the same before.
  std::erase_if(unit.versions, [&](const UnitRef& version) { return version->hash == content->hash; });
  unit.cached = content;
  unit.versions.push_back(std::move(content));
}

// Between two observations words were stored one by one, in an order that is not known here but for
// a record, whose first word, its length, comes last. The device may have read the unit at any time
// between two stores, or while they went on.
void SimulatedInode::AddTorn(UnitState& unit, const uint8_t* now) {
  const uint8_t* const old = BytesOf(unit.cached);
  std::vector<uint64_t> changed;
  for (uint64_t i = 0; i < unit_bytes_ / 8; ++i) {
    if (WordAt(old, i) != WordAt(now, i)) changed.push_back(i);
  }
  if (changed.size() < 2) return;
  SeededRandom random(MixHash(WordAt(now, changed.front()), WordAt(now, changed.back()) + id_));
  std::vector<uint8_t> bytes(old, old + unit_bytes_);
  const auto take = [&](uint64_t word) { std::memcpy(&bytes[8 * word], now + 8 * word, 8); };
  // All but the first.
  for (size_t i = 1; i < changed.size(); ++i) take(changed[i]);
  Add(unit, Content(bytes.data()));
  // Some from the second on.
  std::memcpy(bytes.data(), old, unit_bytes_);
  const uint64_t some = random.Below(changed.size());
  for (size_t i = 1; i <= some; ++i) take(changed[i]);
  if (some != 0) Add(unit, Content(bytes.data()));
  // Any.
  std::memcpy(bytes.data(), old, unit_bytes_);
  bool any = false;
  for (const uint64_t word : changed) {
    if (random.OneIn(2)) continue;
    take(word);
    any = true;
  }
  if (any) Add(unit, Content(bytes.data()));
}

std::pair<uint64_t, uint64_t> SimulatedInode::Range(uint64_t offset, uint64_t size) const {
  const uint64_t begin = offset / kPageBytes * kPageBytes;
  const uint64_t end =
      std::min(size_, size > size_ ? size_ : (offset + size + kPageBytes - 1) / kPageBytes * kPageBytes);
  return {std::min<uint64_t>(begin / unit_bytes_, units_.size()), (end + unit_bytes_ - 1) / unit_bytes_};
}

void SimulatedInode::Sync(uint64_t offset, uint64_t size) {
  Observe();
  const auto [begin, end] = Range(offset, size);
  for (uint64_t i = begin; i < end; ++i) {
    if (units_[i].versions.empty()) continue;
    units_[i].durable = units_[i].cached;
    units_[i].versions.clear();
  }
  durable_size_ = size_;
}

void SimulatedInode::FailSync(uint64_t offset, uint64_t size, SeededRandom& random) {
  Observe();
  const auto [begin, end] = Range(offset, size);
  for (uint64_t i = begin; i < end; ++i) {
    if (units_[i].versions.empty()) continue;
    if (random.OneIn(3)) units_[i].durable = units_[i].cached;
    units_[i].versions.clear();
  }
  if (random.OneIn(2)) durable_size_ = size_;
}

void SimulatedInode::DropCache(uint64_t offset, uint64_t size) {
  if (mappings_ != 0) return;
  const auto [begin, end] = Range(offset, size == 0 ? size_ : size);
  for (uint64_t i = begin; i < end; ++i) {
    UnitState& unit = units_[i];
    if (!unit.versions.empty() || unit.cached == unit.durable) continue;
    unit.cached = unit.durable;
    if (memory_ != nullptr) std::memcpy(memory_.get() + i * unit_bytes_, BytesOf(unit.cached), unit_bytes_);
  }
}

}  // namespace kekbit
