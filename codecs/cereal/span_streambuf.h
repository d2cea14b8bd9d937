// SpanOutputBuffer and SpanInputBuffer are stream buffers over a span of memory, for libraries that
// know streams only.
//
//   SpanOutputBuffer buffer(to);
//   std::ostream stream(&buffer);
//   stream << 42;
//   if (buffer.overflowed()) ...   // `to` was too small
//   size_t used = buffer.used();
//
// They copy nothing and allocate nothing. A std::ostream costs a few hundred nanoseconds to
// construct all the same, because of its locale. So fast code writes to the span itself.
//
// Thread safety: one thread at a time. The span outlives the buffer.

#ifndef KEKBIT_CODECS_CEREAL_SPAN_STREAMBUF_H_
#define KEKBIT_CODECS_CEREAL_SPAN_STREAMBUF_H_

#include <cstddef>
#include <streambuf>

#include "kekbit/base/bytes.h"

namespace kekbit {

class SpanOutputBuffer final : public std::streambuf {
 public:
  explicit SpanOutputBuffer(MutableBytes to) {
    char* const begin = reinterpret_cast<char*>(to.data());
    setp(begin, begin + to.size());
  }

  size_t used() const { return static_cast<size_t>(pptr() - pbase()); }
  // Returns true if something did not fit: that, and all that came after, is lost.
  bool overflowed() const { return overflowed_; }

 protected:
  // Fails: called when a character has no place. The span is full, so nothing gets in later either.
  int_type overflow(int_type /*c*/) override {
    overflowed_ = true;
    return traits_type::eof();
  }

 private:
  bool overflowed_ = false;
};

class SpanInputBuffer final : public std::streambuf {
 public:
  explicit SpanInputBuffer(Bytes from) {
    // A streambuf's get area is of non-const characters, but only what was there is ever put back
    // here.
    char* const begin = const_cast<char*>(reinterpret_cast<const char*>(from.data()));
    setg(begin, begin, begin + from.size());
  }
};

}  // namespace kekbit

#endif  // KEKBIT_CODECS_CEREAL_SPAN_STREAMBUF_H_
