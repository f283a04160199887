func codeact_read(t reflect.Type, v interface{}) reflect.Value {
    out := reflect.New(t).Elem()
    if v == nil { return out }
    switch t.Kind() {
    case reflect.Slice, reflect.Array:
        items := v.([]interface{})
        if t.Kind() == reflect.Slice { out = reflect.MakeSlice(t, len(items), len(items)) }
        for i, item := range items { out.Index(i).Set(codeact_read(t.Elem(), item)) }
    case reflect.Map:
        out = reflect.MakeMap(t)
        for key, item := range v.(map[string]interface{}) {
            var k interface{} = key
            if t.Key().Kind() != reflect.String && t.Key().Kind() != reflect.Interface { k = json.Number(key) }
            out.SetMapIndex(codeact_read(t.Key(), k), codeact_read(t.Elem(), item))
        }
    case reflect.Ptr:
        out = reflect.New(t.Elem()); out.Elem().Set(codeact_read(t.Elem(), v))
    case reflect.Struct:
        text, _ := json.Marshal(v)
        if err := json.Unmarshal(text, out.Addr().Interface()); err != nil { panic(err) }
    case reflect.Interface:
        if n, ok := v.(json.Number); ok {
            if i, err := strconv.Atoi(n.String()); err == nil { v = i } else { f, _ := n.Float64(); v = f }
        }
        out.Set(reflect.ValueOf(v))
    case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
        if s, ok := v.(string); ok { out.SetInt(int64([]rune(s)[0])); break }
        i, err := strconv.ParseInt(v.(json.Number).String(), 10, 64); if err != nil { panic(err) }; out.SetInt(i)
    case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
        if s, ok := v.(string); ok { out.SetUint(uint64([]rune(s)[0])); break }
        i, err := strconv.ParseUint(v.(json.Number).String(), 10, 64); if err != nil { panic(err) }; out.SetUint(i)
    case reflect.Float32, reflect.Float64:
        f, err := v.(json.Number).Float64(); if err != nil { panic(err) }; out.SetFloat(f)
    case reflect.Bool: out.SetBool(v.(bool))
    default: out.Set(reflect.ValueOf(v).Convert(t))
    }
    return out
}
func codeact_show(v reflect.Value) string {
    if !v.IsValid() { return "null" }
    join := func(n int, at func(int) reflect.Value) string {
        out := "["
        for i := 0; i < n; i++ { if i > 0 { out += "," }; out += codeact_show(at(i)) }
        return out + "]"
    }
    switch v.Kind() {
    case reflect.Slice, reflect.Array: return join(v.Len(), v.Index)
    case reflect.Struct: return join(v.NumField(), v.Field)
    case reflect.Ptr, reflect.Interface:
        if v.IsNil() { return "null" }
        if e, ok := v.Interface().(error); ok { text, _ := json.Marshal(e.Error()); return string(text) }
        return codeact_show(v.Elem())
    case reflect.Map:
        parts := []string{}
        for _, key := range v.MapKeys() {
            text, _ := json.Marshal(fmt.Sprint(key.Interface()))
            parts = append(parts, string(text) + ":" + codeact_show(v.MapIndex(key)))
        }
        sort.Strings(parts)
        out := "{"
        for i, part := range parts { if i > 0 { out += "," }; out += part }
        return out + "}"
    case reflect.Float32, reflect.Float64:
        f := v.Float()
        if math.IsNaN(f) { return "NaN" }
        if math.IsInf(f, 1) { return "Infinity" }
        if math.IsInf(f, -1) { return "-Infinity" }
        bits := 64; if v.Kind() == reflect.Float32 { bits = 32 }
        out := strconv.FormatFloat(f, 'g', -1, bits)
        if _, err := strconv.Atoi(out); err == nil { out += ".0" }
        return out
    case reflect.String: text, _ := json.Marshal(v.String()); return string(text)
    case reflect.Bool: return strconv.FormatBool(v.Bool())
    case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int: return strconv.FormatInt(v.Int(), 10)
    case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint: return strconv.FormatUint(v.Uint(), 10)
    }
    return "\"no value that JSON has\""
}
func codeact_tell(number int, f interface{}, text string) {
    var given []interface{}
    from := json.NewDecoder(&codeact_text{text, 0}); from.UseNumber()
    if err := from.Decode(&given); err != nil { panic(err) }
    call := reflect.ValueOf(f)
    arguments := make([]reflect.Value, len(given))
    for i, item := range given {
        t := call.Type()
        if t.IsVariadic() && i >= t.NumIn() - 1 { arguments[i] = codeact_read(t.In(t.NumIn() - 1).Elem(), item) } else { arguments[i] = codeact_read(t.In(i), item) }
    }
    found := call.Call(arguments)
    out := "null"
    if len(found) == 1 { out = codeact_show(found[0]) }
    if len(found) > 1 {
        out = "["
        for i, value := range found { if i > 0 { out += "," }; out += codeact_show(value) }
        out += "]"
    }
    fmt.Printf("\n%s %d %s\n", codeact_mark, number, out)
}
type codeact_text struct { text string; at int }
func (r *codeact_text) Read(p []byte) (int, error) {
    if r.at >= len(r.text) { return 0, fmt.Errorf("end") }
    n := copy(p, r.text[r.at:]); r.at += n
    return n, nil
}
