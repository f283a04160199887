use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
#[derive(Clone, Debug)]
enum Json { Null, Number(String), Text(String), Bool(bool), List(Vec<Json>), Map(Vec<(String, Json)>) }
struct Parser { text: Vec<char>, at: usize }
impl Parser {
    fn blanks(&mut self) { while self.at < self.text.len() && " ,:".contains(self.text[self.at]) { self.at += 1; } }
    fn hex(&mut self) -> u32 { let s: String = self.text[self.at..self.at + 4].iter().collect(); self.at += 4; u32::from_str_radix(&s, 16).unwrap() }
    fn value(&mut self) -> Json {
        self.blanks();
        match self.text[self.at] {
            '[' => { self.at += 1; let mut v = vec![]; loop { self.blanks(); if self.text[self.at] == ']' { self.at += 1; return Json::List(v); } v.push(self.value()); } }
            '{' => { self.at += 1; let mut v = vec![]; loop { self.blanks(); if self.text[self.at] == '}' { self.at += 1; return Json::Map(v); }
                let key = match self.value() { Json::Text(s) => s, _ => panic!() }; let item = self.value(); v.push((key, item)); } }
            '"' => { self.at += 1; let mut s = String::new(); loop { let c = self.text[self.at]; self.at += 1; match c {
                '"' => return Json::Text(s),
                '\\' => { let e = self.text[self.at]; self.at += 1; match e {
                    'u' => { let mut n = self.hex(); if n >> 10 == 0x36 { self.at += 2; n = 0x10000 + ((n & 1023) << 10) + (self.hex() & 1023); } s.push(char::from_u32(n).unwrap_or('\u{fffd}')); }
                    'n' => s.push('\n'), 't' => s.push('\t'), 'r' => s.push('\r'), 'b' => s.push('\u{8}'), 'f' => s.push('\u{c}'), other => s.push(other) } }
                _ => s.push(c) } } }
            _ => { let mut s = String::new(); while self.at < self.text.len() && !",]} :".contains(self.text[self.at]) { s.push(self.text[self.at]); self.at += 1; }
                match s.as_str() { "null" => Json::Null, "true" => Json::Bool(true), "false" => Json::Bool(false), _ => Json::Number(s) } }
        }
    }
}
fn codeact_parse(text: &str) -> Vec<Json> {
    match (Parser { text: text.chars().collect(), at: 0 }).value() { Json::List(v) => v, _ => vec![] }
}
trait Read: Sized { fn read(j: &Json) -> Self; }
trait Show { fn show(&self) -> String; }
fn codeact_show<T: Show>(v: &T) -> String { v.show() }
fn quoted(s: &str) -> String {
    let mut o = String::from("\"");
    for c in s.chars() { match c { '"' => o.push_str("\\\""), '\\' => o.push_str("\\\\"), c if (c as u32) < 32 => o.push_str(&format!("\\u{:04x}", c as u32)), c => o.push(c) } }
    o + "\""
}
macro_rules! whole { ($($t:ty),*) => { $(
    impl Read for $t { fn read(j: &Json) -> Self { match j { Json::Number(s) => s.parse().unwrap(), _ => panic!("{:?} is no whole number", j) } } }
    impl Show for $t { fn show(&self) -> String { self.to_string() } } )* } }
whole!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);
macro_rules! real { ($($t:ty),*) => { $(
    impl Read for $t { fn read(j: &Json) -> Self { match j { Json::Number(s) => s.parse().unwrap(), _ => panic!("{:?} is no number", j) } } }
    impl Show for $t { fn show(&self) -> String {
        if self.is_nan() { "NaN".into() } else if self.is_infinite() { if *self > 0.0 { "Infinity".into() } else { "-Infinity".into() } } else { format!("{:?}", self) } } } )* } }
