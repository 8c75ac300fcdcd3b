// What the code generator would write for a one-proxy configuration.
#include "esphome/components/logger/logger.h"
#include "esphome/components/esp32_ble/ble.h"
#include "esphome/components/esp32_ble_tracker/esp32_ble_tracker.h"
#include "esphome/components/bluetooth_proxy/bluetooth_proxy.h"
#include "esphome/components/bluetooth_connection/bluetooth_connection_bluedroid.h"
#include "esphome/components/bluetooth_connection/bluetooth_connection_hub.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
using namespace esphome;
extern "C" void sim_start(int control_port);
static const char* env(const char* name, const char* other) {
  const char* v = getenv(name);
  return v ? v : other;
}
void setup() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  new (&App) Application();
  App.looping_components_.init(16);
  static std::string name = env("SIM_NAME", "simproxy");
  sim_start(atoi(env("SIM_CONTROL", "7053")));
  auto* log = new logger::Logger(0);
  log->pre_setup();
  App.pre_setup(name.c_str(), name.size(), name.c_str(), name.size());
  auto* server = new api::APIServer();
  App.register_component_(server);
  server->set_port(atoi(env("SIM_PORT", "6053")));
  server->set_reboot_timeout(0);
  auto* ble = new esp32_ble::ESP32BLE();
  ble->set_enable_on_boot(true);
  App.register_component_(ble);
  auto* tracker = new esp32_ble_tracker::ESP32BLETracker();
  tracker->set_parent(ble);
  tracker->set_scan_duration(atoi(env("SIM_SCAN_S", "300")));
  tracker->set_scan_interval(512);
  tracker->set_scan_window(48);
  tracker->set_scan_active(true);
  tracker->set_scan_continuous(true);
  App.register_component_(tracker);
  ble->add_gap_event_callback([tracker](esp_gap_ble_cb_event_t e, esp_ble_gap_cb_param_t* p) {
    tracker->gap_event_handler(e, p);
  });
  ble->add_gap_scan_event_callback(
      [tracker](const esp32_ble::BLEScanResult& r) { tracker->gap_scan_event_handler(r); });
  ble->add_gattc_event_callback(
      [tracker](esp_gattc_cb_event_t e, esp_gatt_if_t i, esp_ble_gattc_cb_param_t* p) {
        tracker->gattc_event_handler(e, i, p);
      });
  ble->add_ble_status_event_callback([tracker]() { tracker->ble_before_disabled_event_handler(); });
  auto* proxy = new bluetooth_proxy::BluetoothProxy();
  App.register_component_(proxy);
  proxy->set_active(true);
  proxy->set_ble_hub(tracker);
  for (int i = 0; i < SIM_SLOTS; i++) {
    auto* backend = new bluetooth_connection::BluedroidGattClient();
    auto* slot = new bluetooth_connection::BluetoothConnection();
    App.register_component_(backend);
    backend->set_listener(slot);
    tracker->register_client(backend);
    slot->set_backend(backend);
    proxy->register_connection(slot);
  }
  App.setup();
}
void loop() { App.loop(); }
