//! Predicates and filters as they are written: `Name=arg,arg` or `{ name: Name, args: { ... } }`.
//!
//! As in Spring, a comma always separates arguments in the short form, a list argument takes all of them, and
//! generated names (`_genkey_0`) stand for places. Everything that Spring would drop silently is an error here.

use std::borrow::Cow;

use gray_document::{Item, encrypted};

use super::{
    group::{REWRITE_PATH, expression, rewritten},
    segment::split,
    text::{quoted, suggestion},
};

/// One predicate or filter, before anyone knows what it means.
#[derive(Debug)]
pub(super) struct Definition<'d> {
    pub(super) name: Cow<'d, str>,
    pub(super) at: Item<'d>,
    args: Vec<Arg<'d>>,
}

#[derive(Debug)]
struct Arg<'d> {
    key: Key,
    value: Value<'d>,
    /// An element of a list, which is never split.
    is_element: bool,
}

#[derive(Debug)]
enum Key {
    Place(usize),
    Name(String),
}

/// One argument's text and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Value<'d> {
    pub(super) text: Cow<'d, str>,
    pub(super) at: Item<'d>,
}

/// A parameter's name in messages, and other spellings that Spring has or had for it (relaxed).
pub(super) type Parameter = (&'static str, &'static [&'static str]);

impl<'d> Value<'d> {
    /// Applies a conversion to the text without the space around it; its error becomes the problem of this place.
    pub(super) fn convert<T>(&self, convert: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        convert(self.text.trim()).map_err(|reason| self.at.error(reason)).ok()
    }

    /// The same to the text as it is: in the long form, space at its ends belongs to it.
    pub(super) fn exactly<T>(&self, convert: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        convert(&self.text).map_err(|reason| self.at.error(reason)).ok()
    }

    /// The parts of a text with commas.
    fn parts(self) -> impl Iterator<Item = Self> {
        let parts: Vec<_> = split(&self.text, ',')
            .unwrap_or_else(|_| vec![&self.text])
            .into_iter()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| Self { text: Cow::Owned(text.to_owned()), at: self.at.clone() })
            .collect();
        parts.into_iter()
    }
}

impl<'d> Definition<'d> {
    /// Takes the item apart; `kind` is `predicate` or `filter`.
    pub(super) fn parse(item: &Item<'d>, kind: &str) -> Option<Self> {
        let definition = if item.is_map() { Self::parse_long(item, kind)? } else { Self::parse_short(item, kind)? };
        definition.checked()
    }

    /// This one, unless an argument cannot be what is written.
    fn checked(self) -> Option<Self> {
        for Arg { key, value, .. } in &self.args {
            if is_expression(&value.text) && !self.takes_bean(key) {
                value.at.error(format!(
                    "{}: `#{{...}}` expressions are not supported; write the value",
                    quoted(&value.text)
                ));
                return None;
            }
            // A whole value says so itself when it is read; this is for one within the short form.
            if let Some(kind) = encrypted(&value.text) {
                value.at.error(format!("{}: {kind}; give the value itself, by a `${{VARIABLE}}`", self.name));
                return None;
            }
        }
        Some(self)
    }

    fn parse_short(item: &Item<'d>, kind: &str) -> Option<Self> {
        let written = rewritten(item, "").filter(|text| text.trim_start().starts_with(REWRITE_PATH));
        let text = written.map(Cow::Owned).or_else(|| item.text().map(Cow::Borrowed));
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            if item.is_text() && item.text().is_none() {
                // It was said why.
                return None;
            }
            item.error(format!("expected a {kind} such as `Name=argument` or {{ name: Name, args: {{ ... }} }}"));
            return None;
        };
        let (name, arguments) = text.split_once('=').unwrap_or((&text, ""));
        if name.trim().is_empty() {
            item.error(format!("{} has no name; write `Name=argument`", quoted(text.trim())));
            return None;
        }
        let texts = arguments.split(',').map(str::trim).filter(|text| !text.is_empty());
        let arg = |(place, part)| Arg {
            key: Key::Place(place),
            value: Value { text: part_of(&text, part), at: item.clone() },
            is_element: false,
        };
        let args = texts.enumerate().map(arg).collect();
        Some(Self { name: part_of(&text, name.trim()), at: item.clone(), args })
    }

    fn parse_long(item: &Item<'d>, kind: &str) -> Option<Self> {
        let (mut name, mut given) = (None, None);
        for (key, value) in item.section().keys() {
            match relaxed(&key).as_str() {
                "name" => name = value.text().map(str::trim).filter(|text| !text.is_empty()),
                "args" => given = Some(value),
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
        Self::new(item, name, given.as_ref())
    }

    /// Whether what is given there may be the name of a bean, which `gray.spring` says the meaning of.
    fn takes_bean(&self, key: &Key) -> bool {
        const KEY: &str = "keyresolver";
        self.name == LIMITER
            && match key {
                Key::Name(name) => matches!(relaxed(name).as_str(), KEY | "key"),
                Key::Place(place) => *place == 3,
            }
    }

    /// One of this name with these arguments.
    pub(super) fn of(item: &Item<'d>, name: &'d str, given: Option<&Item<'d>>) -> Option<Self> {
        Self::new(item, name, given)?.checked()
    }

    fn new(item: &Item<'d>, name: &'d str, given: Option<&Item<'d>>) -> Option<Self> {
        let mut args = Vec::new();
        if let Some(given) = given {
            let expression = (name == REWRITE_PATH).then(|| expression(given));
            flatten("", given, expression.as_deref(), &mut args)?;
        }
        Some(Self { name: Cow::Borrowed(name), at: item.clone(), args })
    }

    /// Whether nothing is given to it.
    pub(super) fn is_bare(&self) -> bool {
        self.args.is_empty()
    }

    /// The arguments as they are written, each with its name; one that has only a place, with a generated one.
    pub(super) fn args(&self) -> impl Iterator<Item = (String, &Value<'d>)> {
        self.args.iter().map(|Arg { key, value, .. }| match key {
            Key::Name(name) => (name.clone(), value),
            Key::Place(place) => (format!("_genkey_{place}"), value),
        })
    }

    /// Gives those their names that are written `name=value` in the short form; false where there is none.
    pub(super) fn name_places(&mut self, names: &[&str]) -> bool {
        let mut has_any = false;
        for arg in &mut self.args {
            let Some((name, value)) = arg.value.text.split_once('=') else { continue };
            if matches!(arg.key, Key::Place(_)) && names.contains(&name.trim()) {
                let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                (arg.key, arg.value.text, has_any) = (Key::Name(name), Cow::Owned(value), true);
            }
        }
        has_any
    }

    /// The values of single parameters, by place or by name; the first `required` ones must be there.
    pub(super) fn bind<const N: usize>(
        &self,
        parameters: [Parameter; N],
        required: usize,
    ) -> Option<[Option<Value<'d>>; N]> {
        let mut bound = [const { None }; N];
        for Arg { key, value, .. } in &self.args {
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
        let taken = self.args.extract_if(.., is_it);
        taken.flat_map(|arg| if arg.is_element { vec![arg.value] } else { arg.value.parts().collect() }).collect()
    }

    /// The values of a list parameter, at least one; and of a flag, which may be the last one.
    pub(super) fn gather(&self, list: Parameter, flag: Option<Parameter>) -> Option<(Vec<Value<'d>>, Option<bool>)> {
        let parameters: Vec<Parameter> = [Some(list), flag].into_iter().flatten().collect();
        let mut placed = Vec::new();
        let (mut values, mut flagged) = (Vec::new(), None);
        for Arg { key, value, is_element } in &self.args {
            match key {
                Key::Place(place) => placed.push((*place, value.clone())),
                Key::Name(name) if self.place(name, &parameters, value)? == 0 => {
                    let parts = if *is_element { vec![value.clone()] } else { value.clone().parts().collect() };
                    values.extend(parts);
                }
                Key::Name(_) => match truth(value.text.trim()) {
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
            && let Some(truth) = placed.last().and_then(|(_, value)| truth(&value.text).ok())
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

/// A part of a text, for as long as the text lives.
fn part_of<'d>(text: &Cow<'d, str>, part: &str) -> Cow<'d, str> {
    match text {
        Cow::Borrowed(whole) => {
            let from = part.as_ptr().addr() - whole.as_ptr().addr();
            whole.get(from..from + part.len()).map_or_else(|| Cow::Owned(part.to_owned()), Cow::Borrowed)
        }
        Cow::Owned(_) => Cow::Owned(part.to_owned()),
    }
}

/// The filter whose key may be a bean.
const LIMITER: &str = "RequestRateLimiter";

/// Whether Spring would evaluate this: `#{...}`.
pub(super) fn is_expression(text: &str) -> bool {
    text.trim_start().starts_with("#{")
}

/// Arguments by name: maps open up into dotted names, lists into several values. What cannot be one is reported.
fn flatten<'d>(name: &str, item: &Item<'d>, expression: Option<&str>, args: &mut Vec<Arg<'d>>) -> Option<()> {
    // Longer than every name there is; and each of the values below would have it.
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        item.error(format!("the name of an argument has at most {LONGEST} bytes"));
        return None;
    }
    if item.is_map() {
        return item.section().keys().into_iter().try_for_each(|(key, value)| {
            flatten(&if name.is_empty() { key } else { format!("{name}.{key}") }, &value, expression, args)
        });
    }
    let generated = relaxed(name).strip_prefix("genkey").and_then(|place| place.parse().ok());
    let mut push = |at: &Item<'d>, place: usize, is_element: bool| {
        let written = expression.and_then(|expression| rewritten(at, expression)).map(Cow::Owned);
        // Spring takes an empty value for a missing one.
        if let Some(text) = written.or_else(|| at.text().map(Cow::Borrowed)).filter(|text| !text.trim().is_empty()) {
            let key = match generated {
                Some(place) => Key::Place(place),
                None if name.is_empty() => Key::Place(place),
                None => Key::Name(name.to_owned()),
            };
            args.push(Arg { key, value: Value { text, at: at.clone() }, is_element });
        }
    };
    if item.is_text() {
        push(item, 0, false);
        return Some(());
    }
    for (place, element) in item.items().iter().enumerate() {
        if element.is_map() {
            element.error("expected a text as the element of this list; write it as `name:value` or the like");
            return None;
        }
        push(element, place, true);
    }
    Some(())
}

/// Spring's relaxed form: letter case, dashes, underscores and dots do not count.
pub(super) fn relaxed(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).flat_map(char::to_lowercase).collect()
}