real!(f32, f64);
impl Read for bool { fn read(j: &Json) -> Self { match j { Json::Bool(b) => *b, _ => panic!("{:?} is no bool", j) } } }
impl Read for char { fn read(j: &Json) -> Self { match j { Json::Text(s) => s.chars().next().unwrap(), _ => panic!("{:?} is no text", j) } } }
impl Read for String { fn read(j: &Json) -> Self { match j { Json::Text(s) => s.clone(), Json::Number(s) => s.clone(), _ => panic!("{:?} is no text", j) } } }
impl Read for &'static str { fn read(j: &Json) -> Self { Box::leak(String::read(j).into_boxed_str()) } }
impl Read for () { fn read(_: &Json) -> Self {} }
impl<T: Read> Read for Vec<T> { fn read(j: &Json) -> Self { match j { Json::List(v) => v.iter().map(T::read).collect(), _ => panic!("{:?} is no list", j) } } }
impl<T: Read> Read for VecDeque<T> { fn read(j: &Json) -> Self { Vec::<T>::read(j).into() } }
impl<T: Read + Eq + std::hash::Hash> Read for HashSet<T> { fn read(j: &Json) -> Self { Vec::<T>::read(j).into_iter().collect() } }
impl<T: Read + Ord> Read for BTreeSet<T> { fn read(j: &Json) -> Self { Vec::<T>::read(j).into_iter().collect() } }
impl<T: Read> Read for Option<T> { fn read(j: &Json) -> Self { match j { Json::Null => None, _ => Some(T::read(j)) } } }
impl<T: Read> Read for Box<T> { fn read(j: &Json) -> Self { Box::new(T::read(j)) } }
impl<T: Read + 'static> Read for &'static [T] { fn read(j: &Json) -> Self { Box::leak(Vec::<T>::read(j).into_boxed_slice()) } }
impl<T: Read + 'static> Read for &'static mut [T] { fn read(j: &Json) -> Self { Box::leak(Vec::<T>::read(j).into_boxed_slice()) } }
impl<T: Read, const N: usize> Read for [T; N] { fn read(j: &Json) -> Self { Vec::<T>::read(j).try_into().ok().unwrap() } }
macro_rules! by_reference { ($($t:ty),*) => { $(
    impl Read for &'static $t { fn read(j: &Json) -> Self { Box::leak(Box::new(<$t>::read(j))) } }
    impl Read for &'static mut $t { fn read(j: &Json) -> Self { Box::leak(Box::new(<$t>::read(j))) } } )* } }
by_reference!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64, bool, char, String);
macro_rules! by_reference_of { ($($t:ident),*) => { $(
    impl<T: Read + 'static> Read for &'static $t<T> where $t<T>: Read { fn read(j: &Json) -> Self { Box::leak(Box::new($t::<T>::read(j))) } }
    impl<T: Read + 'static> Read for &'static mut $t<T> where $t<T>: Read { fn read(j: &Json) -> Self { Box::leak(Box::new($t::<T>::read(j))) } } )* } }
by_reference_of!(Vec, VecDeque, HashSet, BTreeSet, Option);
fn key<K: Read>(s: &str) -> K { if std::any::type_name::<K>().contains("str") || std::any::type_name::<K>().contains("Str") || std::any::type_name::<K>() == "char" { K::read(&Json::Text(s.into())) } else { K::read(&Json::Number(s.into())) } }
macro_rules! maps { ($($m:ident: $($b:path),*);*) => { $(
    impl<K: Read $(+ $b)*, V: Read> Read for $m<K, V> { fn read(j: &Json) -> Self { match j { Json::Map(v) => v.iter().map(|(k, x)| (key::<K>(k), V::read(x))).collect(), _ => panic!("{:?} is no object", j) } } }
    impl<K: Read $(+ $b)* + 'static, V: Read + 'static> Read for &'static $m<K, V> { fn read(j: &Json) -> Self { Box::leak(Box::new($m::<K, V>::read(j))) } }
    impl<K: Show, V: Show> Show for $m<K, V> { fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(|(k, v)| { let k = k.show(); format!("{}:{}", if k.starts_with('"') { k } else { quoted(&k) }, v.show()) }).collect(); format!("{{{}}}", items.join(",")) } } )* } }
maps!(HashMap: Eq, std::hash::Hash; BTreeMap: Ord);
macro_rules! tuples { ($(($($t:ident $n:tt),*)),*) => { $(
    impl<$($t: Read),*> Read for ($($t,)*) { fn read(j: &Json) -> Self { match j { Json::List(v) => ($($t::read(&v[$n]),)*), _ => panic!("{:?} is no list", j) } } }
    impl<$($t: Show),*> Show for ($($t,)*) { fn show(&self) -> String { format!("[{}]", [$(self.$n.show()),*].join(",")) } } )* } }
tuples!((A 0), (A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3), (A 0, B 1, C 2, D 3, E 4));
impl Show for () { fn show(&self) -> String { "null".into() } }
impl Show for bool { fn show(&self) -> String { self.to_string() } }
impl Show for char { fn show(&self) -> String { quoted(&self.to_string()) } }
impl Show for String { fn show(&self) -> String { quoted(self) } }
impl Show for str { fn show(&self) -> String { quoted(self) } }
impl<T: Show + ?Sized> Show for &T { fn show(&self) -> String { (**self).show() } }
impl<T: Show + ?Sized> Show for &mut T { fn show(&self) -> String { (**self).show() } }
impl<T: Show + ?Sized> Show for Box<T> { fn show(&self) -> String { (**self).show() } }
impl<T: Show> Show for Option<T> { fn show(&self) -> String { match self { Some(v) => v.show(), None => "null".into() } } }
impl<T: Show, E: Show> Show for Result<T, E> { fn show(&self) -> String { match self { Ok(v) => v.show(), Err(e) => format!("{{\"Err\":{}}}", e.show()) } } }
impl<T: Show> Show for [T] { fn show(&self) -> String { format!("[{}]", self.iter().map(|v| v.show()).collect::<Vec<_>>().join(",")) } }
impl<T: Show, const N: usize> Show for [T; N] { fn show(&self) -> String { self[..].show() } }
macro_rules! lists { ($($m:ident),*) => { $( impl<T: Show> Show for $m<T> { fn show(&self) -> String { format!("[{}]", self.iter().map(|v| v.show()).collect::<Vec<_>>().join(",")) } } )* } }
lists!(Vec, VecDeque, HashSet, BTreeSet);
