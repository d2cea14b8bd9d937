// TempDir is a directory of a test's own, gone with all its content when the object is.
//
//   TempDir dir;                            // below TEST_TMPDIR, on a disk as a rule
//   TempDir memory = TempDir::InMemory();   // on /dev/shm where that can be written to
//
// Thread safety: path() from any thread. Errors end the process: a test without its directory has
// nothing to say.

#ifndef KEKBIT_TESTS_SUPPORT_TEMP_DIR_H_
#define KEKBIT_TESTS_SUPPORT_TEMP_DIR_H_

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

namespace kekbit {

class TempDir final {
 public:
  TempDir() : TempDir(Base()) {}

  static TempDir InMemory() { return TempDir(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : Base()); }

  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  // The path of a file in it.
  std::string File(const std::string& name) const { return path_ + "/" + name; }

  // Returns the relative names of all files and directories below, separated by spaces; for
  // "nothing is left".
  std::string Listing() const {
    std::string names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      if (!names.empty()) names += ' ';
      names += std::filesystem::relative(entry.path(), path_).string();
    }
    return names;
  }

 private:
  explicit TempDir(const std::string& base) : path_(base + "/kekbit_test_XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
      std::perror(path_.c_str());
      std::abort();
    }
  }

  static std::string Base() {
    for (const char* name : {"TEST_TMPDIR", "TMPDIR"}) {
      if (const char* value = std::getenv(name)) return value;
    }
    return "/tmp";
  }

  std::string path_;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_TEMP_DIR_H_
