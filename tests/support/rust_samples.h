// RustSamples are the channels that the Rust library wrote, and what its own reader read from them,
// from MANIFEST.txt.

#ifndef KEKBIT_TESTS_SUPPORT_RUST_SAMPLES_H_
#define KEKBIT_TESTS_SUPPORT_RUST_SAMPLES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace kekbit {

struct RustSample {
  struct Record {
    uint64_t position = 0;  // in the data area
    std::string payload;    // empty: a heartbeat
  };

  std::string name = {};  // "v0.2.2/0000_0000/0000_07d0.kekbit"
  std::string path = {};
  uint64_t writer_id = 0, channel_id = 0, timeout = 0, creation_time = 0, file_length = 0;
  uint32_t capacity = 0, max_msg_len = 0;
  std::string tick_unit = {};        // "Nanos", "Micros", "Millis" or "Secs"
  std::vector<Record> records = {};  // heartbeats included
  bool closed = false;               // else a WATERMARK stands at the end
  uint64_t end = 0;                  // the position of CLOSE or WATERMARK

  // The payloads alone.
  std::vector<std::string> Payloads() const;
};

// All samples of the manifest; ends the process if it can't be understood.
std::vector<RustSample> RustSamples();
// The one with this name.
RustSample RustSampleNamed(const std::string& name);

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_RUST_SAMPLES_H_
