// Shows one item of a channel for the `kekbit` command: as a JSON object, or as a row of a table.
//
// Thread safety: any thread.

#ifndef KEKBIT_TOOLS_KEKBIT_SHOW_H_
#define KEKBIT_TOOLS_KEKBIT_SHOW_H_

#include <string>

#include "absl/strings/string_view.h"
#include "kekbit/replication/journal/segment_scan.h"
#include "tools/kekbit_parts.h"

namespace kekbit {

// Returns the item's kind in the channel, or "damage" for a frame that does not fit.
absl::string_view KindName(const SegmentItem& item);

// Returns one line of JSON. Fields: `segment` (in a journal), `offset`, `kind`. A record also has
// `length` and `payload` (all of the record, in hexadecimal). A frame has `frame` (its kind),
// `epoch`, `seq`, `time` (ns since the Unix epoch), `crc` and `command` (the frame's payload, in
// hexadecimal). `text` stands where the payload, or the command, is text; `reason` where something
// is wrong.
std::string JsonOf(const Part& part, const SegmentItem& item);

// Return the table's head and a row, without line ends. Long payloads are shortened.
std::string TableHead(bool has_frames);
std::string TableRow(bool has_frames, const SegmentItem& item);

}  // namespace kekbit

#endif  // KEKBIT_TOOLS_KEKBIT_SHOW_H_
