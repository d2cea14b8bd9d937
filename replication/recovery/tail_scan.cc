#include "kekbit/replication/recovery/tail_scan.h"

#include <algorithm>
#include <optional>

#include "kekbit/base/check.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/channel_format.h"

namespace kekbit {
namespace {

class Scanner {
 public:
  Scanner(Bytes data, uint64_t from, const ChainLink& last, uint64_t payload_max, bool counts_unsynced)
      : data_(data), from_(from), last_(last), payload_max_(payload_max), counts_unsynced_(counts_unsynced) {}

  TailScan Scan() {
    scan_.end = std::min<uint64_t>(from_, data_.size());
    for (uint64_t at = from_; at + kLengthBytes <= data_.size();) {
      if (LoadUnaligned<uint64_t>(data_.data() + at) == 0) {
        at += kLengthBytes;
        continue;
      }
      scan_.end = at + kLengthBytes;
      at = FollowChain(at);
    }
    KB_CHECK(scan_.end <= data_.size());  // so much is kept aside
    return scan_;
  }

 private:
  // Returns the record at `at`, if its length can be one and is enough for a frame.
  std::optional<Bytes> RecordAt(uint64_t at) const {
    if (at > data_.size() || data_.size() - at < kLengthBytes + kFrameHeaderBytes) return std::nullopt;
    const auto length = LoadUnaligned<uint64_t>(data_.data() + at);
    if (length < kFrameHeaderBytes || length > payload_max_) return std::nullopt;
    if (length > data_.size() - at - kLengthBytes) return std::nullopt;
    return data_.subspan(at + kLengthBytes, length);
  }

  // Returns true if the record may be a frame later than the last one read: few bytes of a payload
  // look like that.
  bool Plausible(const FrameHeader& header) const {
    const Seq ahead = header.seq - last_.position.seq;
    return (header.kind == static_cast<uint8_t>(FrameKind::kCommand) ||
            header.kind == static_cast<uint8_t>(FrameKind::kEpochStart)) &&
           header.seq > last_.position.seq && ahead <= data_.size() / (kLengthBytes + kFrameHeaderBytes) + 1 &&
           header.epoch >= last_.position.epoch;
  }

  static bool Fits(Bytes record, uint32_t seed) {
    return Crc32c(seed, record.subspan(sizeof(FrameHeader::crc32c))) == LoadUnaligned<uint32_t>(record.data());
  }

  // Returns true if the frame at `at` fits a damaged predecessor at `from_`, by what may be the
  // predecessor's checksum.
  bool FitsBehindTheBadOne(uint64_t at, const FrameHeader& header, Bytes record) const {
    if (at == from_) return Fits(record, last_.crc32c);
    if (header.seq != last_.position.seq + 2) return false;
    // The predecessor's stored checksum may be whole, though its length is not. Or the checksum
    // itself is damaged.
    if (from_ + kLengthBytes + sizeof(uint32_t) <= at &&
        Fits(record, LoadUnaligned<uint32_t>(data_.data() + from_ + kLengthBytes))) {
      return true;
    }
    const std::optional<Bytes> bad = RecordAt(from_);
    return bad && from_ + RecordBytes(bad->size()) == at &&
           Fits(record, Crc32c(last_.crc32c, bad->subspan(sizeof(FrameHeader::crc32c))));
  }

  void Found(uint64_t at, const FrameHeader& header) {
    ++scan_.frames;
    scan_.last_seq = std::max(scan_.last_seq, header.seq);
    const Seq synced = counts_unsynced_ ? SyncedBefore(header.seq, header.unsynced) : 0;
    if (synced > scan_.synced) {
      scan_.synced = synced;
      scan_.synced_offset = at;
    }
  }

  // Returns where to go on after `at`: at the end of the frames that each fit their predecessor.
  uint64_t FollowChain(uint64_t at) {
    std::optional<Bytes> record = RecordAt(at);
    if (!record) return at + kLengthBytes;
    auto header = LoadUnaligned<FrameHeader>(record->data());
    if (!Plausible(header)) return at + kLengthBytes;
    bool whole = FitsBehindTheBadOne(at, header, *record);
    if (whole) Found(at, header);
    for (;;) {
      const uint64_t next = at + RecordBytes(record->size());
      const std::optional<Bytes> following = RecordAt(next);
      const auto follows = following ? LoadUnaligned<FrameHeader>(following->data()) : FrameHeader{};
      if (!following || follows.seq != header.seq + 1 || !Fits(*following, header.crc32c)) {
        // The length of a record that may not be whole does not tell where the next record is.
        if (whole) scan_.end = std::max(scan_.end, std::min<uint64_t>(next, data_.size()));
        return whole ? next : at + kLengthBytes;
      }
      Found(next, follows);
      whole = true;
      at = next;
      record = following;
      header = follows;
    }
  }

  const Bytes data_;
  const uint64_t from_;
  const ChainLink last_;
  const uint64_t payload_max_;
  const bool counts_unsynced_;
  TailScan scan_;
};

}  // namespace

TailScan ScanTail(Bytes data, uint64_t from, const ChainLink& last, uint64_t payload_max, bool counts_unsynced) {
  return Scanner(data, from, last, payload_max, counts_unsynced).Scan();
}

}  // namespace kekbit
