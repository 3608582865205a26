//! Predicates and filters as they are written: `Name=arg,arg` or `{ name: Name, args: { ... } }`.
//!
//! As in Spring, a comma always separates arguments in the short form, a list argument takes all of them, and
//! generated names (`_genkey_0`) stand for places. Everything that Spring would drop silently is an error here.

use gray_document::{Item, encrypted};

use super::{
    pattern::split,
    text::{quoted, suggestion},
};

/// One predicate or filter, before anyone knows what it means.
#[derive(Debug)]
pub(super) struct Definition<'d> {
    pub(super) name: &'d str,
    pub(super) at: Item<'d>,
    args: Vec<Arg<'d>>,
}

#[derive(Debug)]
struct Arg<'d> {
    key: Key,
    value: Value<'d>,
}

#[derive(Debug)]
enum Key {
    Place(usize),
    Name(String),
}

/// One argument's text and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Value<'d> {
    pub(super) text: &'d str,
    pub(super) at: Item<'d>,
}

/// A parameter's name in messages, and other spellings that Spring has or had for it (relaxed).
pub(super) type Parameter = (&'static str, &'static [&'static str]);

impl<'d> Value<'d> {
    /// Applies a conversion; its error becomes the problem of this place.
    pub(super) fn convert<T>(&self, convert: impl FnOnce(&'d str) -> Result<T, String>) -> Option<T> {
        convert(self.text).map_err(|reason| self.at.error(reason)).ok()
    }
}

impl<'d> Definition<'d> {
    /// Takes the item apart; `kind` is `predicate` or `filter`.
    pub(super) fn parse(item: &Item<'d>, kind: &str) -> Option<Self> {
        let definition = if item.is_map() { Self::parse_long(item, kind)? } else { Self::parse_short(item, kind)? };
        for Arg { value, .. } in &definition.args {
            if value.text.starts_with("#{") {
                value.at.error(format!(
                    "{}: `#{{...}}` expressions are not supported; write the value",
                    quoted(value.text)
                ));
                return None;
            }
            // A whole value says so itself when it is read; this is for one within the short form.
            if let Some(kind) = encrypted(value.text) {
                value.at.error(format!("{}: {kind}; give the value itself, by a `${{VARIABLE}}`", definition.name));
                return None;
            }
        }
        Some(definition)
    }

    fn parse_short(item: &Item<'d>, kind: &str) -> Option<Self> {
        let text = item.text().map(str::trim).filter(|text| !text.is_empty());
        let Some(text) = text else {
            item.error(format!("expected a {kind} such as `Name=argument` or {{ name: Name, args: {{ ... }} }}"));
            return None;
        };
        let (name, arguments) = text.split_once('=').unwrap_or((text, ""));
        if name.trim().is_empty() {
            item.error(format!("{} has no name; write `Name=argument`", quoted(text)));
            return None;
        }
        let texts = arguments.split(',').map(str::trim).filter(|text| !text.is_empty());
        let arg = |(place, text)| Arg { key: Key::Place(place), value: Value { text, at: item.clone() } };
        Some(Self { name: name.trim(), at: item.clone(), args: texts.enumerate().map(arg).collect() })
    }

    fn parse_long(item: &Item<'d>, kind: &str) -> Option<Self> {
        let (mut name, mut args) = (None, Vec::new());
        for (key, value) in item.section().keys() {
            match relaxed(&key).as_str() {
                "name" => name = value.text().map(str::trim).filter(|text| !text.is_empty()),
                "args" => flatten("", &value, &mut args),
                _ => {
                    let hint = suggestion(&key, ["name", "args"]);
                    value.error(format!(
                        "unknown key: a {kind} has `name` and `args`, or is a text `Name=argument`{hint}"
                    ));
                    return None;
                }
            }
        }
        let Some(name) = name else {
            item.error(format!("this {kind} has no `name`"));
            return None;
        };
        Some(Self { name, at: item.clone(), args })
    }

    /// The arguments as they are written, each with its name; one that has only a place, with a generated one.
    pub(super) fn args(&self) -> impl Iterator<Item = (String, &Value<'d>)> {
        self.args.iter().map(|Arg { key, value }| match key {
            Key::Name(name) => (name.clone(), value),
            Key::Place(place) => (format!("_genkey_{place}"), value),
        })
    }

    /// The values of single parameters, by place or by name; the first `required` ones must be there.
    pub(super) fn bind<const N: usize>(
        &self,
        parameters: [Parameter; N],
        required: usize,
    ) -> Option<[Option<Value<'d>>; N]> {
        let mut bound = [const { None }; N];
        for Arg { key, value } in &self.args {
            let place = match key {
                Key::Place(place) => *place,
                Key::Name(name) => self.place(name, &parameters, value)?,
            };
            match bound.get_mut(place) {
                Some(slot @ None) => *slot = Some(value.clone()),
                Some(Some(_)) => {
                    value.at.error(format!("{}: `{}` is given twice", self.name, parameters[place].0));
                    return None;
                }
                None => {
                    let found = self.args.len();
                    self.at.error(format!(
                        "{} takes at most {N} argument(s){}, found {found}; one that contains a comma needs the long form \
                         {{ name: {}, args: {{ ... }} }}",
                        self.name,
                        listed(&parameters),
                        self.name
                    ));
                    return None;
                }
            }
        }
        if let Some(missing) = bound.iter().take(required).position(Option::is_none) {
            self.at.error(format!("{} needs `{}`{}", self.name, parameters[missing].0, listed(&parameters)));
            return None;
        }
        Some(bound)
    }

    /// Takes out what is given for one parameter, by name or at a place; a list is split.
    pub(super) fn take(&mut self, name: &str, place: Option<usize>) -> Vec<Value<'d>> {
        let is_it = |arg: &mut Arg<'_>| match &arg.key {
            Key::Place(at) => Some(*at) == place,
            Key::Name(given) => relaxed(given) == relaxed(name),
        };
        let taken = self.args.extract_if(.., is_it).flat_map(|Arg { value, .. }| {
            let texts = value.text.split(',').map(str::trim).filter(|text| !text.is_empty());
            texts.map(|text| Value { text, at: value.at.clone() }).collect::<Vec<_>>()
        });
        taken.collect()
    }

    /// The values of a list parameter, at least one; and of a flag, which may be the last one.
    pub(super) fn gather(&self, list: Parameter, flag: Option<Parameter>) -> Option<(Vec<Value<'d>>, Option<bool>)> {
        let parameters: Vec<Parameter> = [Some(list), flag].into_iter().flatten().collect();
        let mut placed = Vec::new();
        let (mut values, mut flagged) = (Vec::new(), None);
        for Arg { key, value } in &self.args {
            match key {
                Key::Place(place) => placed.push((*place, value.clone())),
                Key::Name(name) if self.place(name, &parameters, value)? == 0 => {
                    let texts = split(value.text, ',').unwrap_or_else(|_| vec![value.text]).into_iter().map(str::trim);
                    let texts = texts.filter(|text| !text.is_empty());
                    values.extend(texts.map(|text| Value { text, at: value.at.clone() }));
                }
                Key::Name(_) => match truth(value.text) {
                    Ok(truth) => flagged = Some(truth),
                    Err(reason) => {
                        value.at.error(reason);
                        return None;
                    }
                },
            }
        }
        placed.sort_by_key(|(place, _)| *place);
        if flag.is_some()
            && let Some(truth) = placed.last().and_then(|(_, value)| truth(value.text).ok())
        {
            flagged = Some(truth);
            placed.pop();
        }
        values.extend(placed.into_iter().map(|(_, value)| value));
        if values.is_empty() {
            self.at.error(format!("{} needs at least one of `{}`", self.name, list.0));
            return None;
        }
        Some((values, flagged))
    }

    /// Which parameter an argument's name stands for; an unknown one is reported.
    fn place(&self, name: &str, parameters: &[Parameter], value: &Value<'d>) -> Option<usize> {
        let wanted = relaxed(name);
        let place = parameters.iter().position(|(parameter, others)| {
            relaxed(parameter) == wanted || others.iter().any(|other| relaxed(other) == wanted)
        });
        if place.is_none() {
            let hint = suggestion(name, parameters.iter().map(|(parameter, _)| *parameter));
            value.at.error(format!("{} has no argument {}{}{hint}", self.name, quoted(name), listed(parameters)));
        }
        place
    }
}

/// ` (name, regexp)`, or nothing.
fn listed(parameters: &[Parameter]) -> String {
    let names: Vec<_> = parameters.iter().map(|(name, _)| *name).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// `true` or `false`, in any case; the error says so.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(format!("expected true or false, found {}", quoted(text))),
    }
}

