// States into snapshots and back: by cereal and by their own Save() and Load(), across versions,
// and from hostile bytes.

#include "kekbit/replication/state_archive.h"

#include <cereal/types/list.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/vector.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/snapshot/snapshot_store.h"
#include "tests/support/allocations.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_bytes.h"
#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_snapshot.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Account {
  std::string name;
  int64_t balance = 0;
  std::vector<uint32_t> history;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, balance, history);
  }
  friend bool operator==(const Account&, const Account&) = default;
};

struct Bank {
  std::map<std::string, Account> accounts;
  std::list<std::string> notes;
  std::unordered_set<uint64_t> seen;
  std::shared_ptr<int> shared;
  std::vector<bool> flags;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(accounts, notes, seen, shared, flags);
  }
};

// One class in three builds.
struct CountersV0 {
  static constexpr absl::string_view kStateName = "counters";
  int64_t sum = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(sum);
  }
};
// Without CEREAL_CLASS_VERSION.
struct CountersUnnumbered {
  int64_t sum = 0;

  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t /*version*/) {
    archive(sum);
  }
};
struct CountersV1 {
  static constexpr absl::string_view kStateName = "counters";
  int64_t sum = 0;

  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t /*version*/) {
    archive(sum);
  }
};
struct CountersV2 {
  static constexpr absl::string_view kStateName = "counters";
  int64_t sum = 0;
  std::string label = "none";

  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t version) {
    archive(sum);
    if (version >= 2) archive(label);
  }
};

struct Inner1 {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t /*version*/) {
    archive(value);
  }
};
struct Inner5 : Inner1 {};
template <typename T>
struct Outer {
  static constexpr absl::string_view kStateName = "outer";
  T inner;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(inner);
  }
};

// Its own way.
struct Text {
  static constexpr absl::string_view kStateName = "text";
  static constexpr uint32_t kSnapshotVersion = 3;
  static constexpr uint32_t kSnapshotTypeId = 9;

  absl::Status Save(SnapshotOutput& output) const { return output.Write(AsBytes(text)); }
  absl::Status Load(SnapshotInput& input) {
    loaded_version = input.type_version();
    text.resize(input.left());
    return input.Read(MutableBytes(reinterpret_cast<uint8_t*>(text.data()), text.size()));
  }

  std::string text;
  uint32_t loaded_version = 0;
};
struct OlderText : Text {
  static constexpr uint32_t kSnapshotVersion = 2;
};
struct OtherText : Text {
  static constexpr uint32_t kSnapshotTypeId = 10;
};

struct Careless {
  absl::Status Save(SnapshotOutput& output) const {
    output.Write(AsBytes("of no interest")).IgnoreError();
    return absl::OkStatus();
  }
  absl::Status Load(SnapshotInput& input) {
    uint8_t byte;
    return input.Read(MutableBytes(&byte, 1));  // and leaves the rest
  }
};
struct Throwing {
  absl::Status Save(SnapshotOutput& /*output*/) const { throw std::runtime_error("can't be saved"); }
  absl::Status Load(SnapshotInput& /*input*/) { throw std::runtime_error("can't be loaded"); }
};

}  // namespace
}  // namespace kekbit

CEREAL_CLASS_VERSION(kekbit::CountersV1, 1);
CEREAL_CLASS_VERSION(kekbit::CountersV2, 2);
CEREAL_CLASS_VERSION(kekbit::Inner1, 1);
CEREAL_CLASS_VERSION(kekbit::Inner5, 5);

namespace kekbit {
namespace {

class StateArchiveTest : public testing::Test {
 protected:
  SnapshotHeader Header(const SnapshotType& type, SnapshotCompression compression = SnapshotCompression::kNone) const {
    SnapshotHeader header = HeaderOf(1, compression, 256);
    header.type = type;
    return header;
  }
  template <typename State>
  absl::Status Save(const State& state, SnapshotCompression compression = SnapshotCompression::kNone) {
    fs_.Unlink(path_).IgnoreError();
    KB_ASSIGN_OR_RETURN(auto writer,
                        SnapshotWriter::Begin(fs_, dir_.path(), Header(StateType<State>(), compression), NoThread()));
    KB_RETURN_IF_ERROR(SaveState(state, *writer));
    KB_RETURN_IF_ERROR(writer->Complete());
    return writer->Publish();
  }
  // A snapshot of these bytes, with right checksums.
  template <typename State>
  absl::Status Plant(const std::string& bytes, SnapshotCompression compression = SnapshotCompression::kNone) {
    fs_.Unlink(path_).IgnoreError();
    return WriteSnapshot(fs_, dir_.path(), Header(StateType<State>(), compression), bytes);
  }
  template <typename State>
  absl::Status Load(State* state) {
    KB_ASSIGN_OR_RETURN(auto reader, SnapshotReader::Open(fs_, path_));
    return LoadState(*reader, state);
  }

