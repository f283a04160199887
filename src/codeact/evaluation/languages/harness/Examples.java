class CodeactReader {
    static String text; static int at;
    static void blanks() { while (at < text.length() && " ,:".indexOf(text.charAt(at)) >= 0) at++; }
    static Object value() {
        blanks(); char c = text.charAt(at);
        if (c == '[') { at++; List<Object> v = new ArrayList<>(); for (blanks(); text.charAt(at) != ']'; blanks()) v.add(value()); at++; return v; }
        if (c == '{') { at++; Map<String, Object> v = new LinkedHashMap<>(); for (blanks(); text.charAt(at) != '}'; blanks()) { String k = (String) value(); v.put(k, value()); } at++; return v; }
        if (c == '"') {
            StringBuilder s = new StringBuilder(); at++;
            while (text.charAt(at) != '"') {
                char x = text.charAt(at++);
                if (x != '\\') { s.append(x); continue; }
                x = text.charAt(at++);
                if (x == 'u') { s.append((char) Integer.parseInt(text.substring(at, at + 4), 16)); at += 4; }
                else s.append(x == 'n' ? '\n' : x == 't' ? '\t' : x == 'r' ? '\r' : x == 'b' ? '\b' : x == 'f' ? '\f' : x);
            }
            at++; return s.toString();
        }
        int from = at; while (at < text.length() && ",]} :".indexOf(text.charAt(at)) < 0) at++;
        String s = text.substring(from, at);
        if (s.equals("null")) return null;
        if (s.equals("true") || s.equals("false")) return s.equals("true");
        return new java.math.BigDecimal(s);
    }
    static Object as(java.lang.reflect.Type t, Object v) {
        java.lang.reflect.Type[] inner = t instanceof java.lang.reflect.ParameterizedType ? ((java.lang.reflect.ParameterizedType) t).getActualTypeArguments() : null;
        Class<?> c = t instanceof Class ? (Class<?>) t : inner != null ? (Class<?>) ((java.lang.reflect.ParameterizedType) t).getRawType() : Object.class;
        java.lang.reflect.Type a = inner != null ? inner[0] : Object.class;
        if (c == Optional.class) return Optional.ofNullable(v == null ? null : as(a, v));
        if (v == null) return null;
        if (t instanceof java.lang.reflect.GenericArrayType || c.isArray()) {
            java.lang.reflect.Type e = t instanceof Class ? c.getComponentType() : ((java.lang.reflect.GenericArrayType) t).getGenericComponentType();
            Class<?> raw = e instanceof Class ? (Class<?>) e : (Class<?>) ((java.lang.reflect.ParameterizedType) e).getRawType();
            List<?> items = (List<?>) v; Object out = java.lang.reflect.Array.newInstance(raw, items.size());
            for (int i = 0; i < items.size(); i++) java.lang.reflect.Array.set(out, i, as(e, items.get(i)));
            return out;
        }
        if (v instanceof java.math.BigDecimal) {
            java.math.BigDecimal n = (java.math.BigDecimal) v;
            if (c == int.class || c == Integer.class) return n.intValueExact();
            if (c == long.class || c == Long.class) return n.longValueExact();
            if (c == double.class || c == Double.class) return n.doubleValue();
            if (c == float.class || c == Float.class) return n.floatValue();
            if (c == short.class || c == Short.class) return n.shortValueExact();
            if (c == byte.class || c == Byte.class) return n.byteValueExact();
            if (c == java.math.BigInteger.class) return n.toBigIntegerExact();
            if (c == java.math.BigDecimal.class) return n;
            if (n.scale() <= 0) { try { return n.intValueExact(); } catch (ArithmeticException e) { return n.toBigInteger(); } }
            return n.doubleValue();
        }
        if (v instanceof String) return c == char.class || c == Character.class ? (Object) ((String) v).charAt(0) : v;
        if (v instanceof List) {
            Collection<Object> out = Set.class.isAssignableFrom(c) ? new LinkedHashSet<>() : Queue.class.isAssignableFrom(c) || c == LinkedList.class ? new LinkedList<>() : new ArrayList<>();
            for (Object o : (List<?>) v) out.add(as(a, o));
            return out;
        }
        if (v instanceof Map) {
            Map<Object, Object> out = c == TreeMap.class ? new TreeMap<>() : new LinkedHashMap<>();
            for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
                Object k = e.getKey(); if (inner != null && inner[0] != String.class && inner[0] != Character.class && inner[0] != Object.class) k = new java.math.BigDecimal((String) k);
                out.put(as(a, k), as(inner != null ? inner[1] : Object.class, e.getValue()));
            }
            return out;
        }
        return v;
    }
    static void show(StringBuilder o, Object v) {
        if (v instanceof Optional) v = ((Optional<?>) v).orElse(null);
        if (v == null) o.append("null");
        else if (v instanceof Boolean || v instanceof Double || v instanceof Float || v instanceof java.math.BigDecimal) o.append(v);
        else if (v instanceof Number) o.append(v);
        else if (v instanceof CharSequence || v instanceof Character) {
            o.append('"');
            for (char x : v.toString().toCharArray()) if (x < 32 || x > 126 || x == '"' || x == '\\') o.append(String.format("\\u%04x", (int) x)); else o.append(x);
            o.append('"');
        } else if (v.getClass().isArray()) {
            o.append('['); for (int i = 0; i < java.lang.reflect.Array.getLength(v); i++) { if (i > 0) o.append(','); show(o, java.lang.reflect.Array.get(v, i)); } o.append(']');
        } else if (v instanceof Iterable) {
            o.append('['); boolean first = true; for (Object x : (Iterable<?>) v) { if (!first) o.append(','); first = false; show(o, x); } o.append(']');
        } else if (v instanceof Map) {
            o.append('{'); boolean first = true;
            for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) { if (!first) o.append(','); first = false; show(o, String.valueOf(e.getKey())); o.append(':'); show(o, e.getValue()); }
            o.append('}');
        } else o.append("\"no value that JSON has\"");
    }
    static void tell(String mark, int number, Class<?> owner, String name, String json) throws Throwable {
        text = json; at = 0; List<?> given = (List<?>) value();
        for (java.lang.reflect.Method m : owner.getDeclaredMethods()) {
            if (!m.getName().equals(name) || m.getParameterCount() != given.size() || m.isSynthetic()) continue;
            m.setAccessible(true);
            Object[] arguments = new Object[given.size()];
            for (int i = 0; i < arguments.length; i++) arguments[i] = as(m.getGenericParameterTypes()[i], given.get(i));
            Object self = null;
            if (!java.lang.reflect.Modifier.isStatic(m.getModifiers())) { java.lang.reflect.Constructor<?> make = owner.getDeclaredConstructor(); make.setAccessible(true); self = make.newInstance(); }
            Object found;
            try { found = m.invoke(self, arguments); } catch (java.lang.reflect.InvocationTargetException e) { throw e.getCause(); }
            StringBuilder o = new StringBuilder(); show(o, found);
            System.out.println("\n" + mark + " " + number + " " + o); System.out.flush();
            return;
        }
        throw new NoSuchMethodException(name + " with " + given.size() + " arguments");
    }
}
