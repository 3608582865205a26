//! The part of the Spring Expression Language that settings of the locator use: texts and truths over `serviceId` and `metadata`.
//!
//! ```text
//! or      := and (("or" | "||") and)*
//! and     := not (("and" | "&&") not)*
//! not     := ("not" | "!")* compare
//! compare := sum (("==" | "!=" | "eq" | "ne" | "matches") sum)?
//! sum     := call ("+" call)*
//! call    := value ("." name "(" or ")" | "." name "()")*
//! value   := 'text' | 1 | true | false | null | serviceId | metadata['key'] | metadata.key | "(" or ")"
//! ```
//!
//! Whatever else the language knows is an error when the document is read; nothing is taken for `true`.

use gray_core::instance::Metadata;
use gray_document::Budget;
use gray_expression::{JavaExpression, JavaForm, Steps};

/// Longest expression, in bytes.
const LONGEST: usize = 1024;
/// Most levels of parentheses and negations.
const DEEPEST: usize = 32;

/// A service, as an expression sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<'s> {
    /// Its name, in lower case where the settings say so.
    pub(super) service_id: &'s str,
    /// Of one instance.
    pub(super) metadata: Option<&'s Metadata>,
}

/// An expression that was read.
#[derive(Clone, Debug)]
pub(super) enum Spel {
    Text(Box<str>),
    Truth(bool),
    Null,
    ServiceId,
    Metadata(Box<str>),
    Not(Box<Spel>),
    All(Vec<Spel>),
    Any(Vec<Spel>),
    /// The same, or not the same.
    Same(Box<Spel>, Box<Spel>, bool),
    Matches(Box<Spel>, JavaExpression),
    Sum(Vec<Spel>),
    Lower(Box<Spel>),
    Upper(Box<Spel>),
    Has(Box<Spel>, Part, Box<Spel>),
}

/// Where one text is looked for in another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Start,
    End,
    Anywhere,
    Whole,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Truth(bool),
    Null,
}

impl Spel {
    /// Reads an expression; the error says what is not understood.
    pub(super) fn parse(text: &str, budget: &Budget) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("an expression has at most {LONGEST} bytes"));
        }
        budget.spend("expressions of the locator", 64 * text.len()).map_err(|error| error.to_string())?;
        let mut reader = Reader { rest: text.trim(), depth: 0, budget };
        let read = reader.any()?;
        match reader.rest {
            "" => Ok(read),
            rest => Err(format!("`{rest}` is not understood here")),
        }
    }

    /// Whether it looks at metadata, so that instances have to be known.
    pub(super) fn needs_metadata(&self) -> bool {
        match self {
            Self::Metadata(_) => true,
            Self::Text(_) | Self::Truth(_) | Self::Null | Self::ServiceId => false,
            Self::Not(one) | Self::Lower(one) | Self::Upper(one) | Self::Matches(one, _) => one.needs_metadata(),
            Self::Same(one, other, _) | Self::Has(one, _, other) => one.needs_metadata() || other.needs_metadata(),
            Self::All(all) | Self::Any(all) | Self::Sum(all) => all.iter().any(Self::needs_metadata),
        }
    }

    /// Whether it holds; what is not a truth does not, nor what is not known because it would take too many steps.
    pub(super) fn holds(&self, root: Root<'_>) -> bool {
        let steps = Steps::default();
        self.is_true(root, &steps) && steps.left() > 0
    }

    /// The text it comes to.
    pub(super) fn text(&self, root: Root<'_>) -> String {
        self.value(root, &Steps::default()).into_text()
    }

    fn is_true(&self, root: Root<'_>, steps: &Steps) -> bool {
        self.value(root, steps) == Value::Truth(true)
    }

    fn value(&self, root: Root<'_>, steps: &Steps) -> Value {
        match self {
            Self::Text(text) => Value::Text(text.to_string()),
            Self::Truth(truth) => Value::Truth(*truth),
            Self::Null => Value::Null,
            Self::ServiceId => Value::Text(root.service_id.to_owned()),
            Self::Metadata(key) => {
                let value = root.metadata.and_then(|metadata| metadata.get(key));
                value.map_or(Value::Null, |value| Value::Text(value.to_owned()))
            }
            Self::Not(one) => Value::Truth(!one.is_true(root, steps)),
            Self::All(all) => Value::Truth(all.iter().all(|one| one.is_true(root, steps))),
            Self::Any(any) => Value::Truth(any.iter().any(|one| one.is_true(root, steps))),
            Self::Same(one, other, same) => Value::Truth((one.value(root, steps) == other.value(root, steps)) == *same),
            Self::Matches(one, expression) => match one.value(root, steps) {
                // Where it is not known no steps are left, and the whole does not hold: `!` makes no truth of it.
                Value::Text(text) => Value::Truth(expression.is_match(&text, steps).unwrap_or(false)),
                Value::Truth(_) | Value::Null => Value::Truth(false),
            },
            Self::Sum(all) => Value::Text(all.iter().map(|one| one.value(root, steps).into_text()).collect()),
            Self::Lower(one) => Value::Text(one.value(root, steps).into_text().to_lowercase()),
            Self::Upper(one) => Value::Text(one.value(root, steps).into_text().to_uppercase()),
            Self::Has(one, part, other) => match (one.value(root, steps), other.value(root, steps)) {
                (Value::Text(text), Value::Text(wanted)) => Value::Truth(part.is_in(&text, &wanted)),
                _ => Value::Truth(false),
            },
        }
    }
}

