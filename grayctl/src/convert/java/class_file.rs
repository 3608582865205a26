//! Class files (JVMS 4): the constant pool, what a class extends, its methods and the annotations of both. Bodies are not read.
//!
//! Every step takes bytes of the file, so the work is bounded by its length; what does not fit together is `None`.

use super::{Annotation, Class, Method, hint, role::TELLING, simple, token::Token};

const MAGIC: u32 = 0xCAFE_BABE;
/// Deepest nesting of annotations.
const MAX_DEPTH: usize = 8;
const MAX_TEXTS: usize = 32;
/// Members of annotations whose texts are names or paths.
const MEMBERS: [&str; 3] = ["value", "name", "path"];

/// Reads a class; `None` when this is none.
pub(in crate::convert) fn parse(bytes: &[u8], file: &str) -> Option<Class> {
    let mut reader = Reader { rest: bytes };
    if reader.u32()? != MAGIC {
        return None;
    }
    reader.skip(4)?;
    let pool = Pool::read(&mut reader)?;
    reader.skip(2)?;
    let name = pool.class(reader.u16()?)?;
    let superclass = reader.u16()?;
    let mut class = Class { name: name.replace(['/', '$'], "."), file: file.to_owned(), ..Class::default() };
    // Only java.lang.Object and modules have none.
    class.supertypes.extend(pool.class(superclass).map(|name| simple(name).to_owned()));
    for _ in 0..reader.u16()? {
        class.supertypes.extend(pool.class(reader.u16()?).map(|name| simple(name).to_owned()));
    }
    for _ in 0..reader.u16()? {
        reader.skip(6)?;
        pool.annotations(&mut reader)?;
    }
    for _ in 0..reader.u16()? {
        reader.skip(2)?;
        let (name, descriptor) = (pool.text(reader.u16()?)?, pool.text(reader.u16()?)?);
        let annotations = pool.annotations(&mut reader)?;
        if !annotations.is_empty() {
            class.methods.push(Method {
                name: name.to_owned(),
                returns: returned(descriptor).to_owned(),
                annotations,
                ..Method::default()
            });
        }
    }
    class.annotations = pool.annotations(&mut reader)?;
    if class.supertypes.iter().any(|one| one == "KeyResolver") {
        let words: Vec<_> = pool.texts().map(|text| (Token::Word(text), 0)).collect();
        class.hint = hint::of(&words);
    }
    class.mentions = pool.classes().map(simple).filter(|name| TELLING.contains(name)).map(str::to_owned).collect();
    class.mentions.sort_unstable();
    class.mentions.dedup();
    Some(class)
}

/// The simple name of what a method gives: `KeyResolver` of `(I)Lorg/.../KeyResolver;`.
fn returned(descriptor: &str) -> &str {
    let returned = descriptor.rsplit(')').next().unwrap_or_default();
    simple(returned.strip_prefix('L').and_then(|name| name.strip_suffix(';')).unwrap_or_default())
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }
}

#[derive(Clone, Copy)]
enum Constant<'b> {
    Text(&'b str),
    Class(u16),
    Other,
}

struct Pool<'b>(Vec<Constant<'b>>);

impl<'b> Pool<'b> {
    fn read(reader: &mut Reader<'b>) -> Option<Self> {
        let count = usize::from(reader.u16()?);
        // There is no constant 0.
        let mut pool = vec![Constant::Other];
        while pool.len() < count {
            let constant = match reader.u8()? {
                1 => {
                    let length = reader.u16()?;
                    // Modified UTF-8 differs where no name of ours does.
                    Constant::Text(std::str::from_utf8(reader.take(length.into())?).unwrap_or_default())
                }
                3 | 4 | 9..=12 | 17 | 18 => reader.skip(4).map(|()| Constant::Other)?,
                5 | 6 => {
                    reader.skip(8)?;
                    pool.push(Constant::Other);
                    Constant::Other
                }
                7 => Constant::Class(reader.u16()?),
                8 | 16 | 19 | 20 => reader.skip(2).map(|()| Constant::Other)?,
                15 => reader.skip(3).map(|()| Constant::Other)?,
                _ => return None,
            };
            pool.push(constant);
        }
        Some(Self(pool))
    }

