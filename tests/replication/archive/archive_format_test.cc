// The objects of an archive: golden bytes, and hostile ones. P13: archives of every version open.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/base/crc32c.h"
#include "kekbit/replication/archive/archive_retention.h"
#include "kekbit/replication/archive/frames_object.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/manifest.h"
#include "kekbit/replication/archive/merge_plan.h"
#include "kekbit/replication/archive/restore_plan.h"
#include "tests/support/file_bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr uint64_t kIncarnation = 0x0123'4567'89AB'CDEF;

// A frame that follows `link`, whose record stands in `record`.
Frame MakeFrame(ChainLink& link, std::vector<uint8_t>& record, absl::string_view text) {
  record.assign(kFrameHeaderBytes + text.size(), 0);
  std::memcpy(record.data() + kFrameHeaderBytes, text.data(), text.size());
  FrameHeader header;
  header.kind = static_cast<uint8_t>(FrameKind::kCommand);
  header.epoch = link.position.epoch;
  header.seq = link.position.seq + 1;
  header.time_ns = link.time_ns + 1'000'000;
  header.unsynced = 0;
  SealFrame(header, link, MutableBytes(record));
  return {.header = LoadUnaligned<FrameHeader>(record.data()), .payload = Bytes(record).subspan(kFrameHeaderBytes)};
}

FramesObject MakeObject(int frames, bool compressed,
                        ChainLink after = {.position = {.epoch = 3, .seq = 40},
                                           .crc32c = 0xABCD'0123,
                                           .time_ns = 1'700'000'000'000'000'000}) {
  FramesBuilder builder(kIncarnation, {.data_format = 17, .counts_unsynced = true, .state_name = "tape"}, after);
  for (int i = 0; i < frames; ++i) {
    std::vector<uint8_t> record;
    EXPECT_THAT(builder.Append(MakeFrame(after, record, absl::StrCat("command ", i))), IsOk());
  }
  return ValueOrDie(std::move(builder).Finish(compressed));
}

absl::StatusOr<std::vector<std::string>> TextsOf(std::vector<uint8_t> object) {
  KB_ASSIGN_OR_RETURN(FramesReader reader, FramesReader::Open("object", std::move(object)));
  std::vector<std::string> texts;
  while (true) {
    KB_ASSIGN_OR_RETURN(const std::optional<Bytes> record, reader.Next());
    if (!record) return texts;
    texts.emplace_back(AsText(record->subspan(kFrameHeaderBytes)));
  }
}

class FramesObjectTest : public testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(All, FramesObjectTest, testing::Bool(),
                         [](const auto& of) { return of.param ? "Zstd" : "Plain"; });

TEST_P(FramesObjectTest, GivesTheFramesBack) {
  const FramesObject object = MakeObject(30, GetParam());
  EXPECT_EQ(object.entry.after_seq, 40u);
  EXPECT_EQ(object.entry.last_seq, 70u);
  EXPECT_EQ(object.entry.bytes, object.bytes.size());
  EXPECT_EQ(object.bytes.size() < object.entry.raw_bytes, GetParam());
  FramesReader reader = ValueOrDie(FramesReader::Open("object", object.bytes));
  EXPECT_EQ(reader.entry(), object.entry);
  EXPECT_EQ(reader.incarnation(), kIncarnation);
  EXPECT_EQ(reader.content().state_name, "tape");
  EXPECT_EQ(reader.content().data_format, 17u);
  const std::vector<std::string> texts = ValueOrDie(TextsOf(object.bytes));
  ASSERT_THAT(texts, SizeIs(30));
  EXPECT_EQ(texts[29], "command 29");
}

TEST_P(FramesObjectTest, EachChangedByteAndEachTruncationIsDamage) {
  const std::vector<uint8_t> object = MakeObject(8, GetParam()).bytes;
  for (size_t at = 0; at < object.size(); ++at) {
    std::vector<uint8_t> bad = object;
    bad[at] ^= 0x20;
    EXPECT_THAT(TextsOf(bad),
                testing::AnyOf(StatusIs(absl::StatusCode::kDataLoss), StatusIs(absl::StatusCode::kFailedPrecondition)))
        << at;
    bad.assign(object.begin(), object.begin() + static_cast<std::ptrdiff_t>(at));
    EXPECT_THAT(TextsOf(bad), StatusIs(absl::StatusCode::kDataLoss)) << at;
  }
}