impl Part {
    fn is_in(self, text: &str, wanted: &str) -> bool {
        match self {
            Self::Start => text.starts_with(wanted),
            Self::End => text.ends_with(wanted),
            Self::Anywhere => text.contains(wanted),
            Self::Whole => text == wanted,
        }
    }
}

impl Value {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Truth(truth) => truth.to_string(),
            Self::Null => "null".to_owned(),
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
    budget: &'t Budget,
}

impl<'t> Reader<'t> {
    fn any(&mut self) -> Result<Spel, String> {
        let mut all = vec![self.all()?];
        while self.word("or") || self.sign("||") {
            all.push(self.all()?);
        }
        Ok(one_or(all, Spel::Any))
    }

    fn all(&mut self) -> Result<Spel, String> {
        let mut all = vec![self.not()?];
        while self.word("and") || self.sign("&&") {
            all.push(self.not()?);
        }
        Ok(one_or(all, Spel::All))
    }

    fn not(&mut self) -> Result<Spel, String> {
        if self.word("not") || (!self.rest.starts_with("!=") && self.sign("!")) {
            self.deeper()?;
            let one = self.not()?;
            self.depth -= 1;
            return Ok(Spel::Not(Box::new(one)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Spel, String> {
        let one = self.sum()?;
        if self.sign("==") || self.word("eq") {
            return Ok(Spel::Same(Box::new(one), Box::new(self.sum()?), true));
        }
        if self.sign("!=") || self.word("ne") {
            return Ok(Spel::Same(Box::new(one), Box::new(self.sum()?), false));
        }
        if self.word("matches") {
            let text = self.literal()?.ok_or("`matches` needs an expression in quotes behind it")?;
            let expression = self.budget.expression(&text, JavaForm::Whole)?;
            return Ok(Spel::Matches(Box::new(one), expression));
        }
        Ok(one)
    }

    fn sum(&mut self) -> Result<Spel, String> {
        let mut all = vec![self.call()?];
        while self.sign("+") {
            all.push(self.call()?);
        }
        Ok(one_or(all, Spel::Sum))
    }

    fn call(&mut self) -> Result<Spel, String> {
        let mut one = self.value()?;
        while self.sign(".") {
            let name = self.name().ok_or("a name is missing behind `.`")?;
            if !self.sign("(") {
                return Err(format!("`.{name}` is not known: only `metadata` has properties"));
            }
            if self.sign(")") {
                one = match name {
                    "toLowerCase" => Spel::Lower(Box::new(one)),
                    "toUpperCase" => Spel::Upper(Box::new(one)),
                    "toString" => one,
                    _ => return Err(format!("`.{name}()` is not known")),
                };
                continue;
            }
            let part = match name {
                "startsWith" => Part::Start,
                "endsWith" => Part::End,
                "contains" => Part::Anywhere,
                "equals" => Part::Whole,
                _ => return Err(format!("`.{name}(...)` is not known")),
            };
            let argument = self.within()?;
            one = Spel::Has(Box::new(one), part, Box::new(argument));
        }
        Ok(one)
    }

    fn value(&mut self) -> Result<Spel, String> {
        if let Some(text) = self.literal()? {
            return Ok(Spel::Text(text.into()));
        }
        if self.sign("(") {
            return self.within();
        }
        let before = self.rest;
        let digits = before.find(|c: char| !c.is_ascii_digit()).unwrap_or(before.len());
        if digits > 0 {
            self.rest = before[digits..].trim_start();
            return Ok(Spel::Text(before[..digits].into()));
        }
        match self.name() {
            Some("true") => Ok(Spel::Truth(true)),
            Some("false") => Ok(Spel::Truth(false)),
            Some("null") => Ok(Spel::Null),
            Some("serviceId") => Ok(Spel::ServiceId),
            Some("metadata") => self.metadata(),
            Some(name) => Err(format!("`{name}` is not known: there are serviceId and metadata")),
            None if before.is_empty() => Err("the expression breaks off".to_owned()),
            None => Err(format!("`{before}` is not understood here")),
        }
    }

    /// `['key']`, `.key`, `.get('key')`
    fn metadata(&mut self) -> Result<Spel, String> {
        let unclear = || "a key is missing behind `metadata`, such as `metadata['edge']`".to_owned();
        if self.sign("[") {
            let key = match self.literal()? {
                Some(key) => key,
                None => self.name().ok_or_else(unclear)?.to_owned(),
            };
            return if self.sign("]") { Ok(Spel::Metadata(key.into())) } else { Err("a `]` is missing".to_owned()) };
        }
        if !self.sign(".") {
            return Err(unclear());
        }
        let key = self.name().ok_or_else(unclear)?;
        if key == "get" && self.sign("(") {
            let key = self.literal()?.ok_or_else(unclear)?;
            return if self.sign(")") { Ok(Spel::Metadata(key.into())) } else { Err("a `)` is missing".to_owned()) };
        }
        Ok(Spel::Metadata(key.into()))
    }

    /// What stands up to the `)`.
    fn within(&mut self) -> Result<Spel, String> {
        self.deeper()?;
        let one = self.any()?;
        self.depth -= 1;
        if self.sign(")") { Ok(one) } else { Err("a `)` is missing".to_owned()) }
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(format!("more than {DEEPEST} levels are too deep")) } else { Ok(()) }
    }

    /// A text in quotes; one within it is written twice.
    fn literal(&mut self) -> Result<Option<String>, String> {
        let Some(quote) = self.rest.chars().next().filter(|first| matches!(first, '\'' | '"')) else { return Ok(None) };
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let (before, behind) = rest.split_once(quote).ok_or("a quote is missing")?;
            text.push_str(before);
            match behind.strip_prefix(quote) {
                Some(more) => (rest, _) = (more, text.push(quote)),
                None => {
                    self.rest = behind.trim_start();
                    return Ok(Some(text));
                }
            }
        }
    }

    fn name(&mut self) -> Option<&'t str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.rest = rest.trim_start();
        Some(name)
    }

    /// Passes over a word of the language, in any case.
    fn word(&mut self, word: &str) -> bool {
        let before = self.rest;
        let found = self.name().is_some_and(|name| name.eq_ignore_ascii_case(word));
        if !found {
            self.rest = before;
        }
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.map_or(self.rest, str::trim_start);
        rest.is_some()
    }
}

/// The only one as it is, or all of them together.
fn one_or(mut all: Vec<Spel>, together: impl FnOnce(Vec<Spel>) -> Spel) -> Spel {
    match all.len() {
        1 => all.remove(0),
        _ => together(all),
    }
}

#[cfg(test)]
mod tests;
