#include <optional>
#include <tuple>
#include <utility>
namespace codeact {
static size_t most = -1;  // characters, about, after which a list is not shown further
#ifdef CODEACT_ANY  // where what cannot be shown is no fault
struct Any { template <class T> Any(const T &) {} };
inline void show(std::string &o, const Any &) { o += '?'; }
template <class T> void show(std::string &o, T *) { o += "a pointer"; }
inline void show(std::string &o, const char *) { o += "a pointer"; }  // nobody knows where it ends
#endif
inline void show(std::string &o, bool v) { o += v ? "true" : "false"; }
inline void show(std::string &o, const std::string &v) {
  o += '"';
  for (unsigned char c : v) { if (c == '"' || c == '\\') { o += '\\'; o += c; } else if (c < 32) { char b[8]; snprintf(b, 8, "\\u%04x", c); o += b; } else o += c; }
  o += '"';
}
#ifndef CODEACT_ANY
inline void show(std::string &o, const char *v) { show(o, std::string(v)); }
#endif
inline void show(std::string &o, char v) { show(o, std::string(1, v)); }
template <class T> std::enable_if_t<std::is_integral_v<T>> show(std::string &o, T v) { o += std::to_string(v); }
template <class T> std::enable_if_t<std::is_floating_point_v<T>> show(std::string &o, T v) {
  if (v != v) { o += "NaN"; return; }
  if (v - v != 0) { o += v > 0 ? "Infinity" : "-Infinity"; return; }
  char b[64]; snprintf(b, 64, std::is_same_v<T, float> ? "%.9g" : "%.17g", double(v)); o += b;
  if (!strpbrk(b, ".e")) o += ".0";
}
template <class A, class B> void show(std::string &, const std::pair<A, B> &);
template <class... T> void show(std::string &, const std::tuple<T...> &);
template <class T> void show(std::string &, const std::optional<T> &);
template <class C> auto show(std::string &, const C &) -> std::void_t<typename C::value_type, decltype(std::declval<C>().begin())>;
template <class A, class B> void show(std::string &o, const std::pair<A, B> &v) { o += '['; show(o, v.first); o += ','; show(o, v.second); o += ']'; }
template <class... T> void show(std::string &o, const std::tuple<T...> &v) {
  o += '['; bool first = true;
  std::apply([&](auto &...x) { ((first ? void(first = false) : void(o += ','), show(o, x)), ...); }, v); o += ']';
}
template <class T> void show(std::string &o, const std::optional<T> &v) { if (v) show(o, *v); else o += "null"; }
template <class C, class = void> struct Keyed : std::false_type {};
template <class C> struct Keyed<C, std::void_t<typename C::mapped_type>> : std::true_type {};
template <class C> auto show(std::string &o, const C &v) -> std::void_t<typename C::value_type, decltype(std::declval<C>().begin())> {
  bool first = true; o += Keyed<C>::value ? '{' : '[';
  for (auto it = v.begin(); it != v.end() && o.size() < most; ++it) {
    if (!first) o += ','; first = false;
    if constexpr (Keyed<C>::value) {
      std::string key; show(key, it->first); if (key[0] == '"') o += key; else show(o, key);
      o += ':'; show(o, it->second);
    } else show(o, typename C::value_type(*it));
  }
  o += Keyed<C>::value ? '}' : ']';
}
}