// Right checksums, whatever else the header says.
TEST_P(FramesObjectTest, HostileHeadersAreErrors) {
  const std::vector<uint8_t> object = MakeObject(8, GetParam()).bytes;
  const auto with = [&](const auto& change) {
    auto header = LoadUnaligned<FramesFileHeader>(object.data());
    change(header);
    std::vector<uint8_t> bad = object;
    StoreUnaligned(bad.data(), header);
    header.crc32c = Crc32c(Crc32c(0, Bytes(bad).first(12)), Bytes(bad).subspan(16, sizeof header - 16));
    StoreUnaligned(bad.data(), header);
    return TextsOf(bad);
  };
  EXPECT_THAT(with([](FramesFileHeader&) {}), IsOk());
  using Header = FramesFileHeader;
  EXPECT_THAT(with([](Header& h) { h.version = 2; }), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(with([](Header& h) { h.compression = 9; }), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(with([](Header& h) { h.raw_bytes = ~uint64_t{0}; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.raw_bytes += 8; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.stored_bytes -= 1; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.last_seq += 1; }), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("promises")));
  EXPECT_THAT(with([](Header& h) { h.last_seq -= 1; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.last_seq = 0; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.last_crc32c ^= 1; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.after_seq += 1; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(with([](Header& h) { h.after_crc32c ^= 1; }),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
}

TEST(FramesBuilderTest, RefusesAFrameThatDoesNotFollow) {
  ChainLink link = {.position = {.epoch = 3, .seq = 41}, .crc32c = 1, .time_ns = 1};
  FramesBuilder builder(kIncarnation, {}, {.position = {.epoch = 3, .seq = 40}, .crc32c = 1, .time_ns = 1});
  std::vector<uint8_t> record;
  EXPECT_THAT(builder.Append(MakeFrame(link, record, "late")), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(builder.empty());
}

FramesEntry Entry(Seq after, Seq last, uint64_t raw_bytes = 100, uint32_t crc = 7) {
  return {.after_epoch = after == 0 ? 0u : 1u,
          .after_seq = after,
          .after_time_ns = 0,
          .last_epoch = 1,
          .last_seq = last,
          .last_time_ns = static_cast<int64_t>(last) * 10,
          .after_crc32c = after == 0 ? 0u : crc,
          .last_crc32c = crc,
          .first_time_ns = static_cast<int64_t>(after + 1) * 10,
          .raw_bytes = raw_bytes,
          .bytes = raw_bytes + sizeof(FramesFileHeader),
          .crc32c = 5,
          .content = 3};
}

SnapshotEntry Snapshot(Seq seq) {
  return {.epoch = 1,
          .seq = seq,
          .time_ns = static_cast<int64_t>(seq) * 10,
          .bytes = 1000,
          .frame_crc32c = 8,
          .crc32c = 9,
          .archived_ns = 11};
}

Manifest SomeManifest() {
  Manifest manifest;
  manifest.incarnation = kIncarnation;
  manifest.number = 258;
  manifest.written_ns = 1'700'000'000'000'000'000;
  manifest.copier = 77;
  manifest.origin = {.incarnation = 5, .epoch = 4, .seq = 3};
  manifest.frames = {Entry(0, 12), Entry(12, 30)};
  manifest.snapshots = {Snapshot(20)};
  manifest.dropped = {{.delete_ns = 99, .merged = true, .name = "frames/old"}};
  return manifest;
}

TEST(ManifestTest, ComesBackAsItWas) {
  const Manifest manifest = SomeManifest();
  EXPECT_THAT(DecodeManifest("manifest", EncodeManifest(manifest)), IsOkAndHolds(manifest));
  EXPECT_THAT(DecodeManifest("manifest", EncodeManifest(Manifest())), IsOkAndHolds(Manifest()));
}

TEST(ManifestTest, EachChangedByteAndEachTruncationIsAnError) {
  const std::vector<uint8_t> object = EncodeManifest(SomeManifest());
  for (size_t at = 0; at < object.size(); ++at) {
    std::vector<uint8_t> bad = object;
    bad[at] ^= 0x20;
    EXPECT_FALSE(DecodeManifest("manifest", bad).ok()) << at;
    EXPECT_FALSE(DecodeManifest("manifest", Bytes(object).first(at)).ok()) << at;
  }
}

TEST(ManifestTest, EntriesOutOfOrderAreDamage) {
  Manifest manifest = SomeManifest();
  std::swap(manifest.frames[0], manifest.frames[1]);
  EXPECT_THAT(DecodeManifest("manifest", EncodeManifest(manifest)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not in order")));
  manifest = SomeManifest();
  manifest.frames[1].last_seq = 12;
  EXPECT_THAT(DecodeManifest("manifest", EncodeManifest(manifest)), StatusIs(absl::StatusCode::kDataLoss));
  manifest = SomeManifest();
  manifest.dropped[0].name = "../../etc/passwd";
  EXPECT_THAT(DecodeManifest("manifest", EncodeManifest(manifest)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no name")));
}

TEST(ManifestTest, NamesAreReadOnlyAsTheyAreWritten) {
  uint64_t incarnation = 0;
  uint64_t number = 0;
  const std::string name = ManifestName(kIncarnation, 258);
  EXPECT_EQ(name, "manifests/0123456789abcdef-0000000000000102");
  ASSERT_TRUE(ParseManifestName(name, incarnation, number));
  EXPECT_EQ(incarnation, kIncarnation);
  EXPECT_EQ(number, 258u);
  for (const char* bad : {"manifests/0123456789ABCDEF-0000000000000102", "manifests/123456789abcdef-0000000000000102",
                          "frames/0123456789abcdef-0000000000000102", "manifests/0123456789abcdef-00000000000001020",
                          "manifests/0123456789abcdef-0x00000000000102", "manifests/"}) {
    EXPECT_FALSE(ParseManifestName(bad, incarnation, number)) << bad;
  }
}

TEST(MergePlanTest, JoinsAsACounterCarriesOver) {
  std::vector<FramesEntry> entries;
  Seq last = 0;
  uint64_t put = 0;
  for (int i = 0; i < 1000; ++i) {
    FramesEntry entry = Entry(last, last + 1);
    ++last;
    const size_t merged = EntriesToMerge(entries, entry);
    for (size_t k = 0; k < merged; ++k) {
      entry.after_seq = entries.back().after_seq;
      entry.after_epoch = entries.back().after_epoch;
      entry.after_crc32c = entries.back().after_crc32c;
      entry.raw_bytes += entries.back().raw_bytes;
      entries.pop_back();
    }
    entries.push_back(entry);
    put += entry.raw_bytes;
    ASSERT_LE(entries.size(), 10u);
  }
  EXPECT_LE(put, 1000u * 100 * 10);
}

TEST(MergePlanTest, JoinsOnlyARunOfTheSameContentThatFits) {
  const std::vector<FramesEntry> entries = {Entry(0, 10)};
  EXPECT_EQ(EntriesToMerge(entries, Entry(10, 20)), 1u);
  EXPECT_EQ(EntriesToMerge(entries, Entry(11, 20)), 0u);
  EXPECT_EQ(EntriesToMerge(entries, Entry(10, 20, 100, 8)), 0u);
  EXPECT_EQ(EntriesToMerge(entries, Entry(10, 20, 99)), 0u);
  EXPECT_EQ(EntriesToMerge(entries, Entry(10, 20, kFramesBytesMax - 100)), 1u);
  EXPECT_EQ(EntriesToMerge(entries, Entry(10, 20, kFramesBytesMax - 99)), 0u);
  FramesEntry other = Entry(10, 20);
  other.content = 4;
  EXPECT_EQ(EntriesToMerge(entries, other), 0u);
}

TEST(RestorePlanTest, TakesTheNewestSnapshotBeforeTheMoment) {
  Manifest manifest;
  manifest.frames = {Entry(0, 10), Entry(10, 30), Entry(30, 60)};
  manifest.snapshots = {Snapshot(8), Snapshot(20), Snapshot(40)};
  const auto plan = [&](RestoreTarget target) { return ValueOrDie(PlanRestore("archive", manifest, target)); };
  EXPECT_EQ(plan({}).snapshot->seq, 40u);
  EXPECT_EQ(plan({}).first, 31u);
  EXPECT_EQ(plan({}).last, 60u);
  EXPECT_EQ(plan({.seq = 39}).snapshot->seq, 20u);
  EXPECT_EQ(plan({.seq = 39}).first, 11u);
  EXPECT_EQ(plan({.seq = 20}).snapshot->seq, 20u);
  EXPECT_EQ(plan({.seq = 7}).snapshot, std::nullopt);
  EXPECT_EQ(plan({.seq = 7}).first, 1u);
  EXPECT_EQ(plan({.time_ns = 199}).snapshot->seq, 8u);
  EXPECT_EQ(plan({.time_ns = 200}).snapshot->seq, 20u);
  EXPECT_EQ(plan({.time_ns = 305}).last, 30u);
  for (const RestoreTarget& target : {RestoreTarget{.seq = 0}, {.seq = 61}, {.time_ns = 9}}) {
    EXPECT_THAT(PlanRestore("archive", manifest, target),
                StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("seq 1 to 60")));
  }
}

TEST(RestorePlanTest, AfterAGapThereMustBeASnapshot) {
  Manifest manifest;
  manifest.frames = {Entry(0, 10), Entry(15, 30), Entry(30, 60)};
  manifest.snapshots = {Snapshot(8), Snapshot(20)};
  const std::vector<RestorableRange> ranges = RestorableRanges(manifest);
  ASSERT_THAT(ranges, SizeIs(2));
  EXPECT_EQ(ranges[0].first, 0u);
  EXPECT_EQ(ranges[0].last, 10u);
  EXPECT_EQ(ranges[1].first, 20u);
  EXPECT_EQ(ranges[1].last, 60u);
  for (const Seq seq : {12, 15, 16, 19}) {
    EXPECT_THAT(PlanRestore("archive", manifest, {.seq = seq}),
                StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("seq 20 to 60")))
        << seq;
  }
  EXPECT_EQ(ValueOrDie(PlanRestore("archive", manifest, {.seq = 20})).first, 16u);
  // The same position, and another history.
  manifest.frames[2].after_crc32c ^= 1;
  EXPECT_THAT(PlanRestore("archive", manifest, {.seq = 60}), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(ArchiveRetentionTest, KeepsByCountByAgeAndNeverLessThanTwo) {
  Manifest manifest;
  manifest.frames = {Entry(0, 10), Entry(10, 30), Entry(30, 60), Entry(60, 61)};
  for (const Seq seq : {5, 10, 20, 40, 60}) manifest.snapshots.push_back(Snapshot(seq));
  for (size_t i = 0; i < 5; ++i) manifest.snapshots[i].archived_ns = static_cast<int64_t>(i) * 100;
  const auto plan = [&](size_t snapshots, int64_t age_ns) {
    const ArchiveRetentionPlan goes = PlanArchiveRetention(manifest, {.snapshots = snapshots, .age_ns = age_ns}, 450);
    return std::pair(goes.snapshots, goes.frames);
  };
  EXPECT_EQ(plan(0, 0), std::pair(size_t{0}, size_t{0}));
  EXPECT_EQ(plan(5, 0), std::pair(size_t{0}, size_t{0}));
  // The entry with the snapshot's own frame stays.
  EXPECT_EQ(plan(4, 0), std::pair(size_t{1}, size_t{0}));
  EXPECT_EQ(plan(3, 0), std::pair(size_t{2}, size_t{1}));
  EXPECT_EQ(plan(2, 0), std::pair(size_t{3}, size_t{2}));
  EXPECT_EQ(plan(1, 0), std::pair(size_t{3}, size_t{2}));
  EXPECT_EQ(plan(0, 1), std::pair(size_t{3}, size_t{2}));
  EXPECT_EQ(plan(1, 260), std::pair(size_t{2}, size_t{1}));
  EXPECT_EQ(plan(4, 100), std::pair(size_t{1}, size_t{0}));
}

TEST(IncarnationTest, IsMadeOnceAndEachChangedByteIsDamage) {
  const TempDir dir = TempDir::InMemory();
  FileSystem& fs = FileSystem::Posix();
  const JournalLayout layout(dir.path());
  EXPECT_THAT(ReadIncarnation(fs, layout), StatusIs(absl::StatusCode::kNotFound));
  const Incarnation made = ValueOrDie(TakeIncarnation(fs, layout));
  EXPECT_NE(made.id, 0u);
  EXPECT_EQ(ValueOrDie(TakeIncarnation(fs, layout)), made);
  EXPECT_THAT(WriteIncarnation(fs, layout, {.id = 1, .origin = {}}), StatusIs(absl::StatusCode::kAlreadyExists));
  const std::string path = IncarnationPath(layout);
  const std::string whole = ReadFileBytes(path);
  ASSERT_EQ(whole.size(), 64u);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    WriteFileBytes(path, bad);
    EXPECT_THAT(TakeIncarnation(fs, layout), StatusIs(absl::StatusCode::kDataLoss)) << at;
  }
}

}  // namespace
}  // namespace kekbit
