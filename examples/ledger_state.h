// Ledger is the state of a replicated service: accounts with balances.

#ifndef KEKBIT_EXAMPLES_LEDGER_STATE_H_
#define KEKBIT_EXAMPLES_LEDGER_STATE_H_

#include <algorithm>
#include <cereal/cereal.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kekbit/replication/apply_context.h"

namespace kekbit::examples {

// OpenAccount makes a new account with a first deposit.
struct OpenAccount {
  std::string name;
  int64_t amount = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, amount);
  }
  friend bool operator==(const OpenAccount&, const OpenAccount&) = default;
};

struct Transfer {
  std::string from;
  std::string to;
  int64_t amount = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(from, to, amount);
  }
  friend bool operator==(const Transfer&, const Transfer&) = default;
};

class Ledger {
 public:
  // In its journals, whatever the class will be called.
  static constexpr absl::string_view kStateName = "ledger";
  using Command = std::variant<OpenAccount, Transfer>;
  using Result = absl::StatusOr<int64_t>;  // the balance of the account opened, or paid from

  Result Apply(const Command& command, const ApplyContext& /*context*/) {
    return std::visit([this](const auto& c) { return Do(c); }, command);
  }

  // Prefetches for a ledger that is too large for the processor's caches.
  void Prefetch(const Command& command) const {
    if (balances_.size() < kCachedAccounts) return;
    if (const auto* transfer = std::get_if<Transfer>(&command)) {
      balances_.prefetch(transfer->from);
      balances_.prefetch(transfer->to);
    }
  }

  // Returns NotFound if there is no such account.
  absl::StatusOr<int64_t> balance(const std::string& name) const {
    const auto account = balances_.find(name);
    if (account == balances_.end()) return NoAccount(name);
    return account->second;
  }

  int64_t sum() const {
    int64_t sum = 0;
    for (const auto& [name, balance] : balances_) sum += balance;
    return sum;
  }

  // Returns equal digests for equal ledgers (FNV-1a, 64 bits, over the accounts in the order of
  // their names).
  uint64_t digest() const {
    uint64_t digest = 0xCBF2'9CE4'8422'2325;
    const auto add = [&digest](uint8_t byte) { digest = (digest ^ byte) * 0x0000'0100'0000'01B3; };
    for (const Account* account : Sorted()) {
      const auto& [name, balance] = *account;
      for (const char c : name) add(static_cast<uint8_t>(c));
      add(0);
      for (int shift = 0; shift < 64; shift += 8) add(static_cast<uint8_t>(static_cast<uint64_t>(balance) >> shift));
    }
    return digest;
  }

  // Saves the same bytes for equal ledgers, those of a std::map from name to balance: for
  // snapshots.
  template <class Archive>
  void save(Archive& archive, uint32_t /*version*/) const {
    archive(cereal::make_size_tag(static_cast<cereal::size_type>(balances_.size())));
    for (const Account* account : Sorted()) archive(account->first, account->second);
  }
  template <class Archive>
  void load(Archive& archive, uint32_t /*version*/) {
    cereal::size_type size = 0;
    archive(cereal::make_size_tag(size));
    balances_.clear();
    for (; size > 0; --size) {
      std::string name;
      int64_t balance = 0;
      archive(name, balance);
      balances_.emplace(std::move(name), balance);
    }
  }

 private:
  static constexpr size_t kCachedAccounts = 10'000;  // some 50 bytes each

  using Balances = absl::flat_hash_map<std::string, int64_t>;  // whose order is another in each process
  using Account = Balances::value_type;

  std::vector<const Account*> Sorted() const {
    std::vector<const Account*> accounts;
    accounts.reserve(balances_.size());
    for (const Account& account : balances_) accounts.push_back(&account);
    std::sort(accounts.begin(), accounts.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
    return accounts;
  }

  Result Do(const OpenAccount& command) {
    if (command.amount < 0) return absl::InvalidArgumentError("an account can't begin below zero");
    if (!balances_.try_emplace(command.name, command.amount).second) {
      return absl::AlreadyExistsError(absl::StrCat("account ", command.name, " exists"));
    }
    return command.amount;
  }

  Result Do(const Transfer& command) {
    const auto from = balances_.find(command.from);
    const auto to = balances_.find(command.to);
    if (from == balances_.end()) return NoAccount(command.from);
    if (to == balances_.end()) return NoAccount(command.to);
    if (command.amount <= 0) return absl::InvalidArgumentError("a transfer moves more than nothing");
    if (from->second < command.amount) {
      return absl::FailedPreconditionError(
          absl::StrCat("account ", command.from, " has ", from->second, ", less than ", command.amount));
    }
    if (from != to && to->second > INT64_MAX - command.amount) {
      return absl::OutOfRangeError(absl::StrCat("account ", command.to, " can't hold so much"));
    }
    from->second -= command.amount;
    to->second += command.amount;
    return from->second;
  }

  static absl::Status NoAccount(absl::string_view name) {
    return absl::NotFoundError(absl::StrCat("there is no account ", name));
  }

  Balances balances_;
};

}  // namespace kekbit::examples

// Raise this version when what serialize() saves changes: an older program then refuses the
// snapshot instead of misreading it.
CEREAL_CLASS_VERSION(kekbit::examples::Ledger, 1)

#endif  // KEKBIT_EXAMPLES_LEDGER_STATE_H_
