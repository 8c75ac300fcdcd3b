// A simulated Bluedroid: one thread plays the stack, the radio and the peripherals,
// and a line protocol on a loopback TCP port scripts them.
#include "idf.h"
#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <poll.h>
#include <set>
#include <sstream>
#include <string>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>
using Bytes = std::vector<uint8_t>;
namespace {
struct Descriptor {
  uint16_t handle;
  esp_bt_uuid_t uuid;
};
struct Characteristic {
  uint16_t handle;
  uint8_t properties;
  esp_bt_uuid_t uuid;
  std::vector<Descriptor> descriptors;
};
struct Service {
  uint16_t start, end;
  esp_bt_uuid_t uuid;
  std::vector<Characteristic> characteristics;
};
struct Device {
  uint64_t address = 0;
  std::map<std::string, std::string> set;
  std::vector<Service> services;
  std::map<int, Bytes> values;
  bool bonded = false;
  int number(const char* key, int other) const {
    auto i = set.find(key);
    return i == set.end() ? other : (int)strtol(i->second.c_str(), nullptr, 0);
  }
  std::string text(const char* key, const char* other) const {
    auto i = set.find(key);
    return i == set.end() ? other : i->second;
  }
};
struct Link {
  uint64_t address;
  esp_gatt_if_t owner;
  int index;
  std::set<uint16_t> notify;
};
struct Open {
  uint64_t address;
  esp_gatt_if_t owner;
  bool settled = false;
};
std::recursive_mutex mutex;
std::map<uint64_t, Device> devices;
std::vector<Link> links;
std::vector<std::shared_ptr<Open>> opens;
std::multimap<int64_t, std::function<void()>> queue;
std::vector<std::string> journal;
esp_gap_ble_cb_t gap;
esp_gattc_cb_t gattc;
esp_gatt_if_t next_interface = 3;
int next_index = 0, wake_fd = -1;
bool scanning = false;
int64_t scan_until = 0;
std::map<uint64_t, int64_t> next_advert;
uint8_t base_mac[6] = {0x02, 0x51, 0x4d, 0, 0, 0};
int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
void later(int ms, std::function<void()> f) {
  queue.emplace(now_ms() + ms, std::move(f));
  uint64_t one = 1;
  if (write(wake_fd, &one, 8)) {
  }
}
uint64_t to_int(const uint8_t* a) {
  uint64_t v = 0;
  for (int i = 0; i < 6; i++) v = v << 8 | a[i];
  return v;
}
void to_bytes(uint64_t v, uint8_t* a) {
  for (int i = 5; i >= 0; i--, v >>= 8) a[i] = v & 0xff;
}
uint64_t parse(const std::string& s) {
  uint64_t v = 0;
  for (char c : s)
    if (isxdigit(c)) v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  return v;
}
Bytes unhex(const std::string& s) {
  Bytes b;
  if (s == "-") return b;
  for (size_t i = 0; i + 1 < s.size(); i += 2)
    b.push_back(strtol(s.substr(i, 2).c_str(), nullptr, 16));
  return b;
}
std::string hex(const uint8_t* p, size_t n) {
  std::string s;
  char t[3];
  for (size_t i = 0; i < n; i++) {
    snprintf(t, 3, "%02x", p[i]);
    s += t;
  }
  return s;
}
void note(const char* what, uint64_t address, int a = 0, int b = 0) {
  char t[160];
  snprintf(t, sizeof t, "%lld %s %012llX %d %d", (long long)now_ms(), what,
           (unsigned long long)address, a, b);
  journal.push_back(t);
  if (journal.size() > 5000) journal.erase(journal.begin(), journal.begin() + 1000);
}
esp_bt_uuid_t uuid_of(const std::string& s) {
  esp_bt_uuid_t u{};
  std::string h;
  for (char c : s)
    if (c != '-') h += c;
  if (h.size() <= 4) {
    u.len = 2;
    u.uuid.uuid16 = strtol(h.c_str(), nullptr, 16);
  } else if (h.size() <= 8) {
    u.len = 4;
    u.uuid.uuid32 = strtoul(h.c_str(), nullptr, 16);
  } else {
    u.len = 16;
    Bytes b = unhex(h);
    for (int i = 0; i < 16; i++) u.uuid.uuid128[i] = b[15 - i];
  }
  return u;
}
Device* device(uint64_t a) {
  auto i = devices.find(a);
  return i == devices.end() ? nullptr : &i->second;
}
Link* link_of(uint64_t a) {
  for (auto& l : links)
    if (l.address == a) return &l;
  return nullptr;
}
Link* link_by(uint16_t conn) {
  for (auto& l : links)
    if (l.index == conn >> 8 && l.owner == (conn & 0xff)) return &l;
  return nullptr;
}
uint16_t conn_id(const Link& l, esp_gatt_if_t i) { return l.index << 8 | i; }
void emit(esp_gattc_cb_event_t e, esp_gatt_if_t i, esp_ble_gattc_cb_param_t& p) {
  if (gattc) gattc(e, i, &p);
}
void emit_connect(const Link& l) {
  for (int i = 3; i < next_interface; i++) {
    esp_ble_gattc_cb_param_t p{};
    p.connect.conn_id = conn_id(l, i);
    to_bytes(l.address, p.connect.remote_bda);
    emit(ESP_GATTC_CONNECT_EVT, i, p);
  }
}
void emit_disconnect(const Link& l, int reason) {
  for (int i = 3; i < next_interface; i++) {
    esp_ble_gattc_cb_param_t p{};
    p.disconnect.reason = reason;
    p.disconnect.conn_id = conn_id(l, i);
    to_bytes(l.address, p.disconnect.remote_bda);
    emit(ESP_GATTC_DISCONNECT_EVT, i, p);
  }
}
void emit_open(esp_gatt_if_t i, uint64_t a, int status, uint16_t conn) {
  esp_ble_gattc_cb_param_t p{};
  p.open.status = (esp_gatt_status_t)status;
  p.open.conn_id = conn;
  to_bytes(a, p.open.remote_bda);
  p.open.mtu = 23;
  emit(ESP_GATTC_OPEN_EVT, i, p);
}
void emit_close(const Link& l, int reason) {
  esp_ble_gattc_cb_param_t p{};
  p.close.conn_id = conn_id(l, l.owner);
  to_bytes(l.address, p.close.remote_bda);
  p.close.reason = reason;
  emit(ESP_GATTC_CLOSE_EVT, l.owner, p);
}
void unlink(uint64_t a) {
  links.erase(std::remove_if(links.begin(), links.end(), [a](Link& l) { return l.address == a; }),
              links.end());
}
// The peer or the radio ends the link.
void drop(uint64_t a, int reason, int close_after) {
  Link* l = link_of(a);
  if (!l) return;
  Link gone = *l;
  unlink(a);
  note("drop", a, reason);
  emit_disconnect(gone, reason);
  if (close_after >= 0) later(close_after, [gone, reason] { emit_close(gone, reason); });
}
void emit_scan(uint64_t a, const Device& d) {
  esp_ble_gap_cb_param_t p{};
  auto& r = p.scan_rst;
  r.search_evt = ESP_GAP_SEARCH_INQ_RES_EVT;
  to_bytes(a, r.bda);
  r.ble_addr_type = d.number("type", 0);
  r.rssi = d.number("rssi", -60);
  Bytes adv = unhex(d.text("adv", "020106")), rsp = unhex(d.text("rsp", "-"));
  memcpy(r.ble_adv, adv.data(), std::min<size_t>(31, adv.size()));
  memcpy(r.ble_adv + std::min<size_t>(31, adv.size()), rsp.data(),
         std::min<size_t>(31, rsp.size()));
  r.adv_data_len = std::min<size_t>(31, adv.size());
  r.scan_rsp_len = std::min<size_t>(31, rsp.size());
  if (gap) gap(ESP_GAP_BLE_SCAN_RESULT_EVT, &p);
}
void emit_gap(esp_gap_ble_cb_event_t e, int status) {
  esp_ble_gap_cb_param_t p{};
  p.scan_start_cmpl.status = (esp_bt_status_t)status;
  if (gap) gap(e, &p);
}
void open_now(std::shared_ptr<Open> o) {
  if (o->settled) return;
  o->settled = true;
  Device* d = device(o->address);
  int status = d ? d->number("open", 0) : 0x85;
  note("opened", o->address, status);
  if (status == 0) {
    links.push_back({o->address, o->owner, next_index++ % 60, {}});
    Link l = links.back();
    emit_connect(l);
    int mute = d->number("open_event", 1);
    if (mute)
      later(d->number("open_gap", 2), [o] {
        Link* k = link_of(o->address);
        if (k) emit_open(o->owner, o->address, 0, conn_id(*k, o->owner));
      });
  } else {
    int radio = d ? d->number("open_reason", status) : status;
    Link ghost{o->address, o->owner, 61, {}};
    if (radio >= 0) emit_disconnect(ghost, radio);
    later(2, [o, status] { emit_open(o->owner, o->address, status, 0); });
  }
}
const Characteristic* characteristic(const Device& d, uint16_t h) {
  for (auto& s : d.services)
    for (auto& c : s.characteristics)
      if (c.handle == h) return &c;
  return nullptr;
}
void answer(esp_gattc_cb_event_t e, uint16_t conn, uint16_t handle, const char* kind, Bytes value) {
  Link* l = link_by(conn);
  if (!l) return;
  uint64_t a = l->address;
  Device* d = device(a);
  if (!d) return;
  if (kind[0] == 'r') {
    auto i = d->values.find(handle);
    value = i == d->values.end() ? Bytes{} : i->second;
  }
  char key[32];
  snprintf(key, sizeof key, "%s.%d", kind, handle);
  int status = d->number(key, 0);
  if (status == -1) return;
  later(d->number("latency", 8), [=] {
    Link* k = link_by(conn);
    if (!k) return;
    Bytes copy = value;
    if (kind[0] == 'w' && status == 0) device(a)->values[handle] = value;
    esp_ble_gattc_cb_param_t p{};
    if (kind[0] == 'r') {
      p.read.status = (esp_gatt_status_t)status;
      p.read.conn_id = conn;
      p.read.handle = handle;
      p.read.value = copy.data();
      p.read.value_len = copy.size();
    } else {
      p.write.status = (esp_gatt_status_t)status;
      p.write.conn_id = conn;
      p.write.handle = handle;
    }
    emit(e, k->owner, p);
  });
}
std::string command(const std::string& line) {
  std::istringstream in(line);
  std::string verb, address, w;
  in >> verb >> address;
  uint64_t a = parse(address);
  if (verb == "dev") {
    Device& d = devices[a];
    d.address = a;
    while (in >> w) {
      auto e = w.find('=');
      d.set[w.substr(0, e)] = w.substr(e + 1);
    }
    if (d.number("advert_ms", 0))
      next_advert[a] = now_ms();
    else
      next_advert.erase(a);
    return "ok";
  }
  if (verb == "forget") {
    devices.erase(a);
    next_advert.erase(a);
    return "ok";
  }
  Device* d = device(a);
  if (verb == "links") {
    std::string s = "ok";
    for (auto& l : links) {
      char t[48];
      snprintf(t, sizeof t, " %012llX:%d", (unsigned long long)l.address, l.owner);
      s += t;
    }
    return s;
  }
  if (verb == "opens") {
    std::string s = "ok";
    for (auto& o : opens)
      if (!o->settled) {
        char t[48];
        snprintf(t, sizeof t, " %012llX", (unsigned long long)o->address);
        s += t;
      }
    return s;
  }
  if (verb == "journal") {
    std::string s = "ok";
    for (auto& j : journal) s += "|" + j;
    journal.clear();
    return s;
  }
  if (!d) return "no such device";
  if (verb == "svc") {
    int s, e;
    std::string u;
    in >> u >> s >> e;
    d->services.push_back({(uint16_t)s, (uint16_t)e, uuid_of(u), {}});
    return "ok";
  }
  if (verb == "chr") {
    int h, p;
    std::string u;
    in >> u >> h >> p;
    d->services.back().characteristics.push_back({(uint16_t)h, (uint8_t)p, uuid_of(u), {}});
    return "ok";
  }
  if (verb == "dsc") {
    int h;
    std::string u;
    in >> u >> h;
    d->services.back().characteristics.back().descriptors.push_back({(uint16_t)h, uuid_of(u)});
    return "ok";
  }
  if (verb == "val") {
    int h;
    in >> h >> w;
    d->values[h] = unhex(w);
    return "ok";
  }
  if (verb == "get") {
    int h;
    in >> h;
    auto& v = d->values[h];
    return "ok " + hex(v.data(), v.size());
  }
  if (verb == "drop") {
    int r = 8, c = 2;
    in >> r >> c;
    drop(a, r, c);
    return "ok";
  }
  if (verb == "ntf") {
    int h;
    in >> h >> w;
    Link* l = link_of(a);
    if (!l) return "not linked";
    if (!l->notify.count(h)) return "not registered";
    Bytes v = unhex(w);
    esp_ble_gattc_cb_param_t p{};
    p.notify.conn_id = conn_id(*l, l->owner);
    p.notify.handle = h;
    p.notify.value = v.data();
    p.notify.value_len = v.size();
    p.notify.is_notify = true;
    emit(ESP_GATTC_NOTIFY_EVT, l->owner, p);
    return "ok";
  }
  if (verb == "burst") {
    int n;
    in >> n;
    for (int i = 0; i < n; i++) emit_scan(a, *d);
    return "ok";
  }
  if (verb == "secreq") {
    esp_ble_gap_cb_param_t p{};
    to_bytes(a, p.ble_security.ble_req.bd_addr);
    if (gap) gap(ESP_GAP_BLE_SEC_REQ_EVT, &p);
    return "ok";
  }
  return "unknown verb";
}
void run(int port) {
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(server, (sockaddr*)&at, sizeof at) || listen(server, 8)) {
    perror("control port");
    _exit(3);
  }
  std::map<int, std::string> clients;
  for (;;) {
    std::vector<pollfd> fds{{server, POLLIN, 0}, {wake_fd, POLLIN, 0}};
    for (auto& c : clients) fds.push_back({c.first, POLLIN, 0});
    int wait = 1000;
    {
      std::lock_guard<std::recursive_mutex> g(mutex);
      int64_t t = now_ms();
      if (!queue.empty())
        wait = std::max<int64_t>(0, std::min<int64_t>(wait, queue.begin()->first - t));
      if (scanning) {
        wait = std::min(wait, 20);
      }
    }
    poll(fds.data(), fds.size(), wait);
    std::lock_guard<std::recursive_mutex> g(mutex);
    if (fds[1].revents) {
      uint64_t n;
      if (read(wake_fd, &n, 8)) {
      }
    }
    while (!queue.empty() && queue.begin()->first <= now_ms()) {
      auto f = std::move(queue.begin()->second);
      queue.erase(queue.begin());
      f();
    }
    if (scanning) {
      int64_t t = now_ms();
      for (auto& n : next_advert)
        if (n.second <= t) {
          Device* d = device(n.first);
          if (!d) continue;
          if (!link_of(n.first) || d->number("advert_linked", 0)) emit_scan(n.first, *d);
          n.second = t + d->number("advert_ms", 500);
        }
      if (scan_until && t >= scan_until) {
        scanning = false;
        esp_ble_gap_cb_param_t p{};
        p.scan_rst.search_evt = ESP_GAP_SEARCH_INQ_CMPL_EVT;
        if (gap) gap(ESP_GAP_BLE_SCAN_RESULT_EVT, &p);
      }
    }
    if (fds[0].revents) {
      int c = accept(server, nullptr, nullptr);
      if (c >= 0) clients[c] = "";
    }
    for (size_t i = 2; i < fds.size(); i++)
      if (fds[i].revents) {
        char b[65536];
        int n = read(fds[i].fd, b, sizeof b);
        if (n <= 0) {
          close(fds[i].fd);
          clients.erase(fds[i].fd);
          continue;
        }
        std::string& s = clients[fds[i].fd];
        s.append(b, n);
        size_t e;
        while ((e = s.find('\n')) != std::string::npos) {
          std::string r = command(s.substr(0, e)) + "\n";
          s.erase(0, e + 1);
          if (write(fds[i].fd, r.data(), r.size())) {
          }
        }
      }
  }
}
}  // namespace
#define LOCK std::lock_guard<std::recursive_mutex> guard(mutex)
#define FAILING(name, address)             \
  do {                                     \
    Device* d_ = device(address);          \
    int e_ = d_ ? d_->number(name, 0) : 0; \
    if (e_) return e_;                     \
  } while (0)
