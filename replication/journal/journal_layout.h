// JournalLayout owns the names of a journal's files.
//
//   DIR/lease       locked by the primary; says which process that is (for moments, lease.next, too)
//   DIR/epoch       the newest epoch that was granted
//   DIR/synced      how far the journal is known to be on stable storage
//   DIR/wake        wakes sleeping followers for the primary
//   DIR/segments/0000_0000/0000_0001.kekbit    the segments: channels with the ids 1, 2, 3, ...
//   DIR/snapshots   states, each as of some frame
//   DIR/readers     named cursors, which keep the journal from being trimmed before they have read it
//   DIR/replicas    what each replica says of itself
//   DIR/aside       what recovery and repair took out of the journal

#ifndef KEKBIT_REPLICATION_JOURNAL_JOURNAL_LAYOUT_H_
#define KEKBIT_REPLICATION_JOURNAL_JOURNAL_LAYOUT_H_

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/file_system.h"
#include "kekbit/channel_file.h"
#include "kekbit/extension.h"
#include "kekbit/replication/journal/frame.h"

namespace kekbit {

// Number of a segment in its journal: 1, 2, 3, ...
using SegmentNumber = uint64_t;

class JournalLayout final {
 public:
  explicit JournalLayout(absl::string_view directory) : directory_(directory) {}

  const std::string& directory() const { return directory_; }
  std::string lease() const { return JoinPath(directory_, "lease"); }
  std::string epoch() const { return JoinPath(directory_, "epoch"); }
  std::string wake() const { return JoinPath(directory_, "wake"); }
  std::string synced() const { return JoinPath(directory_, "synced"); }
  std::string snapshots() const { return JoinPath(directory_, "snapshots"); }
  std::string readers() const { return JoinPath(directory_, "readers"); }
  std::string replicas() const { return JoinPath(directory_, "replicas"); }
  std::string aside() const { return JoinPath(directory_, "aside"); }
  std::string segments() const { return JoinPath(directory_, "segments"); }
  std::string segment(SegmentNumber number) const { return ChannelPath(segments(), number); }

  // Returns the numbers of all segments that exist, ascending; empty if there is no journal. Files
  // without a segment's name are passed over.
  absl::StatusOr<std::vector<SegmentNumber>> ListSegments(FileSystem& fs) const;

 private:
  std::string directory_;
};

// JournalContent is what the commands of a journal are, so that no service applies those of
// another.
struct JournalContent {
  // A data format alone will do, or std::nullopt: tools read the journals of all services.
  template <std::convertible_to<std::optional<uint64_t>> Format = std::nullopt_t>
  // NOLINTNEXTLINE(google-explicit-constructor)
  JournalContent(Format format = std::nullopt, std::string state_name = {})
      : data_format(format), state(std::move(state_name)) {}

  std::optional<uint64_t> data_format;  // nullopt: any
  std::string state;                    // as StateName() has it; empty: any
};

// A segment says in its extension block what its first frame follows (except the time). So a
// segment can be checked, and a seq be found, without earlier segments. The block also says that
// the frames' FrameHeader::unsynced counts, and the name of the state.
Extension SegmentExtension(uint64_t data_format, const ChainLink& follows, absl::string_view state = {});
// Returns DataLoss for a channel that is no segment of a journal.
absl::StatusOr<ChainLink> FollowedBySegment(const std::optional<Extension>& extension);
// Returns true if FrameHeader::unsynced of the segment's frames is valid: the first version of the
// format always had 0 there.
bool SegmentCountsUnsynced(const std::optional<Extension>& extension);
// The name of the state whose commands it holds; empty for a segment of an earlier version, or no
// segment.
std::string SegmentStateName(const std::optional<Extension>& extension);
// FailedPrecondition, with both names, if the segment is of another state than `content` says.
absl::Status CheckSegmentState(const std::optional<Extension>& extension, const JournalContent& content);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_JOURNAL_JOURNAL_LAYOUT_H_