  TempDir dir_ = TempDir::InMemory();
  std::string path_ = dir_.path() + "/" + SnapshotName(1);
  FaultyFileSystem fs_;
};

TEST_F(StateArchiveTest, WhatCerealSerializesComesBack) {
  Bank bank;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "account " + std::to_string(i);
    bank.accounts[name] = {
        .name = name, .balance = i * 1'000'000'007LL, .history = std::vector<uint32_t>(size_t(i), 7)};
    bank.notes.push_back(std::string(static_cast<size_t>(i), 'n'));
    bank.seen.insert(static_cast<uint64_t>(i) << 33);
    bank.flags.push_back(i % 3 == 0);
  }
  bank.shared = std::make_shared<int>(42);
  for (const SnapshotCompression compression : {SnapshotCompression::kNone, SnapshotCompression::kZstd}) {
    ASSERT_THAT(Save(bank, compression), IsOk());
    Bank loaded;
    ASSERT_THAT(Load(&loaded), IsOk());
    EXPECT_EQ(loaded.accounts, bank.accounts);
    EXPECT_EQ(loaded.notes, bank.notes);
    EXPECT_EQ(loaded.seen, bank.seen);
    EXPECT_EQ(*loaded.shared, 42);
    EXPECT_EQ(loaded.flags, bank.flags);
  }
}

TEST_F(StateArchiveTest, TheBytesAreThoseOfCerealsPortableArchive) {
  ASSERT_THAT(Save(std::vector<uint16_t>{1, 2}), IsOk());
  EXPECT_EQ(ReadSnapshot(path_).value(), std::string("\1\2\0\0\0\0\0\0\0\1\0\2\0", 13));
  // The bytes of a big-endian machine are read.
  ASSERT_THAT(Plant<std::vector<uint16_t>>(std::string("\0\0\0\0\0\0\0\0\2\0\1\0\2", 13)), IsOk());
  std::vector<uint16_t> loaded;
  ASSERT_THAT(Load(&loaded), IsOk());
  EXPECT_EQ(loaded, (std::vector<uint16_t>{1, 2}));
}

TEST_F(StateArchiveTest, AStatesOwnWayIsPreferred) {
  ASSERT_THAT(Save(Text{.text = "my own"}), IsOk());
  EXPECT_EQ(ReadSnapshot(path_).value(), "my own");
  Text loaded;
  ASSERT_THAT(Load(&loaded), IsOk());
  EXPECT_EQ(loaded.text, "my own");
  EXPECT_EQ(loaded.loaded_version, 3u);
}

TEST_F(StateArchiveTest, TypesAreNamedInTheHeader) {
  EXPECT_EQ(StateType<Text>(),
            (SnapshotType{.data_format = 2, .type_id = 9, .type_version = 3, .state = StateName<Text>()}));
  EXPECT_EQ(StateType<Bank>(),
            (SnapshotType{.data_format = 17, .type_id = 0, .type_version = 0, .state = StateName<Bank>()}));
  EXPECT_EQ(StateType<CountersV2>(),
            (SnapshotType{.data_format = 17, .type_id = 0, .type_version = 2, .state = StateName<CountersV2>()}));
}

// Its first bytes are not taken for a version.
TEST_F(StateArchiveTest, AStateThatGetsAVersionLaterLoadsWhatItSavedBefore) {
  ASSERT_THAT(Save(CountersV0{.sum = 3}), IsOk());
  CountersV2 loaded;
  ASSERT_THAT(Load(&loaded), IsOk());
  EXPECT_EQ(loaded.sum, 3);
  EXPECT_EQ(loaded.label, "none");
}

TEST_F(StateArchiveTest, AStateThatTakesAVersionAndHasNoneIsNotSaved) {
  EXPECT_THAT(Save(CountersUnnumbered()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CEREAL_CLASS_VERSION")));
}

TEST_F(StateArchiveTest, AnOlderVersionIsLoaded) {
  ASSERT_THAT(Save(CountersV1{.sum = 77}), IsOk());
  CountersV2 loaded;
  ASSERT_THAT(Load(&loaded), IsOk());
  EXPECT_EQ(loaded.sum, 77);
  EXPECT_EQ(loaded.label, "none");

  ASSERT_THAT(Save(OlderText{{.text = "old"}}), IsOk());
  Text text;
  ASSERT_THAT(Load(&text), IsOk());
  EXPECT_EQ(text.text, "old");
  EXPECT_EQ(text.loaded_version, 2u);
}

TEST_F(StateArchiveTest, ANewerVersionIsNot) {
  ASSERT_THAT(Save(CountersV2{.sum = 77}), IsOk());
  CountersV1 loaded;
  EXPECT_THAT(Load(&loaded), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      AllOf(HasSubstr(path_), HasSubstr("version 2"), HasSubstr("up to version 1"))));
  ASSERT_THAT(Save(Text{.text = "new"}), IsOk());
  OlderText text;
  EXPECT_THAT(Load(&text), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    AllOf(HasSubstr("version 3"), HasSubstr("up to version 2"))));
}

TEST_F(StateArchiveTest, ANewerVersionOfAClassInsideIsNotLoadedEither) {
  ASSERT_THAT(Save(Outer<Inner5>()), IsOk());
  Outer<Inner1> loaded;
  EXPECT_THAT(Load(&loaded), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      AllOf(HasSubstr(path_), HasSubstr("version 5"), HasSubstr("up to version 1"))));
}

TEST_F(StateArchiveTest, AnotherTypeIsRefused) {
  ASSERT_THAT(Save(Text{.text = "text"}), IsOk());
  OtherText other;
  EXPECT_THAT(Load(&other), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("type 9")));
  Bank bank;
  EXPECT_THAT(Load(&bank), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    AllOf(HasSubstr("the state \"text\", not of"), HasSubstr("Bank"))));
}