    fn text(&self, at: u16) -> Option<&'b str> {
        if let Some(Constant::Text(text)) = self.0.get(usize::from(at)) { Some(text) } else { None }
    }

    fn class(&self, at: u16) -> Option<&'b str> {
        if let Some(Constant::Class(name)) = self.0.get(usize::from(at)) { self.text(*name) } else { None }
    }

    fn texts(&self) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter_map(|constant| if let Constant::Text(text) = constant { Some(*text) } else { None })
    }

    fn classes(&self) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter_map(|constant| if let Constant::Class(name) = constant { self.text(*name) } else { None })
    }

    /// Reads attributes, and takes the annotations from them.
    fn annotations(&self, reader: &mut Reader<'b>) -> Option<Vec<Annotation>> {
        let mut found = Vec::new();
        for _ in 0..reader.u16()? {
            let name = self.text(reader.u16()?)?;
            let length = reader.u32()?;
            let mut value = Reader { rest: reader.take(usize::try_from(length).ok()?)? };
            if name == "RuntimeVisibleAnnotations" {
                for _ in 0..value.u16()? {
                    found.push(self.annotation(&mut value, 0)?);
                }
            }
        }
        Some(found)
    }

    fn annotation(&self, reader: &mut Reader<'b>, depth: usize) -> Option<Annotation> {
        let name = self.text(reader.u16()?)?.trim_start_matches('L').trim_end_matches(';');
        let mut annotation = Annotation { name: simple(name).to_owned(), texts: Vec::new() };
        for _ in 0..reader.u16()? {
            let counts = MEMBERS.contains(&self.text(reader.u16()?)?);
            let mut others = Vec::new();
            self.element(reader, if counts { &mut annotation.texts } else { &mut others }, depth)?;
        }
        Some(annotation)
    }

    fn element(&self, reader: &mut Reader<'b>, texts: &mut Vec<String>, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match reader.u8()? {
            b's' => {
                let text = self.text(reader.u16()?)?;
                if texts.len() < MAX_TEXTS && text.len() <= 200 {
                    texts.push(text.to_owned());
                }
            }
            b'e' => reader.skip(4)?,
            b'@' => drop(self.annotation(reader, depth + 1)?),
            b'[' => {
                for _ in 0..reader.u16()? {
                    self.element(reader, texts, depth + 1)?;
                }
            }
            b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' | b'c' => reader.skip(2)?,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
pub(in crate::convert) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes class files.
    #[derive(Default)]
    pub(in crate::convert) struct Writer {
        pool: Vec<u8>,
        count: u16,
    }

    impl Writer {
        fn text(&mut self, text: &str) -> u16 {
            self.pool.push(1);
            self.pool.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
            self.pool.extend(text.as_bytes());
            self.count += 1;
            self.count
        }

        fn class(&mut self, name: &str) -> u16 {
            let name = self.text(name);
            self.pool.push(7);
            self.pool.extend(name.to_be_bytes());
            self.count += 1;
            self.count
        }

        /// The attribute with one annotation, with one text in an array if there is one.
        fn annotation(&mut self, name: &str, text: Option<&str>) -> Vec<u8> {
            let attribute = self.text("RuntimeVisibleAnnotations");
            let name = self.text(&format!("Lorg/x/{name};"));
            let mut value = [1_u16.to_be_bytes(), name.to_be_bytes(), u16::from(text.is_some()).to_be_bytes()].concat();
            if let Some(text) = text {
                let (member, text) = (self.text("value"), self.text(text));
                value.extend([&member.to_be_bytes()[..], b"[\0\x01s", &text.to_be_bytes()].concat());
            }
            let length = u32::try_from(value.len()).expect("short").to_be_bytes();
            [&1_u16.to_be_bytes()[..], &attribute.to_be_bytes(), &length, &value].concat()
        }

        /// A class with one method.
        pub(in crate::convert) fn write(
            mut self,
            [name, superclass, interface]: [&str; 3],
            on_class: (&str, Option<&str>),
            (method, descriptor, on_method): (&str, &str, (&str, Option<&str>)),
        ) -> Vec<u8> {
            // A long takes two places.
            self.pool.extend([5, 0, 0, 0, 0, 0, 0, 0, 1]);
            self.count += 2;
            let this = self.class(name);
            let (superclass, interface) = (self.class(superclass), self.class(interface));
            let (method, descriptor) = (self.text(method), self.text(descriptor));
            let (on_method, on_class) =
                (self.annotation(on_method.0, on_method.1), self.annotation(on_class.0, on_class.1));
            let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
            [
                MAGIC.to_be_bytes().to_vec(),
                words(&[0, 61, self.count + 1]),
                self.pool,
                words(&[1, this, superclass, 1, interface, 0, 1, 1, method, descriptor]),
                on_method,
                on_class,
            ]
            .concat()
        }
    }

    fn sample() -> Vec<u8> {
        Writer::default().write(
            ["com/shop/Config", "com/shop/Base", "org/x/KeyResolver"],
            ("RequestMapping", Some("/fallback")),
            ("ip", "(I)Lorg/x/RouteLocator;", ("Bean", Some("named"))),
        )
    }

    #[test]
    fn a_class_is_read() {
        let class = parse(&sample(), "Config.class").expect("a class");
        assert_eq!(
            (&*class.name, &class.supertypes[..]),
            ("com.shop.Config", &["Base".into(), "KeyResolver".into()][..])
        );
        assert_eq!(class.annotations[0], Annotation { name: "RequestMapping".into(), texts: vec!["/fallback".into()] });
        let method = &class.methods[0];
        assert_eq!((method.bean(), &*method.returns), (Some("named"), "RouteLocator"));
    }

    #[test]
    fn a_class_that_breaks_off_is_none() {
        let sample = sample();
        for length in 0..sample.len() {
            assert_eq!(parse(&sample[..length], ""), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            parse(&[&MAGIC.to_be_bytes()[..], &bytes].concat(), "");
        }

        #[test]
        fn a_class_with_one_other_byte_is_read(at: prop::sample::Index, byte: u8) {
            let mut sample = sample();
            let at = at.index(sample.len());
            sample[at] = byte;
            parse(&sample, "");
        }
    }
}
