// BlockingReader waits for the next record asleep, at no CPU, until the writer wakes it.
//
//   auto reader = BlockingReader::Make(*ShmReader::Open(root, channel_id));
//   while (auto payload = reader->Read(absl::InfiniteDuration())) Use(*payload);
//   // the channel is exhausted, or its writer died without closing it: reader->abandoned()
//
// The writer must have been made with WriterOptions::wakes_readers, which is the default.
// Without a usable event the reader polls every millisecond: for a plain channel, where this
// process may not write the event's file, or while there is none yet.
//
// Thread safety, publication, lifetimes: as ShmReader.

#ifndef KEKBIT_BLOCKING_READER_H_
#define KEKBIT_BLOCKING_READER_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "kekbit/base/file_system.h"
#include "kekbit/shm_reader.h"
#include "kekbit/wake_event.h"

namespace kekbit {

class BlockingReader final {
 public:
  // `wake_path` as in the writer's options; empty: the channel's own. `fs` outlives the reader.
  explicit BlockingReader(ShmReader reader, FileSystem& fs = FileSystem::Posix(), const std::string& wake_path = "");

  // Returns the payload of the next record, as soon as there is one. Returns nullopt if none came
  // until `timeout` is over, none will come (reader().exhausted()), or the writer is gone and all
  // is read (abandoned()).
  std::optional<Bytes> Read(absl::Duration timeout);

  // Returns true if the last Read() found the writer dead and the channel not closed. A death is
  // found within a tenth of a second; never for a plain channel, whose writer holds no lock.
  bool abandoned() const { return abandoned_; }

  // Returns true if the writer wakes the reader, false if the reader polls.
  bool is_woken() const { return event_.has_value(); }

  ShmReader& reader() { return reader_; }

 private:
  // Opens the event, unless it is open or can't be opened.
  void OpenEvent();

  ShmReader reader_;
  FileSystem* fs_;
  std::string wake_path_;
  std::optional<WakeEvent> event_;
  bool abandoned_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_BLOCKING_READER_H_
