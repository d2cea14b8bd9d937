#include "examples/rolling_upgrade/inventory_v1.h"

#include "examples/rolling_upgrade/inventory_service.h"
#include "kekbit/base/callers_directory.h"

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::RunInventory<kekbit::examples::v1::Inventory>(argc, argv);
}
