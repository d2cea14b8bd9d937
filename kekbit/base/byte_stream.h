// ByteOutput and ByteInput are streams of bytes with a buffer, for what is too large for memory.
//
//   KB_RETURN_IF_ERROR(output.Write(AsBytes("text")));     absl::Status Save(ByteOutput& output)
//   uint8_t text[4];
//   KB_RETURN_IF_ERROR(input.Read(MutableBytes(text)));    absl::Status Load(ByteInput& input)
//
// Small writes and reads are a copy from or to the buffer, inlined; only at the buffer's end a
// virtual method is called. An error stays: every later call returns the same error. So a caller
// may make many writes and look at the last result only. The streams know no types: fixed-size
// numbers go through StoreUnaligned() and LoadUnaligned() (see bytes.h).
//
// Thread safety: one thread at a time.

#ifndef KEKBIT_BASE_BYTE_STREAM_H_
#define KEKBIT_BASE_BYTE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "kekbit/base/bytes.h"

namespace kekbit {

class ByteOutput {
 public:
  ByteOutput(const ByteOutput&) = delete;
  ByteOutput& operator=(const ByteOutput&) = delete;
  virtual ~ByteOutput() = default;

  // Appends all of `bytes`. With no bytes, only tells whether an error has happened.
  ABSL_ATTRIBUTE_ALWAYS_INLINE absl::Status Write(Bytes bytes) {
    if (ABSL_PREDICT_FALSE(bytes.size() - 1 >= room())) return WriteBeyond(bytes);  // none: wraps around
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
    return absl::OkStatus();
  }

 protected:
  ByteOutput() = default;

  // Called for what does not fit into the buffer's room, and for no bytes.
  virtual absl::Status WriteBeyond(Bytes bytes) = 0;

  // Makes `buffer`, which is empty, take what is written next. Without room, every write is
  // WriteBeyond().
  void SetBuffer(MutableBytes buffer) {
    begin_ = at_ = buffer.data();
    end_ = begin_ + buffer.size();
  }
  // Returns what stands in the buffer.
  Bytes buffered() const { return Bytes(begin_, static_cast<size_t>(at_ - begin_)); }
  size_t room() const { return static_cast<size_t>(end_ - at_); }

 private:
  uint8_t* begin_ = nullptr;
  uint8_t* at_ = nullptr;
  uint8_t* end_ = nullptr;
};

class ByteInput {
 public:
  ByteInput(const ByteInput&) = delete;
  ByteInput& operator=(const ByteInput&) = delete;
  virtual ~ByteInput() = default;

  // Fills all of `to`. DataLoss if the stream ends before; `to` is undefined after an error.
  ABSL_ATTRIBUTE_ALWAYS_INLINE absl::Status Read(MutableBytes to) {
    if (ABSL_PREDICT_FALSE(to.size() - 1 >= buffered())) return ReadBeyond(to);  // none: wraps around
    std::memcpy(to.data(), at_, to.size());
    at_ += to.size();
    return absl::OkStatus();
  }

  // Returns how many bytes are still to come, by what the stream says of itself. With hostile bytes
  // that is only a claim.
  uint64_t left() const { return buffered() + behind_; }
  // Returns for how many of them memory may safely be taken in advance: the stream's source really
  // has these bytes.
  virtual uint64_t backed() const { return left(); }

 protected:
  ByteInput() = default;

  // Called for what goes beyond the buffer, and for no bytes.
  virtual absl::Status ReadBeyond(MutableBytes to) = 0;

  // Makes what is read next come from `buffer`; `behind` more bytes follow after the buffer.
  void SetBuffer(Bytes buffer, uint64_t behind) {
    at_ = buffer.data();
    end_ = at_ + buffer.size();
    behind_ = behind;
  }
  size_t buffered() const { return static_cast<size_t>(end_ - at_); }
  uint64_t behind() const { return behind_; }

 private:
  const uint8_t* at_ = nullptr;
  const uint8_t* end_ = nullptr;
  uint64_t behind_ = 0;
};

}  // namespace kekbit

#endif  // KEKBIT_BASE_BYTE_STREAM_H_
