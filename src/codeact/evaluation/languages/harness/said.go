var codeact_now *testing.T
var codeact_name, codeact_gave string
var codeact_lock codeact_sync.Mutex  // tests may call it in goroutines
func codeact_keep(name, gave string) { codeact_lock.Lock(); defer codeact_lock.Unlock(); codeact_name, codeact_gave = name, gave }
func codeact_cut(text string) string { if len(text) > 60 { return text[:57] + "..." }; return text }
func codeact_said() {
    codeact_lock.Lock(); defer codeact_lock.Unlock()
    if codeact_name != "" { codeact_fmt.Println("\ncodeact_said; the last call: " + codeact_name + codeact_gave) }
}
// The function, which tells how it was called; what was last when a test failed stays.
func codeact_tells[F any](name string, f F) F {
    call := codeact_reflect.ValueOf(f)
    show := func(values []codeact_reflect.Value) string {
        out := ""
        for i, value := range values {
            if i > 0 { out += ", " }
            if k := value.Kind(); (k == codeact_reflect.Slice || k == codeact_reflect.Map || k == codeact_reflect.String) && value.Len() > 1000 { out += "..."
            } else if k == codeact_reflect.Slice || k == codeact_reflect.Map || k == codeact_reflect.String { out += codeact_fmt.Sprintf("%#v", value) } else { out += codeact_fmt.Sprintf("%+v", value) }
        }
        return codeact_cut(out)
    }
    return codeact_reflect.MakeFunc(call.Type(), func(given []codeact_reflect.Value) []codeact_reflect.Value {
        kept := codeact_now.Failed()
        called := ""
        if !kept { called = name + "(" + show(given) + ")"; codeact_keep(called, "") }
        var found []codeact_reflect.Value
        if call.Type().IsVariadic() { found = call.CallSlice(given) } else { found = call.Call(given) }
        if !kept { codeact_keep(called, " gave " + show(found)) }
        return found
    }).Interface().(F)
}
