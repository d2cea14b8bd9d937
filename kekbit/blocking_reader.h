// BlockingReader waits for the next record asleep, at no CPU, until the writer wakes it.
//
//   auto reader = BlockingReader::Make(*ShmReader::Open(root, channel_id));
//   while (auto payload = reader->Read(absl::InfiniteDuration())) Use(*payload);
//   // the channel is exhausted, or its writer died without closing it: reader->abandoned()
//
// The writer must have been made with WriterOptions::wakes_readers (it is, unless told otherwise). Where that can't
// work, for a plain channel, where this process may not write the event's file, or while there is none yet, the reader
// looks for itself every millisecond.
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

  // The payload of the next record, as soon as there is one. Nothing if none came until `timeout` is over, none will
  // come (reader().exhausted()), or the writer is gone and all is read (abandoned()).
  std::optional<Bytes> Read(absl::Duration timeout);

  // Whether the last Read() found that the writer no longer lives, though it did not close the channel. Found within a
  // tenth of a second; never for a plain channel, whose writer holds no lock.
  bool abandoned() const { return abandoned_; }

  // Whether the reader is woken by the writer, rather than looking for itself.
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