/// Arguments by name: maps open up into dotted names, lists into several values.
fn flatten<'d>(name: &str, item: &Item<'d>, args: &mut Vec<Arg<'d>>) {
    // Longer than every name there is; and each of the values below would have it.
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        return item.error(format!("the name of an argument has at most {LONGEST} bytes"));
    }
    if item.is_map() {
        for (key, value) in item.section().keys() {
            flatten(&if name.is_empty() { key } else { format!("{name}.{key}") }, &value, args);
        }
        return;
    }
    let generated = relaxed(name).strip_prefix("genkey").and_then(|place| place.parse().ok());
    let mut push = |text: Option<&'d str>, at: &Item<'d>, place: usize| {
        // Spring takes an empty value for a missing one.
        if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
            let key = match generated {
                Some(place) => Key::Place(place),
                None if name.is_empty() => Key::Place(place),
                None => Key::Name(name.to_owned()),
            };
            args.push(Arg { key, value: Value { text, at: at.clone() } });
        }
    };
    match item.text() {
        Some(text) => push(Some(text), item, 0),
        None => item.items().iter().enumerate().for_each(|(place, element)| push(element.text(), element, place)),
    }
}

/// Spring's relaxed form: letter case, dashes, underscores and dots do not count.
pub(super) fn relaxed(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).flat_map(char::to_lowercase).collect()
}
