const codeact_say = (write => text => write(text + '\n'))(process.stdout.write.bind(process.stdout));
const codeact_err = process.stderr.write.bind(process.stderr), codeact_exit = process.exit.bind(process);
const codeact_check = (ok, ...why) => { if (!ok) throw new Error('assertion failed ' + why.join(' ')); };
const codeact_that = (ok, text, values) => {
  if (ok) return;
  try { for (const [name, value] of values()) text += '; ' + name + ' = ' + codeact_shown(value); } catch { }
  throw new Error('assertion failed: ' + text);
};
const {Object, Array, JSON, Math, Number, String, Boolean, Symbol, Map, Set, Error, Promise, RegExp, Date, BigInt, Reflect, Proxy, isNaN, parseInt, parseFloat, structuredClone} = globalThis;
const [codeact_load, codeact_take, codeact_told, codeact_shown] = (() => {
  const vm = require('vm'), fs = require('fs'), path = require('path'), real = require;
  const kept = Object.create(null);
  for (const name of ASKED) { try { kept[name] = real(name); } catch { } }
  const freeze = (v, seen = new Set()) => {
    if ((typeof v !== 'object' && typeof v !== 'function') || v === null || seen.has(v)) return;
    seen.add(v); Object.freeze(v);
    for (const key of Reflect.ownKeys(v)) { const d = Reflect.getOwnPropertyDescriptor(v, key); if (d && 'value' in d) freeze(d.value, seen); }
  };
  for (const name of ['assert', 'node:assert', 'assert/strict', 'node:assert/strict']) freeze(real(name));
  globalThis.codeact_kept = kept;
  const own = vm.createContext({require: real, module: {exports: {}}, exports: {}, console, process, Buffer, URL, URLSearchParams, TextEncoder, TextDecoder,
    setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, queueMicrotask, performance, structuredClone, crypto: globalThis.crypto});
  vm.runInContext('var global = globalThis, window = undefined;', own);
  const clone = structuredClone, apply = Reflect.apply, stringify = JSON.stringify;
  // An error of the program's realm as one of the tests' realm, of the same name: `assert.throws(..., RangeError)` asks for that.
  const kinds = {Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError};
  const theirs = Object.keys(kinds).map(name => [name, vm.runInContext(name, own).prototype]), parent = Object.getPrototypeOf;
  const mine = e => {
    const found = e !== null && typeof e === 'object' && theirs.find(([, prototype]) => parent(e) === prototype);
    if (!found) return e;
    const made = new kinds[found[0]](String(e.message));
    for (const key of ['code', 'name']) if (Object.hasOwn(e, key) && typeof e[key] !== 'object') made[key] = e[key];
    return made;
  };
  const plain = v => {
    if ((typeof v !== 'object' && typeof v !== 'function') || v === null || typeof v === 'function') return v;
    if (typeof v.then === 'function') return new Promise((yes, no) => v.then(yes, e => no(mine(e)))).then(plain);
    try { return clone(v); } catch { return v; }
  };
  const run = vm.runInContext, text = fs.readFileSync(path.join(__dirname, 'program.js'), 'utf8');
  const last = {}, shown = v => {
    let text;
    try { text = v === undefined ? 'undefined' : stringify(v); } catch { text = String(v); }
    return text.length > 60 ? text.slice(0, 57) + '...' : text;
  };
  // How it is called, written before it runs, which may change what it was given; a long list only where it is told.
  const small = v => (typeof v === 'string' || Array.isArray(v)) ? v.length < 1000 : true;
  const given = values => shown(Array.from(values)).slice(1, -1);
  const called = (name, values, f) => {
    last.name = name; last.ended = false; last.given = values.every(small) ? given(values) : values;
    last.value = f(); last.ended = true;
    return last.value;
  };
  return [() => { run(text, own, {filename: 'program.js'}); return run('globalThis.codeact_ready', own); }, name => {
    const found = run(`typeof ${name} === 'undefined' ? (module.exports && module.exports.${name}) || exports.${name} || module.exports : ${name}`, own);
    return typeof found === 'function' ? new Proxy(found, {apply: (f, self, values) => called(name, values, () => { let v; try { v = apply(f, self, values); } catch (e) { throw mine(e); } return plain(v); })}) : plain(found);
  }, text => {  // a test that throws says no values of its own: what the last call gave
    const head = text.split(/\n\s+at /)[0].trimEnd();
    if (!last.name) return head;
    const call = last.name + '(' + (typeof last.given === 'string' ? last.given : given(last.given)) + ')';
    return head + '; the last call: ' + call + (last.ended ? ' gave ' + shown(last.value) : '');
  }, shown];
})();
require = (kept => name => { if (!(name in kept)) throw new Error('module ' + name + ' is not there'); return kept[name]; })(globalThis.codeact_kept);
delete globalThis.codeact_kept;
