const codeact_show = v => {
  if (v === undefined || v === null || typeof v === 'function' || typeof v === 'symbol') return 'null';
  if (typeof v === 'number') return Object.is(v, -0) ? '0' : String(v);
  if (typeof v === 'bigint') return String(v);
  if (typeof v !== 'object') return JSON.stringify(v);
  if (v instanceof Map) v = Object.fromEntries(v);
  if (v instanceof Set || ArrayBuffer.isView(v)) v = Array.from(v);
  if (v instanceof Date) return JSON.stringify(v);
  if (Array.isArray(v)) return '[' + Array.from(v, codeact_show).join(',') + ']';
  return '{' + Object.keys(v).map(k => JSON.stringify(k) + ':' + codeact_show(v[k])).join(',') + '}';
};
