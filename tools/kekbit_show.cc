#include "tools/kekbit_show.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "kekbit/codecs/utf8.h"
#include "tools/kekbit_json.h"

namespace kekbit {
namespace {

constexpr size_t kTextBytesShown = 72;
constexpr size_t kHexBytesShown = 32;

std::string FrameKindName(uint8_t kind) {
  switch (static_cast<FrameKind>(kind)) {
    case FrameKind::kCommand:
      return "command";
    case FrameKind::kEpochStart:
      return "epoch start";
  }
  return absl::StrCat("kind ", kind);
}

// Returns what people can read of the bytes, in one line.
std::string Shortened(Bytes bytes) {
  if (bytes.empty()) return "";
  if (!IsText(bytes)) {
    return absl::StrCat(ToHex(bytes.first(std::min(bytes.size(), kHexBytesShown))),
                        bytes.size() > kHexBytesShown ? "..." : "");
  }
  const Bytes shown = bytes.first(std::min(bytes.size(), kTextBytesShown));
  const absl::string_view text = AsText(shown.first(ValidUtf8Prefix(shown)));
  return absl::StrCat(ToJsonString(text), bytes.size() > kTextBytesShown ? "..." : "");
}

std::string FramePayload(const SegmentItem& item) {
  if (item.frame->kind == static_cast<uint8_t>(FrameKind::kCommand)) return Shortened(item.command);
  if (item.frame->kind != static_cast<uint8_t>(FrameKind::kEpochStart) || item.command.size() != sizeof(EpochStart)) {
    return absl::StrCat(FrameKindName(item.frame->kind), " ", Shortened(item.command));
  }
  const auto start = LoadUnaligned<EpochStart>(item.command.data());
  return absl::StrCat("epoch start, follows ", Position{start.follows_epoch, start.follows_seq}.ToString());
}

}  // namespace

absl::string_view KindName(const SegmentItem& item) {
  const bool misfit = item.in_channel.kind == ChannelItemKind::kRecord && absl::IsDataLoss(item.status);
  return ChannelItemKindName(misfit ? ChannelItemKind::kDamage : item.in_channel.kind);
}

std::string JsonOf(const Part& part, const SegmentItem& item) {
  JsonLine line;
  if (part.segment != 0) line.Number("segment", part.segment);
  line.Number("offset", item.in_channel.offset).String("kind", KindName(item));
  if (!item.is_last()) line.Number("length", item.in_channel.payload.size());
  if (item.in_channel.kind == ChannelItemKind::kRecord) {
    line.Hex("payload", item.in_channel.payload);
    const Bytes text = item.frame ? item.command : item.in_channel.payload;
    if (IsText(text)) line.String("text", AsText(text));
  }
  if (item.frame) {
    line.String("frame", FrameKindName(item.frame->kind))
        .Number("epoch", item.frame->epoch)
        .Number("seq", item.frame->seq)
        .Signed("time", item.frame->time_ns)
        .Number("crc", item.frame->crc32c)
        .Hex("command", item.command);
  }
  if (!item.status.ok()) {
    const absl::string_view reason(item.status.message().data(), item.status.message().size());
    line.String("reason", reason);
  }
  return line.Take();
}

std::string TableHead(bool has_frames) {
  const std::string frame =
      has_frames ? absl::StrFormat("%5s  %10s  %-30s  %-8s  ", "epoch", "seq", "time", "crc") : "";
  return absl::StrFormat("%10s  %-9s  %8s  %s%s", "offset", "kind", "length", frame, "payload");
}

std::string TableRow(bool has_frames, const SegmentItem& item) {
  std::string row = absl::StrFormat("%10d  %-9s", item.in_channel.offset, KindName(item));
  if (!item.is_last()) absl::StrAppendFormat(&row, "  %8d", item.in_channel.payload.size());
  if (item.frame) {
    const std::string time =
        absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromUnixNanos(item.frame->time_ns), absl::UTCTimeZone());
    absl::StrAppendFormat(&row, "  %5d  %10d  %-30s  %08x  %s", item.frame->epoch, item.frame->seq, time,
                          item.frame->crc32c, FramePayload(item));
  } else if (!item.in_channel.payload.empty()) {
    absl::StrAppend(&row, "  ", has_frames ? "(no frame) " : "", Shortened(item.in_channel.payload));
  }
  if (!item.status.ok()) absl::StrAppend(&row, "\n            ", item.status.message());
  absl::StripTrailingAsciiWhitespace(&row);
  return row;
}

}  // namespace kekbit
