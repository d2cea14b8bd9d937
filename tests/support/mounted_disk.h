// MountedDisk: a small file system of this process alone, for what only a real one shows. It takes
// root, and no sandbox.
//
//   ChildProcess child([&] {
//     const MountedDisk disk("ext4", dir.path());
//     if (!disk.ok()) return MountedDisk::kSkipped;
//     ...
//   });

#ifndef KEKBIT_TESTS_SUPPORT_MOUNTED_DISK_H_
#define KEKBIT_TESTS_SUPPORT_MOUNTED_DISK_H_

#include <sched.h>
#include <sys/mount.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace kekbit {

class MountedDisk final {
 public:
  // How a process ends that could not mount it.
  static constexpr int kSkipped = 77;

  // Of 400 MB, below `directory`. `type`: "ext4" or "xfs", in a file there, or "tmpfs".
  MountedDisk(const std::string& type, const std::string& directory) : path_(directory + "/disk") {
    if (::unshare(CLONE_NEWNS) != 0) return;
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (!Run(absl::StrCat("mkdir ", path_))) return;
    if (type == "tmpfs") {
      ok_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=400m") == 0;
      return;
    }
    const std::string image = directory + "/image";
    const std::string device = directory + "/device";
    if (!Run(absl::StrCat("truncate -s 400M ", image, " && PATH=$PATH:/sbin:/usr/sbin mkfs.", type, " -q ", image)) ||
        !Run(absl::StrCat("mount -o loop ", image, " ", path_))) {
      return;
    }
    ok_ = Run(absl::StrCat("findmnt -no SOURCE ", path_, " | sed s,/dev/,, > ", device, " && test -s ", device));
    std::ifstream(device) >> device_;
  }
  ~MountedDisk() {
    if (ok_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  MountedDisk(const MountedDisk&) = delete;
  MountedDisk& operator=(const MountedDisk&) = delete;

  bool ok() const { return ok_; }
  const std::string& path() const { return path_; }

  // Has the device read so much ahead: a loop device's 128 KiB are less than a disk's.
  void SetReadAhead(int kibibytes) const {
    std::ofstream(absl::StrCat("/sys/block/", device_, "/queue/read_ahead_kb")) << kibibytes;
  }
  // Bytes that were written to the device so far; 0: there is none.
  uint64_t written() const {
    std::ifstream stat(absl::StrCat("/sys/block/", device_, "/stat"));
    constexpr int kSectorsWritten = 7;
    constexpr uint64_t kSectorBytes = 512;
    uint64_t value = 0;
    for (int i = 0; i < kSectorsWritten; ++i) stat >> value;
    return value * kSectorBytes;
  }

 private:
  static bool Run(const std::string& command) {
    // NOLINTNEXTLINE(cert-env33-c): no input of anybody's is in it
    return std::system(absl::StrCat("(", command, ") >/dev/null 2>&1").c_str()) == 0;
  }

  std::string path_;
  std::string device_;
  bool ok_ = false;
};

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_MOUNTED_DISK_H_
