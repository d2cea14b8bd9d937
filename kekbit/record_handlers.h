// Record handlers put something around each payload: a sequence number, a time, a checksum.
//
//   HandledWriter writer(*ShmWriter::Create(root, header),
//                        Crc32cHandler(), SequenceHandler(0), TimestampHandler());
//   writer.Write(AsBytes("hello"));     // seq 1 | time | "hello" | crc32c of all that
//
//   HandledReader reader(*ShmReader::Open(root, id),
//                        Crc32cHandler(), SequenceHandler(0), TimestampHandler());
//   if (auto record = reader.TryRead()) {
//     record->payload;                  // "hello", its checksum and sequence checked
//     record->Get<TimestampHandler>();  // ticks since the Unix epoch
//   }
//
// The first handler is the outermost. Sequence and time lie before the payload, little endian, in
// the layout of the Rust library's chained handlers. The checksum lies after what it covers. Both
// sides must chain the same handlers.
//
// A handler is any type with: Value; kHeadBytes and kTailBytes; `void Begin(uint8_t* head)` and
// `void Finish(const uint8_t* head, uint8_t* tail)`, with which the writer fills them; and
// `absl::Status Check(const uint8_t* head, const uint8_t* tail, Value* value)`, with which the
// reader reads them. Between a head and its tail lies all that the inner handlers and the payload
// have put there.
//
// Thread safety, publication, durability: as ShmWriter and ShmReader.

#ifndef KEKBIT_RECORD_HANDLERS_H_
#define KEKBIT_RECORD_HANDLERS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"
#include "kekbit/tick_unit.h"

namespace kekbit {

// SequenceHandler numbers the records: the first gets `last` + 1. The reader fails with DataLoss at
// a number that is not the next.
class SequenceHandler final {
 public:
  using Value = uint64_t;
  static constexpr size_t kHeadBytes = 8;
  static constexpr size_t kTailBytes = 0;

  explicit SequenceHandler(uint64_t last = 0) : last_(last) {}

  void Begin(uint8_t* head) { StoreUnaligned(head, ++last_); }
  void Finish(const uint8_t* /*head*/, uint8_t* /*tail*/) {}
  absl::Status Check(const uint8_t* head, const uint8_t* /*tail*/, Value* value) {
    *value = LoadUnaligned<uint64_t>(head);
    if (*value != last_ + 1) {
      return absl::DataLossError(absl::StrCat("sequence number ", *value, " follows ", last_));
    }
    last_ = *value;
    return absl::OkStatus();
  }

 private:
  uint64_t last_;
};

// TimestampHandler says when each record was written, in ticks since the Unix epoch.
class TimestampHandler final {
 public:
  using Value = uint64_t;
  static constexpr size_t kHeadBytes = 8;
  static constexpr size_t kTailBytes = 0;

  // `clock` outlives the handler.
  explicit TimestampHandler(TickUnit unit = TickUnit::kNanos, const Clock& clock = Clock::System())
      : clock_(&clock), unit_(unit) {}

  void Begin(uint8_t* head) { StoreUnaligned(head, TicksNow(unit_, *clock_)); }
  void Finish(const uint8_t* /*head*/, uint8_t* /*tail*/) {}
  absl::Status Check(const uint8_t* head, const uint8_t* /*tail*/, Value* value) {
    *value = LoadUnaligned<uint64_t>(head);
    return absl::OkStatus();
  }

 private:
  const Clock* clock_;
  TickUnit unit_;
};

// Crc32cHandler guards each record, and what inner handlers put around it, by a CRC-32C. The reader
// fails with DataLoss if the checksum differs.
class Crc32cHandler final {
 public:
  using Value = uint32_t;
  static constexpr size_t kHeadBytes = 0;
  static constexpr size_t kTailBytes = 4;

  void Begin(uint8_t* /*head*/) {}
  void Finish(const uint8_t* head, uint8_t* tail) { StoreUnaligned(tail, Of(head, tail)); }
  absl::Status Check(const uint8_t* head, const uint8_t* tail, Value* value) {
    *value = LoadUnaligned<uint32_t>(tail);
    if (const uint32_t crc = Of(head, tail); crc != *value) {
      return absl::DataLossError(absl::StrFormat("checksum is 0x%08x, the bytes have 0x%08x", *value, crc));
    }
    return absl::OkStatus();
  }

 private:
  static uint32_t Of(const uint8_t* head, const uint8_t* tail) {
    return Crc32c(0, Bytes(head, static_cast<size_t>(tail - head)));
  }
};

// HandledWriter appends records with what the handlers put around them.
template <typename... Handlers>
class HandledWriter final {
 public:
  static constexpr size_t kHeadBytes = (Handlers::kHeadBytes + ... + 0);
  static constexpr size_t kTailBytes = (Handlers::kTailBytes + ... + 0);

