#include "kekbit/base/file_system_types.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>

#include "absl/strings/str_cat.h"

namespace kekbit {
namespace {

// File systems that break kekbit's assumptions. A mapping is not shared by all who open the file, a
// lock is not known to all, or a stop of some server is a fault of ours. From linux/magic.h and the
// sources of the kernel.
struct Unsupported {
  uint32_t magic;
  const char* name;
};
constexpr Unsupported kUnsupported[] = {
    {NFS_SUPER_MAGIC, "NFS"},   {0x517B, "SMB"},          {0xFE534D42, "SMB2"},  {0xFF534D42, "CIFS"},
    {V9FS_MAGIC, "9p"},         {0x65735546, "FUSE"},     {0x00C36400, "Ceph"},  {AFS_SUPER_MAGIC, "AFS"},
    {CODA_SUPER_MAGIC, "Coda"}, {0x01161970, "GFS2"},     {0x7461636F, "OCFS2"}, {0x0BD00BD0, "Lustre"},
    {0x2FC12FC1, "ZFS"},        {0xCA451A4E, "bcachefs"}, {0x5346544E, "NTFS"},  {MSDOS_SUPER_MAGIC, "FAT"},
};

absl::Status CheckNotCopyOnWrite(int fd, const std::string& path) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL) != 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   ": btrfs copies each page that is written, so space can't be reserved; switch that off for "
                   "the directory with `chattr +C` before anything is made in it"));
}

}  // namespace

absl::Status CheckFileSystemType(int fd, uint32_t type, const std::string& path) {
  for (const Unsupported& unsupported : kUnsupported) {
    if (type == unsupported.magic) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": the file system is ", unsupported.name,
                       ", on which a shared mapping or a lock can't be relied on; use a local ext4, xfs or tmpfs"));
    }
  }
  return type == BTRFS_SUPER_MAGIC ? CheckNotCopyOnWrite(fd, path) : absl::OkStatus();
}

absl::Status CheckHolesCanBeRead(uint32_t type, const std::string& path) {
  if (type != TMPFS_MAGIC) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": on a tmpfs whoever reads a hole by a mapping takes a page for it, or gets SIGBUS"));
}

}  // namespace kekbit
