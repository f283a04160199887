#include <csignal>
#include <unistd.h>
namespace codeact {
static thread_local std::string name, gave; static thread_local bool ended = false;  // tests may call it in threads
static std::string cut(const std::string &s) { return s.size() > 60 ? s.substr(0, 57) + "..." : s; }
static std::string said() { return name.empty() ? "" : "; the last call: " + name + (ended ? " gave " + gave : ""); }
template <class T> std::string shown(const T &v) { std::string o; show(o, v); return cut(o); }
template <class T> std::string kept(const char *what, const T &v) { std::string o = shown(v); return o == "?" ? "" : std::string("; ") + what + " = " + o; }
[[noreturn]] static void leave(const std::string &text) {
  std::string all = "\n" + text + said() + "\n"; fflush(stdout);
  if (write(2, all.c_str(), all.size())) {}
  _exit(1);
}
static void fail(const char *text, const std::string &values) { leave(std::string("Assertion `") + text + "' failed" + values); }
template <class F> struct Told;
template <class R, class... A> struct Told<R(A...)> {  // the function, which tells how it was called
  R (*f)(A...); const char *called;
  using Pointer = R (*)(A...);
  operator Pointer() const { return f; }
  R operator()(A... a) const {
    std::string given; bool first = true; ended = false;
    ((first ? void(first = false) : void(given += ", "), show(given, a)), ...);
    name = std::string(called) + "(" + cut(given) + ")";
    if constexpr (std::is_void_v<R>) { f(static_cast<A &&>(a)...); gave = "nothing"; ended = true; }
    else { R r = f(static_cast<A &&>(a)...); gave = shown(r); ended = true; return r; }
  }
};
static void fault(int number) {
  std::string all = "\n" + std::string(name.empty() ? "it ended" : "the last call: " + name + (ended ? " gave " + gave : "")) + "\n";
  if (write(2, all.c_str(), all.size())) {}
  signal(number, SIG_DFL); raise(number);
}
static void listen() {
  most = 60;
  static char room[1 << 16]; stack_t stack{}; stack.ss_sp = room; stack.ss_size = sizeof room; sigaltstack(&stack, nullptr);
  struct sigaction how{}; how.sa_handler = fault; how.sa_flags = SA_ONSTACK;
  for (int number : {SIGSEGV, SIGFPE, SIGBUS}) sigaction(number, &how, nullptr);
}
template <class F> void tests(F run) {
  listen();
  try { run(); }
  catch (const std::exception &e) { leave(std::string("Exception in the tests: ") + e.what()); }
  catch (...) { leave("Exception in the tests"); }
}
}