  explicit HandledWriter(ShmWriter writer, Handlers... handlers)
      : writer_(std::move(writer)), handlers_(std::move(handlers)...) {}

  // Appends a record as ShmWriter::Write(); the handlers' bytes count as payload. An empty payload
  // is fine if there is any handler.
  absl::StatusOr<uint64_t> Write(Bytes payload) {
    const size_t size = kHeadBytes + payload.size() + kTailBytes;
    KB_ASSIGN_OR_RETURN(const MutableBytes claim, writer_.Claim(size));
    if (!payload.empty()) std::memcpy(claim.data() + kHeadBytes, payload.data(), payload.size());
    Around<0>(claim.data(), claim.data() + size);
    return writer_.Publish(size);
  }

  ShmWriter& writer() { return writer_; }

 private:
  // Calls the handlers from the I-th on, outermost first, around [head, end).
  template <size_t I>
  void Around(uint8_t* head, uint8_t* end) {
    if constexpr (I < sizeof...(Handlers)) {
      auto& handler = std::get<I>(handlers_);
      using Handler = std::tuple_element_t<I, std::tuple<Handlers...>>;
      uint8_t* const tail = end - Handler::kTailBytes;
      handler.Begin(head);
      Around<I + 1>(head + Handler::kHeadBytes, tail);
      handler.Finish(head, tail);
    }
  }

  ShmWriter writer_;
  std::tuple<Handlers...> handlers_;
};

// HandledReader reads records that a HandledWriter with the same handlers wrote.
template <typename... Handlers>
class HandledReader final {
 public:
  struct Record {
    Bytes payload;
    std::tuple<typename Handlers::Value...> values;  // in the order of the handlers

    // Returns what `Handler` put around the record. REQUIRES: the handler is in the chain once.
    template <typename Handler>
    const typename Handler::Value& Get() const {
      return std::get<IndexOf<Handler>()>(values);
    }

   private:
    template <typename Handler>
    static constexpr size_t IndexOf() {
      constexpr bool kIs[] = {std::is_same_v<Handler, Handlers>...};
      static_assert((std::is_same_v<Handler, Handlers> + ...) == 1, "the handler is not in the chain just once");
      size_t i = 0;
      while (!kIs[i]) ++i;
      return i;
    }
  };

  explicit HandledReader(ShmReader reader, Handlers... handlers)
      : reader_(std::move(reader)), handlers_(std::move(handlers)...) {}

  // Returns the next record, or nullopt: none yet, none ever (reader().exhausted()), or status() is
  // an error.
  std::optional<Record> TryRead() {
    if (!status_.ok()) return std::nullopt;
    const uint64_t offset = reader_.position();
    const std::optional<Bytes> payload = reader_.TryRead();
    if (!payload) return std::nullopt;
    Record record;
    absl::Status status = Unwrap<0>(payload->data(), payload->data() + payload->size(), &record);
    if (status.ok()) return record;
    status_ = absl::Status(status.code(), absl::StrCat(reader_.path(), ": at offset ", offset, ": ", status.message()));
    return std::nullopt;
  }

  // Returns ShmReader::status(), or the error of the first record whose handlers' bytes are wrong.
  // Nothing is read after such a record.
  absl::Status status() const { return status_.ok() ? reader_.status() : status_; }

  ShmReader& reader() { return reader_; }

 private:
  template <size_t I>
  absl::Status Unwrap(const uint8_t* head, const uint8_t* end, Record* record) {
    if constexpr (I == sizeof...(Handlers)) {
      record->payload = Bytes(head, static_cast<size_t>(end - head));
      return absl::OkStatus();
    } else {
      using Handler = std::tuple_element_t<I, std::tuple<Handlers...>>;
      if (static_cast<size_t>(end - head) < Handler::kHeadBytes + Handler::kTailBytes) {
        return absl::DataLossError(absl::StrCat(end - head, " bytes are too few for the record's handlers"));
      }
      const uint8_t* const tail = end - Handler::kTailBytes;
      KB_RETURN_IF_ERROR(std::get<I>(handlers_).Check(head, tail, &std::get<I>(record->values)));
      return Unwrap<I + 1>(head + Handler::kHeadBytes, tail, record);
    }
  }

  ShmReader reader_;
  std::tuple<Handlers...> handlers_;
  absl::Status status_;
};

}  // namespace kekbit

#endif  // KEKBIT_RECORD_HANDLERS_H_