// A state of a snapshot whose checksums hold is of another version, whatever the decoder makes of
// it.
TEST_F(StateArchiveTest, WhatIsLeftOverOfAWholeSnapshotIsNoDamage) {
  ASSERT_THAT(Save(Careless()), IsOk());
  Careless careless;
  EXPECT_THAT(Load(&careless), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("13 of 14 bytes")));
  ASSERT_THAT(Plant<int64_t>(std::string("\1", 1) + std::string(9, 'x')), IsOk());
  int64_t number = 0;
  EXPECT_THAT(Load(&number),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("1 of 10 bytes"), HasSubstr(path_))));
}

TEST_F(StateArchiveTest, WhatAStateDoesNotTakeNamesBothTypesAndVersions) {
  ASSERT_THAT(Plant<CountersV2>(std::string("\1\2", 2)), IsOk());
  CountersV2 loaded;
  EXPECT_THAT(
      Load(&loaded),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr(path_), HasSubstr("the snapshot is whole"),
                     HasSubstr("{state \"counters\", data format 17, type 0, version 2}, which this program can't"))));
}

// The state's own word is DataLoss, and so it is where the checksums say so, too.
TEST_F(StateArchiveTest, WhatAStateDoesNotTakeOfADamagedSnapshotIsDamage) {
  std::vector<std::string> state(100, std::string(20, 'x'));
  ASSERT_THAT(Save(state), IsOk());
  std::string bytes = ReadFileBytes(path_);
  bytes[bytes.size() - 100] ^= 1;  // in the last chunk
  WriteFileBytes(path_, bytes);
  KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(fs_, path_));
  const absl::Status refused = absl::DataLossError("not what I know");
  EXPECT_THAT(internal::ExplainLoaded(refused, *reader, reader->header().type),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
}

TEST_F(StateArchiveTest, ExceptionsBecomeErrors) {
  EXPECT_THAT(Save(Throwing()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("can't be saved")));
  ASSERT_THAT(Plant<Throwing>("x"), IsOk());
  Throwing throwing;
  EXPECT_THAT(Load(&throwing),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("can't be loaded"), HasSubstr(path_))));
}

TEST_F(StateArchiveTest, AFailingDiskIsWhatIsReported) {
  Bank bank;
  for (int i = 0; i < 100; ++i) bank.notes.push_back("some more text");
  fs_.FailCalls("WriteAt", absl::ResourceExhaustedError("planted"));
  EXPECT_THAT(Save(bank), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("planted")));
  EXPECT_THAT(Save(Careless()), StatusIs(absl::StatusCode::kResourceExhausted));
  fs_.Heal();
  ASSERT_THAT(Save(bank), IsOk());
  for (uint64_t n = 1;; ++n) {
    fs_.FailCall(n, absl::UnavailableError("planted"));
    const absl::Status loaded = Load(&bank);
    if (!fs_.failed()) break;
    EXPECT_THAT(loaded, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("planted"))) << n;
  }
}

