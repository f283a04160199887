static CODEACT_LAST: ::std::sync::Mutex<(String, String)> = ::std::sync::Mutex::new((String::new(), String::new()));
fn codeact_cut(text: String) -> String { if text.chars().count() > 60 { text.chars().take(57).chain("...".chars()).collect() } else { text } }
struct CodeactShort(String);  // ends the writing of a long value
impl ::std::fmt::Write for CodeactShort {
    fn write_str(&mut self, text: &str) -> ::std::fmt::Result { self.0.push_str(text); if self.0.len() > 300 { Err(::std::fmt::Error) } else { Ok(()) } }
}
fn codeact_shown(value: &dyn ::std::fmt::Debug) -> String { let mut out = CodeactShort(String::new()); let _ = ::std::fmt::write(&mut out, format_args!("{:?}", value)); out.0 }
fn codeact_called(name: &str, given: &[&dyn ::std::fmt::Debug]) {
    let shown: Vec<String> = given.iter().map(|one| codeact_shown(*one)).collect();
    *CODEACT_LAST.lock().unwrap_or_else(|e| e.into_inner()) = (format!("{}({})", name, codeact_cut(shown.join(", "))), String::new());
}
fn codeact_gave(value: &dyn ::std::fmt::Debug) { CODEACT_LAST.lock().unwrap_or_else(|e| e.into_inner()).1 = format!(" gave {}", codeact_cut(codeact_shown(value))); }
struct CodeactSaid;
impl Drop for CodeactSaid {
    fn drop(&mut self) {
        let last = CODEACT_LAST.lock().unwrap_or_else(|e| e.into_inner());
        if ::std::thread::panicking() && !last.0.is_empty() { ::std::println!("\ncodeact_said; the last call: {}{}", last.0, last.1); }
    }
}
