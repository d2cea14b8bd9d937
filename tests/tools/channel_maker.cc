// channel_maker: writes a channel, or a journal, as the lines of its standard input tell it, and answers each line with
// "ok", or with the error. So a test in another language has a live writer in its hands.
//
//   channel PATH            makes a channel of the least capacity
//   write TEXT              appends TEXT
//   hex DIGITS              appends bytes
//   fill COUNT TEXT         appends TEXT so many times
//   heartbeat               appends one
//   close                   closes the channel, or the journal
//   journal DIRECTORY       begins a new epoch in the journal, with segments of the least capacity; write, hex and fill
//                           then append commands

#include <cstring>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/channel_seal.h"
#include "kekbit/header.h"
#include "kekbit/replication/journal/epoch_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/journal/journal_reader.h"
#include "kekbit/replication/journal/journal_writer.h"
#include "kekbit/replication/journal/seek.h"
#include "kekbit/shm_writer.h"
#include "tests/support/from_hex.h"

namespace kekbit {
namespace {

class Maker final {
 public:
  absl::Status Do(absl::string_view line) {
    const size_t space = std::min(line.find(' '), line.size());
    const absl::string_view command = line.substr(0, space);
    const absl::string_view argument = line.substr(std::min(space + 1, line.size()));
    if (command == "channel") return MakeChannel(argument);
    if (command == "journal") return MakeJournal(argument);
    if (command == "write") return Append(argument);
    if (command == "hex") return Append(FromHex(argument));
    if (command == "fill") return Fill(argument);
    if (command == "heartbeat") return channel_->Heartbeat().status();
    if (command != "close") return absl::InvalidArgumentError(absl::StrCat("unknown command: ", line));
    channel_.reset();
    journal_.reset();
    return absl::OkStatus();
  }

 private:
  absl::Status MakeChannel(absl::string_view path) {
    KB_ASSIGN_OR_RETURN(const Header header, Header::Make({.writer_id = 7, .channel_id = 9, .capacity = 0}));
    KB_ASSIGN_OR_RETURN(ShmWriter writer, ShmWriter::CreateAt(std::string(path), header));
    channel_ = std::move(writer);
    return absl::OkStatus();
  }

  absl::Status MakeJournal(absl::string_view directory) {
    FileSystem& fs = FileSystem::Posix();
    const JournalLayout layout(directory);
    KB_RETURN_IF_ERROR(fs.CreateDirectories(layout.directory()));
    KB_ASSIGN_OR_RETURN(EpochStore epochs, EpochStore::Open(fs, layout.epoch()));
    epochs_ = std::move(epochs);
    KB_ASSIGN_OR_RETURN(JournalReader reader, ReadJournal(fs, layout));
    while (reader.Next()) {
    }
    KB_RETURN_IF_ERROR(reader.status());
    KB_ASSIGN_OR_RETURN(const Epoch epoch, epochs_->Grant(reader.last().position.epoch));
    if (!reader.at_segment_end()) {
      KB_RETURN_IF_ERROR(SealAbandonedChannel(fs, layout.segment(reader.segment()), reader.offset()));
    }
    KB_ASSIGN_OR_RETURN(JournalWriter writer,
                        JournalWriter::Begin({.layout = layout, .segment_bytes = kCapacityMin}, *epochs_, epoch,
                                             reader.last(), reader.segment() + 1, Clock::System().RealtimeNanos()));
    journal_ = std::move(writer);
    return absl::OkStatus();
  }

  absl::Status Append(absl::string_view payload) {
    if (!journal_) return channel_->Write(AsBytes(payload)).status();
    const auto encode = [&](MutableBytes to) -> absl::StatusOr<size_t> {
      if (payload.size() > to.size()) return absl::ResourceExhaustedError("the command is too long");
      std::memcpy(to.data(), payload.data(), payload.size());
      return payload.size();
    };
    return journal_->Append(encode, Clock::System().RealtimeNanos()).status();
  }

  absl::Status Fill(absl::string_view argument) {
    const size_t space = argument.find(' ');
    uint64_t count = 0;
    if (space == absl::string_view::npos || !absl::SimpleAtoi(argument.substr(0, space), &count)) {
      return absl::InvalidArgumentError("fill COUNT TEXT");
    }
    for (; count > 0; --count) KB_RETURN_IF_ERROR(Append(argument.substr(space + 1)));
    return absl::OkStatus();
  }

  std::optional<ShmWriter> channel_;
  std::optional<EpochStore> epochs_;
  std::optional<JournalWriter> journal_;
};

}  // namespace
}  // namespace kekbit

int main() {
  kekbit::Maker maker;
  std::string line;
  while (std::getline(std::cin, line)) {
    const absl::Status status = maker.Do(line);
    std::cout << (status.ok() ? "ok" : std::string(status.message())) << std::endl;
  }
  return 0;
}