extern "C" {
uint8_t sim_mac(int i) { return base_mac[i]; }
void sim_start(int port) {
  if (const char* m = getenv("SIM_MAC")) to_bytes(parse(m), base_mac);
  wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  std::thread(run, port).detach();
}
int __real_bind(int, const sockaddr*, socklen_t);
int __wrap_bind(int fd, const sockaddr* at, socklen_t n) {  // loopback only
  sockaddr_in copy;
  if (at->sa_family == AF_INET) {
    memcpy(&copy, at, sizeof copy);
    copy.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return __real_bind(fd, (sockaddr*)&copy, sizeof copy);
  }
  return __real_bind(fd, at, n);
}
const uint8_t* esp_bt_dev_get_address() {
  static uint8_t m[6];
  memcpy(m, base_mac, 6);
  m[5] += 2;
  return m;
}
esp_err_t esp_ble_gap_register_callback(esp_gap_ble_cb_t f) {
  LOCK;
  gap = f;
  return 0;
}
esp_err_t esp_ble_gattc_register_callback(esp_gattc_cb_t f) {
  LOCK;
  gattc = f;
  return 0;
}
esp_err_t esp_ble_gap_set_scan_params(esp_ble_scan_params_t*) {
  LOCK;
  later(1, [] { emit_gap(ESP_GAP_BLE_SCAN_PARAM_SET_COMPLETE_EVT, 0); });
  return 0;
}
esp_err_t esp_ble_gap_start_scanning(uint32_t s) {
  LOCK;
  later(3, [s] {
    scanning = true;
    scan_until = s ? now_ms() + s * 1000LL : 0;
    emit_gap(ESP_GAP_BLE_SCAN_START_COMPLETE_EVT, 0);
  });
  return 0;
}
esp_err_t esp_ble_gap_stop_scanning() {
  LOCK;
  later(3, [] {
    scanning = false;
    emit_gap(ESP_GAP_BLE_SCAN_STOP_COMPLETE_EVT, 0);
  });
  return 0;
}
esp_err_t esp_ble_gap_update_conn_params(esp_ble_conn_update_params_t* p) {
  LOCK;
  uint64_t a = to_int(p->bda);
  note("params", a, p->min_int, p->max_int);
  FAILING("params_error", a);
  if (p->min_int < 6 || p->max_int > 3200 || p->min_int > p->max_int || p->latency > 499 ||
      p->timeout < 10 || p->timeout > 3200)
    return ESP_ERR_INVALID_ARG;
  return 0;
}
esp_err_t esp_ble_gap_security_rsp(esp_bd_addr_t b, bool) {
  LOCK;
  return esp_ble_set_encryption(b, ESP_BLE_SEC_ENCRYPT);
}
esp_err_t esp_ble_gap_disconnect(esp_bd_addr_t b) {
  LOCK;
  uint64_t a = to_int(b);
  note("gap_disconnect", a);
  later(5, [a] { drop(a, 0x16, 2); });
  return 0;
}
esp_err_t esp_ble_set_encryption(esp_bd_addr_t b, esp_ble_sec_act_t) {
  LOCK;
  uint64_t a = to_int(b);
  note("encrypt", a);
  FAILING("pair_error", a);
  Device* d = device(a);
  std::string how = d ? d->text("pair", "0") : "0";
  if (how == "never") return 0;
  int r = strtol(how.c_str(), nullptr, 0);
  later(30, [a, r] {
    if (!link_of(a)) return;
    esp_ble_gap_cb_param_t p{};
    auto& c = p.ble_security.auth_cmpl;
    to_bytes(a, c.bd_addr);
    c.success = r == 0;
    c.fail_reason = r;
    if (r == 0) device(a)->bonded = true;
    if (gap) gap(ESP_GAP_BLE_AUTH_CMPL_EVT, &p);
  });
  return 0;
}
esp_err_t esp_ble_remove_bond_device(esp_bd_addr_t b) {
  LOCK;
  Device* d = device(to_int(b));
  note("unbond", to_int(b));
  if (!d || !d->bonded) return ESP_FAIL;
  d->bonded = false;
  return 0;
}
esp_err_t esp_ble_gattc_app_register(uint16_t id) {
  LOCK;
  esp_gatt_if_t i = next_interface++;
  later(2, [i, id] {
    esp_ble_gattc_cb_param_t p{};
    p.reg.app_id = id;
    emit(ESP_GATTC_REG_EVT, i, p);
  });
  return 0;
}
esp_err_t esp_ble_gattc_open(esp_gatt_if_t i, esp_bd_addr_t b, esp_ble_addr_type_t, bool) {
  LOCK;
  uint64_t a = to_int(b);
  note("open", a, i);
  FAILING("open_error", a);
  Device* d = device(a);
  auto o = std::make_shared<Open>(Open{a, i});
  opens.push_back(o);
  if (opens.size() > 200) opens.erase(opens.begin());
  if (Link* l = link_of(a)) {
    uint16_t c = conn_id(*l, i);
    later(3, [o, c] {
      o->settled = true;
      emit_open(o->owner, o->address, 0x91, c);
    });
    return 0;
  }
  if (!d || d->text("open", "0") == "never") {
    bool forever = d && d->number("open_lost", 0);
    if (!forever)
      later(d ? d->number("open_limit", 20000) : 20000, [o] {
        if (o->settled) return;
        o->settled = true;
        note("open_limit", o->address);
        emit_disconnect(Link{o->address, o->owner, 61, {}}, 0x100);
        later(2, [o] { emit_open(o->owner, o->address, 0x85, 0); });
      });
    return 0;
  }
  later(d->number("open_ms", 60), [o] { open_now(o); });
  return 0;
}
esp_err_t esp_ble_gattc_cancel_open(esp_ble_gattc_cancel_open_params_t* q) {
  LOCK;
  uint64_t a = to_int(q->remote_bda);
  esp_gatt_if_t i = q->gattc_if;
  note("cancel", a, i);
  FAILING("cancel_error", a);
  Device* d = device(a);
  if (d && d->number("cancel_lost", 0)) {
    for (auto& o : opens)
      if (o->address == a) o->settled = true;
    return 0;
  }
  int status = 0x85;
  if (!d || !d->number("cancel_late", 0))
    for (auto& o : opens)
      if (!o->settled && o->address == a && o->owner == i) {
        o->settled = true;
        status = 0;
      }
  later(10, [a, i, status] {
    esp_ble_gattc_cb_param_t p{};
    p.cancel_open.status = (esp_gatt_status_t)status;
    to_bytes(a, p.cancel_open.remote_bda);
    emit(ESP_GATTC_CANCEL_OPEN_EVT, i, p);
  });
  return 0;
}
esp_err_t esp_ble_gattc_close(esp_gatt_if_t i, uint16_t c) {
  LOCK;
  Link* l = link_by(c);
  note("close", l ? l->address : 0, i);
  if (!l) return 0;
  Link gone = *l;
  Device* d = device(gone.address);
  int lost = d ? d->number("close_lost", 0) : 0, linger = d ? d->number("linger", 15) : 15;
  later(3, [gone, lost, linger] {
    unlink(gone.address);
    int why = 0;
    if (Device* k = device(gone.address)) why = k->number("close_reason", 0);
    if (!lost) emit_close(gone, why);
    later(linger, [gone] { emit_disconnect(gone, 0x16); });
  });
  return 0;
}
esp_err_t esp_ble_gattc_send_mtu_req(esp_gatt_if_t i, uint16_t c) {
  LOCK;
  Link* l = link_by(c);
  if (!l) return ESP_FAIL;
  Device* d = device(l->address);
  FAILING("mtu_error", l->address);
  int mtu = d->number("mtu", 247);
  if (mtu < 0) return 0;
  later(d->number("mtu_ms", 20), [i, c, mtu] {
    if (!link_by(c)) return;
    esp_ble_gattc_cb_param_t p{};
    p.cfg_mtu.status = mtu ? ESP_GATT_OK : ESP_GATT_ERROR;
    p.cfg_mtu.conn_id = c;
    p.cfg_mtu.mtu = mtu ? mtu : 23;
    emit(ESP_GATTC_CFG_MTU_EVT, i, p);
  });
  return 0;
}
esp_err_t esp_ble_gattc_search_service(esp_gatt_if_t i, uint16_t c, esp_bt_uuid_t*) {
  LOCK;
  Link* l = link_by(c);
  if (!l) return ESP_FAIL;
  Device* d = device(l->address);
  int s = d->number("search", 0);
  if (s < 0) return 0;
  later(d->number("search_ms", 60), [i, c, s] {
    if (!link_by(c)) return;
    esp_ble_gattc_cb_param_t p{};
    p.search_cmpl.status = (esp_gatt_status_t)s;
    p.search_cmpl.conn_id = c;
    emit(ESP_GATTC_SEARCH_CMPL_EVT, i, p);
  });
  return 0;
}
#define LINKED \
  LOCK;        \
  if (!link_by(c)) return ESP_ERR_INVALID_STATE
esp_err_t esp_ble_gattc_read_char(esp_gatt_if_t, uint16_t c, uint16_t h, esp_gatt_auth_req_t) {
  LINKED;
  FAILING("busy", link_by(c)->address);
  answer(ESP_GATTC_READ_CHAR_EVT, c, h, "read", {});
  return 0;
}
esp_err_t esp_ble_gattc_read_char_descr(esp_gatt_if_t, uint16_t c, uint16_t h,
                                        esp_gatt_auth_req_t) {
  LINKED;
  answer(ESP_GATTC_READ_DESCR_EVT, c, h, "read", {});
  return 0;
}
esp_err_t esp_ble_gattc_write_char(esp_gatt_if_t, uint16_t c, uint16_t h, uint16_t n, uint8_t* v,
                                   esp_gatt_write_type_t, esp_gatt_auth_req_t) {
  LINKED;
  FAILING("busy", link_by(c)->address);
  if (!n) return ESP_ERR_INVALID_ARG;
  answer(ESP_GATTC_WRITE_CHAR_EVT, c, h, "write", Bytes(v, v + n));
  return 0;
}
esp_err_t esp_ble_gattc_write_char_descr(esp_gatt_if_t, uint16_t c, uint16_t h, uint16_t n,
                                         uint8_t* v, esp_gatt_write_type_t, esp_gatt_auth_req_t) {
  LINKED;
  answer(ESP_GATTC_WRITE_DESCR_EVT, c, h, "write", Bytes(v, v + n));
  return 0;
}
esp_err_t esp_ble_gattc_register_for_notify(esp_gatt_if_t i, esp_bd_addr_t b, uint16_t h) {
  LOCK;
  uint64_t a = to_int(b);
  Link* l = link_of(a);
  int full = l && l->notify.size() >= 12 && !l->notify.count(h);
  if (l && !full) l->notify.insert(h);
  later(2, [i, h, full] {
    esp_ble_gattc_cb_param_t p{};
    p.reg_for_notify.status = full ? ESP_GATT_NO_RESOURCES : ESP_GATT_OK;
    p.reg_for_notify.handle = h;
    emit(ESP_GATTC_REG_FOR_NOTIFY_EVT, i, p);
  });
  return 0;
}
esp_err_t esp_ble_gattc_unregister_for_notify(esp_gatt_if_t i, esp_bd_addr_t b, uint16_t h) {
  LOCK;
  uint64_t a = to_int(b);
  Link* l = link_of(a);
  if (l) l->notify.erase(h);
  later(2, [i, h] {
    esp_ble_gattc_cb_param_t p{};
    p.unreg_for_notify.handle = h;
    emit(ESP_GATTC_UNREG_FOR_NOTIFY_EVT, i, p);
  });
  return 0;
}
esp_err_t esp_ble_gattc_cache_clean(esp_bd_addr_t b) {
  LOCK;
  note("cache_clean", to_int(b));
  FAILING("clean_error", to_int(b));
  return 0;
}
esp_gatt_status_t esp_ble_gattc_get_attr_count(esp_gatt_if_t, uint16_t c,
                                               esp_gatt_db_attr_type_t kind, uint16_t first,
                                               uint16_t, uint16_t handle, uint16_t* count) {
  LOCK;
  *count = 0;
  Link* l = link_by(c);
  if (!l) return ESP_GATT_ERROR;
  Device& d = *device(l->address);
  if (kind == ESP_GATT_DB_PRIMARY_SERVICE)
    *count = d.services.size();
  else if (kind == ESP_GATT_DB_CHARACTERISTIC) {
    for (auto& s : d.services)
      if (s.start == first) *count = s.characteristics.size();
  } else if (kind == ESP_GATT_DB_DESCRIPTOR) {
    auto* k = characteristic(d, handle);
    if (k) *count = k->descriptors.size();
  }
  return ESP_GATT_OK;
}
esp_gatt_status_t esp_ble_gattc_get_service(esp_gatt_if_t, uint16_t c, esp_bt_uuid_t*,
                                            esp_gattc_service_elem_t* out, uint16_t* n,
                                            uint16_t offset) {
  LOCK;
  Link* l = link_by(c);
  if (!l) return ESP_GATT_ERROR;
  Device& d = *device(l->address);
  if (d.number("walk_error", -1) == offset) return ESP_GATT_ERROR;
  if (offset >= d.services.size()) {
    *n = 0;
    return ESP_GATT_NOT_FOUND;
  }
  auto& s = d.services[offset];
  *out = {true, s.start, s.end, s.uuid};
  *n = 1;
  return ESP_GATT_OK;
}
esp_gatt_status_t esp_ble_gattc_get_all_char(esp_gatt_if_t, uint16_t c, uint16_t start, uint16_t,
                                             esp_gattc_char_elem_t* out, uint16_t* n,
                                             uint16_t offset) {
  LOCK;
  Link* l = link_by(c);
  if (!l) return ESP_GATT_ERROR;
  for (auto& s : device(l->address)->services)
    if (s.start == start && offset < s.characteristics.size()) {
      auto& k = s.characteristics[offset];
      *out = {k.handle, k.properties, k.uuid};
      *n = 1;
      return ESP_GATT_OK;
    }
  *n = 0;
  return ESP_GATT_NOT_FOUND;
}
esp_gatt_status_t esp_ble_gattc_get_all_descr(esp_gatt_if_t, uint16_t c, uint16_t h,
                                              esp_gattc_descr_elem_t* out, uint16_t* n,
                                              uint16_t offset) {
  LOCK;
  Link* l = link_by(c);
  if (!l) return ESP_GATT_ERROR;
  auto* k = characteristic(*device(l->address), h);
  if (!k || offset >= k->descriptors.size()) {
    *n = 0;
    return ESP_GATT_NOT_FOUND;
  }
  *out = {k->descriptors[offset].handle, k->descriptors[offset].uuid};
  *n = 1;
  return ESP_GATT_OK;
}
}
