class CodeactPlain {
    static String name, given, failed;
    static Object[] values;
    static Object value;
    static boolean ended;
    /** How it is called, written before it runs, which may change what it was given; a long list only where it is told. */
    static void called(String called, Object... with) {
        name = called; values = with; given = null; ended = false;
        for (Object v : with) if (v instanceof java.util.Collection && ((java.util.Collection<?>) v).size() > 1000 || v != null && v.getClass().isArray() && java.lang.reflect.Array.getLength(v) > 1000) return;
        given = shown(with);
    }
    static Object told(Object found) { value = found; ended = true; return found; }
    static String said() {
        if (failed != null) return failed;
        if (name == null) return "";
        return "; the last call: " + name + "(" + (given == null ? shown(values) : given) + ")" + (ended ? " gave " + shown(value) : "");
    }
    static String shown(Object... values) { try { return cut(java.util.Arrays.deepToString(values)); } catch (RuntimeException e) { return "?"; } }
    /** One of several claims that are looked at together later: the first that does not hold is told. */
    static boolean holds(boolean ok, String text) { if (!ok && failed == null) failed = ": " + text + said(); return ok; }
    static String kept(String text, Object... names) {
        for (int i = 0; i < names.length; i += 2) text += "; " + names[i] + " = " + shown(new Object[] {names[i + 1]});
        return text;
    }
    static String cut(String text) { text = text.substring(1, text.length() - 1); return text.length() > 60 ? text.substring(0, 57) + "..." : text; }
    static Object of(Object v) {
        if (v == null) return null;
        if (v instanceof java.util.Optional) return ((java.util.Optional<?>) v).map(CodeactPlain::of);
        if (v instanceof java.util.List) { java.util.List<Object> c = new java.util.ArrayList<>(); for (Object o : (java.util.List<?>) v) c.add(of(o)); return c; }
        if (v instanceof java.util.Set) {
            java.util.Set<Object> c = v instanceof java.util.SortedSet ? new java.util.TreeSet<>(((java.util.SortedSet<Object>) v).comparator()) : new java.util.LinkedHashSet<>();
            for (Object o : (java.util.Set<?>) v) c.add(of(o)); return c; }
        if (v instanceof java.util.Map) {
            java.util.Map<Object, Object> c = v instanceof java.util.SortedMap ? new java.util.TreeMap<>(((java.util.SortedMap<Object, Object>) v).comparator()) : new java.util.LinkedHashMap<>();
            for (java.util.Map.Entry<?, ?> e : ((java.util.Map<?, ?>) v).entrySet()) c.put(of(e.getKey()), of(e.getValue())); return c; }
        if (v instanceof Object[]) { Object[] a = (Object[]) v; for (int i = 0; i < a.length; i++) a[i] = of(a[i]); return a; }
        if (v.getClass().getName().startsWith("java.") || v.getClass().isArray()) return v;
        if (v instanceof Number || v instanceof CharSequence) throw new IllegalStateException("a value of the program's own class " + v.getClass().getName());
        return v;
    }
}
