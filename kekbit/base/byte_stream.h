// ByteOutput and ByteInput: streams of bytes with a buffer, for what is too large to be in memory at once.
//
//   KB_RETURN_IF_ERROR(output.Write(AsBytes("text")));     absl::Status Save(ByteOutput& output)
//   uint8_t text[4];
//   KB_RETURN_IF_ERROR(input.Read(MutableBytes(text)));    absl::Status Load(ByteInput& input)
//
// Small writes and reads are a copy from or to the buffer, inlined; only at the buffer's end a virtual method is
// called. An error stays: every call after it returns the same. So many writes can be made and the last one's result be
// looked at. They know no types: fixed-size numbers go through StoreUnaligned() and LoadUnaligned() (see bytes.h).
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

  // Appends all of `bytes`. With none it only tells whether an error has happened.
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

  // What is written next goes into `buffer`, which is empty now. Without room, every write is WriteBeyond().
  void SetBuffer(MutableBytes buffer) {
    begin_ = at_ = buffer.data();
    end_ = begin_ + buffer.size();
  }
  // What stands in the buffer.
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

  // How many bytes are still to come, by what the stream says of itself: for one with hostile bytes that is a claim.
  uint64_t left() const { return buffered() + behind_; }
  // How many of them it is safe to take memory for in advance: the stream's source has bytes to show for them.
  virtual uint64_t backed() const { return left(); }

 protected:
  ByteInput() = default;

  // Called for what goes beyond the buffer, and for no bytes.
  virtual absl::Status ReadBeyond(MutableBytes to) = 0;

  // What is read next comes from `buffer`; `behind` more are to come behind it.
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
