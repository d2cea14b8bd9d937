#include "kekbit/replication/journal/frame.h"

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/replication/testing/planted_bugs.h"

namespace kekbit {
namespace {

absl::Status Unfitting(const FrameHeader& header, const ChainLink& link) {
  return absl::DataLossError(absl::StrCat("a frame of ", Position{header.epoch, header.seq}.ToString(), " follows ",
                                          link.position.ToString()));
}

}  // namespace

uint32_t FrameChecksum(const ChainLink& link, Bytes record) {
  const uint32_t before = Planted(PlantedBug::kNoChain) ? 0 : link.crc32c;
  return Crc32c(before, record.subspan(sizeof(FrameHeader::crc32c)));
}

bool ParseCommand(Bytes record, ChainLink& link, Frame& frame) {
  if (ABSL_PREDICT_FALSE(record.size() < kFrameHeaderBytes)) return false;
  const auto header = LoadUnaligned<FrameHeader>(record.data());
  const bool known = header.kind == static_cast<uint8_t>(FrameKind::kCommand) && header.flags == 0 &&
                     header.type_id == 0 && header.type_version == 0;
  const bool follows = header.epoch == link.position.epoch && header.seq == link.position.seq + 1;
  if (ABSL_PREDICT_FALSE(!known || !follows || FrameChecksum(link, record) != header.crc32c)) return false;
  link = {.position = {.epoch = header.epoch, .seq = header.seq}, .crc32c = header.crc32c, .time_ns = header.time_ns};
  frame = {.header = header, .payload = record.subspan(kFrameHeaderBytes)};
  return true;
}

absl::StatusOr<Frame> ParseFrame(Bytes record, ChainLink& link) {
  if (Frame command; ABSL_PREDICT_TRUE(ParseCommand(record, link, command))) return command;
  if (ABSL_PREDICT_FALSE(record.size() < kFrameHeaderBytes)) {
    return absl::DataLossError(absl::StrCat("a record of ", record.size(), " bytes is too short for a frame's header"));
  }
  const auto header = LoadUnaligned<FrameHeader>(record.data());
  const uint32_t crc = Planted(PlantedBug::kNoChecksum) ? header.crc32c : FrameChecksum(link, record);
  if (ABSL_PREDICT_FALSE(crc != header.crc32c)) {
    return absl::DataLossError(absl::StrFormat("checksum is 0x%08x, the frame's bytes behind seq %d have 0x%08x",
                                               header.crc32c, link.position.seq, crc));
  }
  const auto kind = static_cast<FrameKind>(header.kind);
  if (ABSL_PREDICT_FALSE(kind != FrameKind::kCommand && kind != FrameKind::kEpochStart)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a frame of kind ", header.kind, " is unknown to this version of the code"));
  }
  if (ABSL_PREDICT_FALSE(header.flags != 0 || header.type_id != 0 || header.type_version != 0)) {
    return absl::FailedPreconditionError(absl::StrCat("a frame of type ", header.type_id, " version ",
                                                      header.type_version, ", flags ", header.flags,
                                                      " is unknown to this version of the code"));
  }
  const bool same_epoch = header.epoch == link.position.epoch && kind != FrameKind::kEpochStart;
  const bool new_epoch = header.epoch > link.position.epoch && kind == FrameKind::kEpochStart;
  const bool fits = header.seq == link.position.seq + 1 && (same_epoch || new_epoch);
  if (ABSL_PREDICT_FALSE(!fits) && !Planted(PlantedBug::kNoChain)) return Unfitting(header, link);
  link = {.position = {.epoch = header.epoch, .seq = header.seq}, .crc32c = header.crc32c, .time_ns = header.time_ns};
  return Frame{.header = header, .payload = record.subspan(kFrameHeaderBytes)};
}

}  // namespace kekbit