TEST_F(StateArchiveTest, AStateThatEndsEarlyInAWholeSnapshotIsNoDamage) {
  const std::vector<std::string> state = {"one", "two", "three"};
  ASSERT_THAT(Save(state), IsOk());
  const std::string bytes = ReadSnapshot(path_).value();
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_THAT(Plant<std::vector<std::string>>(bytes.substr(0, size)), IsOk());
    std::vector<std::string> loaded;
    EXPECT_THAT(Load(&loaded), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(path_))) << size;
  }
}

// A size that lies takes no memory, compressed or not.
template <typename State>
class HostileSizeTest : public StateArchiveTest {};

using Containers = testing::Types<std::vector<uint64_t>, std::string, std::vector<std::string>, std::list<uint32_t>,
                                  std::vector<bool>, std::map<uint32_t, std::string>, std::unordered_set<uint64_t>>;
TYPED_TEST_SUITE(HostileSizeTest, Containers);

TYPED_TEST(HostileSizeTest, TakesNoMemory) {
  for (const SnapshotCompression compression : {SnapshotCompression::kNone, SnapshotCompression::kZstd}) {
    for (uint64_t bits = 1; bits < 64; bits += DamageStride()) {
      std::string bytes("\1", 1);
      for (int i = 0; i < 8; ++i) bytes += static_cast<char>((uint64_t{1} << bits) >> (8 * i));
      bytes += std::string(100, '\0');
      ASSERT_THAT(this->template Plant<TypeParam>(bytes, compression), IsOk());
      TypeParam loaded;
      this->fs_.Heal();  // whose list of calls, as it grows, would be measured, too
      const AllocationMeter meter;
      if (!this->Load(&loaded).ok()) {
        EXPECT_LT(meter.largest_bytes(), 64u << 10) << bits;
      }
    }
  }
}

// The trailer promises as many bytes as chunks that compress well could hold: so size tags up to
// that are plausible.
TYPED_TEST(HostileSizeTest, TakesNoMemoryThoughTheTrailerSaysThereAreAsMany) {
  constexpr uint64_t kClaimed = 109 * uint64_t{kSnapshotChunkBytesMax};
  for (uint64_t bits = 1; bits < 60; bits += DamageStride()) {
    std::string bytes("\1", 1);
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>((uint64_t{1} << bits) >> (8 * i));
    bytes += std::string(109 * 16 + 109 - 9, '\0');
    // The truth would be one chunk.
    std::string file = SnapshotAround(AsBytes(bytes), StateType<TypeParam>(), kSnapshotChunkBytesMax,
                                      /*raw_bytes=*/static_cast<uint32_t>(bytes.size()), kClaimed, /*chunks=*/109);
    KB_ASSERT_OK_AND_ASSIGN(auto reader, SnapshotReader::Open(std::make_unique<MemoryFile>(file)));
    ASSERT_EQ(reader->left(), kClaimed);
    TypeParam loaded;
    const AllocationMeter meter;
    EXPECT_THAT(LoadState(*reader, &loaded), StatusIs(absl::StatusCode::kDataLoss));
    // A chunk may be 16 MiB; what comes on top is for bytes that are there.
    EXPECT_LT(meter.total_bytes(), (17u << 20)) << bits;
  }
}

TEST_F(StateArchiveTest, ALargeCompressedStateIsLoadedThoughItsBytesAreFew) {
  const std::vector<uint64_t> zeros(1 << 20);
  ASSERT_THAT(Save(zeros, SnapshotCompression::kZstd), IsOk());
  std::vector<uint64_t> loaded;
  ASSERT_THAT(Load(&loaded), IsOk());
  EXPECT_EQ(loaded, zeros);
}

// P9: the newest good one, as it is used.
TEST_F(StateArchiveTest, TheStoreFindsWhatLoads) {
  ASSERT_THAT(Save(Text{.text = "from the store"}), IsOk());
  SnapshotStore store(fs_, dir_.path());
  KB_ASSERT_OK_AND_ASSIGN(const SnapshotStore::Found found, store.FindNewest(StateType<Text>()));
  Text loaded;
  ASSERT_THAT(LoadState(*found.snapshot, &loaded), IsOk());
  EXPECT_EQ(loaded.text, "from the store");
}

}  // namespace
}  // namespace kekbit
