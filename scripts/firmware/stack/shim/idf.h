// The part of the ESP-IDF Bluetooth interface the proxy uses.
#pragma once
#include <cstddef>
#include <cstdint>
#define ESP_IDF_VERSION_VAL(a, b, c) (((a) << 16) | ((b) << 8) | (c))
#ifndef SIM_IDF
#define SIM_IDF ESP_IDF_VERSION_VAL(5, 5, 5)
#endif
#define ESP_IDF_VERSION SIM_IDF
#define CONFIG_BT_GATTC_CACHE_NVS_FLASH 1
#define CONFIG_ESP_TASK_WDT_TIMEOUT_S 5
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_FAIL -1
#define ESP_ERR_NO_MEM 0x101
#define ESP_ERR_INVALID_ARG 0x102
#define ESP_ERR_INVALID_STATE 0x103
inline const char* esp_err_to_name(esp_err_t) { return "esp_err"; }
typedef uint8_t esp_bd_addr_t[6];
typedef uint8_t esp_gatt_if_t;
#define ESP_GATT_IF_NONE 0xff
enum esp_bt_status_t {
  ESP_BT_STATUS_SUCCESS = 0,
  ESP_BT_STATUS_FAIL,
  ESP_BT_STATUS_NOT_READY,
  ESP_BT_STATUS_NOMEM,
  ESP_BT_STATUS_BUSY,
  ESP_BT_STATUS_DONE
};
enum esp_ble_addr_type_t {
  BLE_ADDR_TYPE_PUBLIC = 0,
  BLE_ADDR_TYPE_RANDOM,
  BLE_ADDR_TYPE_RPA_PUBLIC,
  BLE_ADDR_TYPE_RPA_RANDOM
};
#define ESP_UUID_LEN_16 2
#define ESP_UUID_LEN_32 4
#define ESP_UUID_LEN_128 16
typedef struct {
  uint16_t len;
  union {
    uint16_t uuid16;
    uint32_t uuid32;
    uint8_t uuid128[16];
  } uuid;
} __attribute__((packed)) esp_bt_uuid_t;
#define ESP_BLE_ADV_DATA_LEN_MAX 31
#define ESP_BLE_SCAN_RSP_DATA_LEN_MAX 31
typedef uint8_t esp_ble_io_cap_t;
enum { ESP_IO_CAP_OUT, ESP_IO_CAP_IO, ESP_IO_CAP_IN, ESP_IO_CAP_NONE, ESP_IO_CAP_KBDISP };
typedef uint8_t esp_ble_auth_req_t;
enum esp_ble_sm_param_t {
  ESP_BLE_SM_PASSKEY,
  ESP_BLE_SM_AUTHEN_REQ_MODE,
  ESP_BLE_SM_IOCAP_MODE,
  ESP_BLE_SM_MAX_KEY_SIZE = 5,
  ESP_BLE_SM_MIN_KEY_SIZE
};
enum esp_ble_sec_act_t { ESP_BLE_SEC_ENCRYPT = 1 };
enum esp_gap_ble_cb_event_t {
  ESP_GAP_BLE_ADV_DATA_SET_COMPLETE_EVT = 0,
  ESP_GAP_BLE_SCAN_RSP_DATA_SET_COMPLETE_EVT,
  ESP_GAP_BLE_SCAN_PARAM_SET_COMPLETE_EVT,
  ESP_GAP_BLE_SCAN_RESULT_EVT,
  ESP_GAP_BLE_ADV_DATA_RAW_SET_COMPLETE_EVT,
  ESP_GAP_BLE_SCAN_RSP_DATA_RAW_SET_COMPLETE_EVT,
  ESP_GAP_BLE_ADV_START_COMPLETE_EVT,
  ESP_GAP_BLE_SCAN_START_COMPLETE_EVT,
  ESP_GAP_BLE_AUTH_CMPL_EVT,
  ESP_GAP_BLE_KEY_EVT,
  ESP_GAP_BLE_SEC_REQ_EVT,
  ESP_GAP_BLE_PASSKEY_NOTIF_EVT,
  ESP_GAP_BLE_PASSKEY_REQ_EVT,
  ESP_GAP_BLE_OOB_REQ_EVT,
  ESP_GAP_BLE_LOCAL_IR_EVT,
  ESP_GAP_BLE_LOCAL_ER_EVT,
  ESP_GAP_BLE_NC_REQ_EVT,
  ESP_GAP_BLE_ADV_STOP_COMPLETE_EVT,
  ESP_GAP_BLE_SCAN_STOP_COMPLETE_EVT,
  ESP_GAP_BLE_UPDATE_CONN_PARAMS_EVT = 20,
  ESP_GAP_BLE_SET_PKT_LENGTH_COMPLETE_EVT,
  ESP_GAP_BLE_READ_RSSI_COMPLETE_EVT = 26,
  ESP_GAP_BLE_PHY_UPDATE_COMPLETE_EVT = 40,
  ESP_GAP_BLE_CHANNEL_SELECT_ALGORITHM_EVT = 60
};
enum esp_gap_search_evt_t { ESP_GAP_SEARCH_INQ_RES_EVT = 0, ESP_GAP_SEARCH_INQ_CMPL_EVT = 1 };
enum { BLE_SCAN_TYPE_PASSIVE, BLE_SCAN_TYPE_ACTIVE };
enum { BLE_SCAN_FILTER_ALLOW_ALL };
typedef struct {
  int scan_type;
  esp_ble_addr_type_t own_addr_type;
  int scan_filter_policy;
  uint16_t scan_interval, scan_window;
  int scan_duplicate;
} esp_ble_scan_params_t;
typedef struct {
  esp_bd_addr_t bda;
  uint16_t min_int, max_int, latency, timeout;
} esp_ble_conn_update_params_t;
typedef union {
  struct {
    esp_bd_addr_t bd_addr;
  } ble_req;
  struct {
    esp_bd_addr_t bd_addr;
    uint32_t passkey;
  } key_notif;
  struct {
    esp_bd_addr_t bd_addr;
    bool key_present;
    uint8_t key[16];
    uint8_t key_type;
    bool success;
    uint8_t fail_reason;
    esp_ble_addr_type_t addr_type;
    int dev_type;
    uint8_t auth_mode;
  } auth_cmpl;
} esp_ble_sec_t;
typedef union {
  struct ble_adv_data_cmpl_evt_param {
    esp_bt_status_t status;
  } adv_data_cmpl;
  struct ble_scan_rsp_data_cmpl_evt_param {
    esp_bt_status_t status;
  } scan_rsp_data_cmpl;
  struct ble_scan_param_cmpl_evt_param {
    esp_bt_status_t status;
  } scan_param_cmpl;
  struct ble_scan_result_evt_param {
    uint8_t search_evt;
    esp_bd_addr_t bda;
    int dev_type;
    uint8_t ble_addr_type;
    int ble_evt_type;
    int rssi;
    uint8_t ble_adv[62];
    int flag, num_resps;
    uint8_t adv_data_len, scan_rsp_len;
    uint32_t num_dis;
  } scan_rst;
  struct ble_adv_data_raw_cmpl_evt_param {
    esp_bt_status_t status;
  } adv_data_raw_cmpl;
  struct ble_scan_rsp_data_raw_cmpl_evt_param {
    esp_bt_status_t status;
  } scan_rsp_data_raw_cmpl;
  struct ble_adv_start_cmpl_evt_param {
    esp_bt_status_t status;
  } adv_start_cmpl;
  struct ble_adv_stop_cmpl_evt_param {
    esp_bt_status_t status;
  } adv_stop_cmpl;
  struct ble_scan_start_cmpl_evt_param {
    esp_bt_status_t status;
  } scan_start_cmpl;
  struct ble_scan_stop_cmpl_evt_param {
    esp_bt_status_t status;
  } scan_stop_cmpl;
  struct ble_read_rssi_cmpl_evt_param {
    esp_bt_status_t status;
    int8_t rssi;
    esp_bd_addr_t remote_addr;
  } read_rssi_cmpl;
  struct ble_update_conn_params_evt_param {
    esp_bt_status_t status;
    esp_bd_addr_t bda;
    uint16_t min_int, max_int, latency, conn_int, timeout;
  } update_conn_params;
  esp_ble_sec_t ble_security;
} esp_ble_gap_cb_param_t;
enum esp_gatt_status_t {
  ESP_GATT_OK = 0,
  ESP_GATT_NOT_FOUND = 0x0a,
  ESP_GATT_NO_RESOURCES = 0x80,
  ESP_GATT_BUSY = 0x84,
  ESP_GATT_ERROR = 0x85,
  ESP_GATT_ALREADY_OPEN = 0x91
};
enum {
  ESP_GATT_CONN_TIMEOUT = 0x08,
  ESP_GATT_CONN_TERMINATE_PEER_USER = 0x13,
  ESP_GATT_CONN_TERMINATE_LOCAL_HOST = 0x16,
  ESP_GATT_CONN_CONN_CANCEL = 0x100
};
enum esp_gatt_write_type_t { ESP_GATT_WRITE_TYPE_NO_RSP = 1, ESP_GATT_WRITE_TYPE_RSP = 2 };
enum esp_gatt_auth_req_t { ESP_GATT_AUTH_REQ_NONE = 0 };
enum esp_gatt_db_attr_type_t {
  ESP_GATT_DB_PRIMARY_SERVICE,
  ESP_GATT_DB_SECONDARY_SERVICE,
  ESP_GATT_DB_CHARACTERISTIC,
  ESP_GATT_DB_DESCRIPTOR,
  ESP_GATT_DB_INCLUDED_SERVICE,
  ESP_GATT_DB_ALL
};
enum esp_gattc_cb_event_t {
  ESP_GATTC_REG_EVT = 0,
  ESP_GATTC_UNREG_EVT,
  ESP_GATTC_OPEN_EVT,
  ESP_GATTC_READ_CHAR_EVT,
  ESP_GATTC_WRITE_CHAR_EVT,
  ESP_GATTC_CLOSE_EVT,
  ESP_GATTC_SEARCH_CMPL_EVT,
  ESP_GATTC_SEARCH_RES_EVT,
  ESP_GATTC_READ_DESCR_EVT,
  ESP_GATTC_WRITE_DESCR_EVT,
  ESP_GATTC_NOTIFY_EVT,
  ESP_GATTC_CFG_MTU_EVT = 18,
  ESP_GATTC_REG_FOR_NOTIFY_EVT = 38,
  ESP_GATTC_UNREG_FOR_NOTIFY_EVT,
  ESP_GATTC_CONNECT_EVT,
  ESP_GATTC_DISCONNECT_EVT,
  ESP_GATTC_CANCEL_OPEN_EVT = 48
};
typedef union {
  struct {
    esp_gatt_status_t status;
    uint16_t app_id;
  } reg;
  struct {
    esp_gatt_status_t status;
    uint16_t conn_id;
    esp_bd_addr_t remote_bda;
    uint16_t mtu;
  } open;
  struct {
    esp_gatt_status_t status;
    uint16_t conn_id;
    esp_bd_addr_t remote_bda;
    int reason;
  } close;
  struct {
    esp_gatt_status_t status;
    uint16_t conn_id;
    uint16_t mtu;
  } cfg_mtu;
  struct {
    esp_gatt_status_t status;
    uint16_t conn_id;
    int searched_service_source;
  } search_cmpl;
  struct {
    esp_gatt_status_t status;
    uint16_t conn_id;
    uint16_t handle;
    uint8_t* value;
    uint16_t value_len;
  } read;
  struct {
    esp_gatt_status_t status;
    uint16_t conn_id;
    uint16_t handle;
    uint16_t offset;
  } write;
  struct {
    uint16_t conn_id;
    esp_bd_addr_t remote_bda;
    uint16_t handle;
    uint16_t value_len;
    uint8_t* value;
    bool is_notify;
  } notify;
  struct {
    esp_gatt_status_t status;
    uint16_t handle;
  } reg_for_notify;
  struct {
    esp_gatt_status_t status;
    uint16_t handle;
  } unreg_for_notify;
  struct {
    uint16_t conn_id;
    uint8_t link_role;
    esp_bd_addr_t remote_bda;
  } connect;
  struct {
    int reason;
    uint16_t conn_id;
    esp_bd_addr_t remote_bda;
  } disconnect;
  struct {
    esp_gatt_status_t status;
    esp_bd_addr_t remote_bda;
  } cancel_open;
  uint32_t whole[7];
} esp_ble_gattc_cb_param_t;
enum esp_gatts_cb_event_t { ESP_GATTS_WRITE_EVT = 2 };
typedef union {
  struct {
    uint16_t conn_id;
    uint16_t len;
    uint8_t* value;
  } write;
  uint32_t whole[8];
} esp_ble_gatts_cb_param_t;
typedef struct {
  bool is_primary;
  uint16_t start_handle, end_handle;
  esp_bt_uuid_t uuid;
} esp_gattc_service_elem_t;
typedef struct {
  uint16_t char_handle;
  uint8_t properties;
  esp_bt_uuid_t uuid;
} esp_gattc_char_elem_t;
typedef struct {
  uint16_t handle;
  esp_bt_uuid_t uuid;
} esp_gattc_descr_elem_t;
typedef struct {
  esp_gatt_if_t gattc_if;
  esp_bd_addr_t remote_bda;
} esp_ble_gattc_cancel_open_params_t;
enum {
  ESP_BT_CONTROLLER_STATUS_IDLE,
  ESP_BT_CONTROLLER_STATUS_INITED,
  ESP_BT_CONTROLLER_STATUS_ENABLED
};
enum { ESP_BT_MODE_BLE = 1, ESP_BT_MODE_CLASSIC_BT = 2 };
typedef struct {
  int unused;
} esp_bt_controller_config_t;
#define BT_CONTROLLER_INIT_CONFIG_DEFAULT() {0}
inline int esp_bt_controller_get_status() { return ESP_BT_CONTROLLER_STATUS_ENABLED; }
inline esp_err_t esp_bt_controller_init(esp_bt_controller_config_t*) { return 0; }
inline esp_err_t esp_bt_controller_enable(int) { return 0; }
inline esp_err_t esp_bt_controller_disable() { return 0; }
inline esp_err_t esp_bt_controller_deinit() { return 0; }
inline esp_err_t esp_bt_controller_mem_release(int) { return 0; }
inline esp_err_t esp_bluedroid_init() { return 0; }
inline esp_err_t esp_bluedroid_enable() { return 0; }
inline esp_err_t esp_bluedroid_disable() { return 0; }
inline esp_err_t esp_bluedroid_deinit() { return 0; }
inline esp_err_t nvs_flash_init() { return 0; }
inline esp_err_t esp_ble_gap_set_device_name(const char*) { return 0; }
inline esp_err_t esp_ble_gap_set_security_param(int, void*, uint8_t) { return 0; }
inline esp_err_t esp_ble_gap_set_prefer_conn_params(esp_bd_addr_t, uint16_t, uint16_t, uint16_t,
                                                    uint16_t) {
  return 0;
}
typedef void (*esp_gap_ble_cb_t)(esp_gap_ble_cb_event_t, esp_ble_gap_cb_param_t*);
typedef void (*esp_gattc_cb_t)(esp_gattc_cb_event_t, esp_gatt_if_t, esp_ble_gattc_cb_param_t*);
extern "C" {
const uint8_t* esp_bt_dev_get_address();
esp_err_t esp_ble_gap_register_callback(esp_gap_ble_cb_t);
esp_err_t esp_ble_gattc_register_callback(esp_gattc_cb_t);
esp_err_t esp_ble_gap_set_scan_params(esp_ble_scan_params_t*);
esp_err_t esp_ble_gap_start_scanning(uint32_t);
esp_err_t esp_ble_gap_stop_scanning();
esp_err_t esp_ble_gap_update_conn_params(esp_ble_conn_update_params_t*);
esp_err_t esp_ble_gap_security_rsp(esp_bd_addr_t, bool);
esp_err_t esp_ble_gap_disconnect(esp_bd_addr_t);
esp_err_t esp_ble_set_encryption(esp_bd_addr_t, esp_ble_sec_act_t);
esp_err_t esp_ble_remove_bond_device(esp_bd_addr_t);
esp_err_t esp_ble_gattc_app_register(uint16_t);
esp_err_t esp_ble_gattc_open(esp_gatt_if_t, esp_bd_addr_t, esp_ble_addr_type_t, bool);
esp_err_t esp_ble_gattc_cancel_open(esp_ble_gattc_cancel_open_params_t*);
esp_err_t esp_ble_gattc_close(esp_gatt_if_t, uint16_t);
esp_err_t esp_ble_gattc_send_mtu_req(esp_gatt_if_t, uint16_t);
esp_err_t esp_ble_gattc_search_service(esp_gatt_if_t, uint16_t, esp_bt_uuid_t*);
esp_err_t esp_ble_gattc_read_char(esp_gatt_if_t, uint16_t, uint16_t, esp_gatt_auth_req_t);
esp_err_t esp_ble_gattc_read_char_descr(esp_gatt_if_t, uint16_t, uint16_t, esp_gatt_auth_req_t);
esp_err_t esp_ble_gattc_write_char(esp_gatt_if_t, uint16_t, uint16_t, uint16_t, uint8_t*,
                                   esp_gatt_write_type_t, esp_gatt_auth_req_t);
esp_err_t esp_ble_gattc_write_char_descr(esp_gatt_if_t, uint16_t, uint16_t, uint16_t, uint8_t*,
                                         esp_gatt_write_type_t, esp_gatt_auth_req_t);
esp_err_t esp_ble_gattc_register_for_notify(esp_gatt_if_t, esp_bd_addr_t, uint16_t);
esp_err_t esp_ble_gattc_unregister_for_notify(esp_gatt_if_t, esp_bd_addr_t, uint16_t);
esp_err_t esp_ble_gattc_cache_clean(esp_bd_addr_t);
esp_gatt_status_t esp_ble_gattc_get_attr_count(esp_gatt_if_t, uint16_t, esp_gatt_db_attr_type_t,
                                               uint16_t, uint16_t, uint16_t, uint16_t*);
esp_gatt_status_t esp_ble_gattc_get_service(esp_gatt_if_t, uint16_t, esp_bt_uuid_t*,
                                            esp_gattc_service_elem_t*, uint16_t*, uint16_t);
esp_gatt_status_t esp_ble_gattc_get_all_char(esp_gatt_if_t, uint16_t, uint16_t, uint16_t,
                                             esp_gattc_char_elem_t*, uint16_t*, uint16_t);
esp_gatt_status_t esp_ble_gattc_get_all_descr(esp_gatt_if_t, uint16_t, uint16_t,
                                              esp_gattc_descr_elem_t*, uint16_t*, uint16_t);
}
