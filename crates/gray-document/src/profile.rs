//! Profiles: which parts of documents are used (Spring's `ProfilesParser`, `ConfigDataActivationContext`).

use std::{fmt, str::FromStr};

use super::problem::shown;

/// Most profiles that are active at once.
const MAX_ACTIVE: usize = 32;
/// Longest name of a profile, in bytes.
const MAX_NAME: usize = 128;
/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 32;
/// What is active when nothing else is.
const DEFAULT: &str = "default";

/// The profiles that are active, in the order given: of two, the later one counts more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles(Vec<Box<str>>);

impl Profiles {
    /// Profiles by name; each entry may be several, separated by commas. A name given twice has its last place.
    ///
    /// # Errors
    /// What is not the name of a profile, or that there are more than 32.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, String> {
        let mut active: Vec<Box<str>> = Vec::new();
        for name in names.into_iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty())
        {
            check(name)?;
            active.retain(|known| **known != *name);
            active.push(name.into());
            if active.len() > MAX_ACTIVE {
                return Err(format!("more than {MAX_ACTIVE} profiles; a program has that many at most"));
            }
        }
        Ok(Self(active))
    }

    /// The names, the one that counts most last. Without any, the profile `default` is active.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether a profile is active. Case counts.
    pub fn is_active(&self, name: &str) -> bool {
        if self.0.is_empty() { name == DEFAULT } else { self.0.iter().any(|active| **active == *name) }
    }

    /// Whether an expression such as `prod & (eu | us) & !canary` holds.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn accept(&self, expression: &str) -> Result<bool, String> {
        let mut parser = Parser { profiles: self, rest: expression.trim(), depth: 0 };
        parser.whole().map_err(|reason| {
            let expression = shown(expression);
            format!(
                "`{expression}` is not an expression of profiles: {reason}; write it as `prod & (eu | us) & !canary`"
            )
        })
    }
}

/// The profiles that an expression names.
pub(super) fn names_in(expression: &str) -> impl Iterator<Item = &str> {
    let parts = expression.split(['(', ')', '&', '|', '!']).map(str::trim);
    parts.filter(|name| !name.is_empty() && check(name).is_ok())
}

/// Says what is not the name of a profile.
fn check(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@');
    if name.len() > MAX_NAME || !name.chars().all(fits) {
        let name = shown(name);
        return Err(format!("`{name}` is not the name of a profile: expected letters, digits and - _ . + @"));
    }
    Ok(())
}

impl FromStr for Profiles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new([text])
    }
}

impl fmt::Display for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.join(", "))
    }
}

/// Judges as it reads.
struct Parser<'p> {
    profiles: &'p Profiles,
    rest: &'p str,
    depth: usize,
}

impl Parser<'_> {
    fn whole(&mut self) -> Result<bool, String> {
        let holds = self.operands()?;
        match self.rest.chars().next() {
            None => Ok(holds),
            Some(c) => Err(format!("`{c}` is too much")),
        }
    }

    /// Operands that all have the same operator between them, up to the end or a closing parenthesis.
    fn operands(&mut self) -> Result<bool, String> {
        let mut holds = self.operand()?;
        let mut operator = None;
        while let Some(found) = self.rest.chars().next().filter(|c| matches!(c, '&' | '|')) {
            if operator.is_some_and(|operator| operator != found) {
                return Err("`&` and `|` side by side need parentheses".to_owned());
            }
            operator = Some(found);
            self.advance(1);
            // Read in any case: what is wrong behind it is wrong.
            let next = self.operand()?;
            holds = if found == '&' { holds & next } else { holds | next };
        }
        Ok(holds)
    }

    fn operand(&mut self) -> Result<bool, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} deep"));
        }
        let holds = match self.rest.chars().next() {
            Some('!') => {
                self.advance(1);
                !self.operand()?
            }
            Some('(') => {
                self.advance(1);
                let holds = self.operands()?;
                if !self.rest.starts_with(')') {
                    return Err("a parenthesis is never closed".to_owned());
                }
                self.advance(1);
                holds
            }
            _ => {
                let end = self.rest.find(['(', ')', '&', '|', '!']).unwrap_or(self.rest.len());
                let name = self.rest[..end].trim();
                if name.is_empty() {
                    return Err("the name of a profile is missing".to_owned());
                }
                check(name)?;
                let holds = self.profiles.is_active(name);
                self.advance(end);
                holds
            }
        };
        self.depth -= 1;
        Ok(holds)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles(names: &str) -> Profiles {
        names.parse().expect("profiles")
    }

    #[test]
    fn expressions_are_judged_as_spring_does() {
        let active = profiles("prod,eu");
        for (expression, expect) in [
            ("prod", true),
            ("Prod", false),
            ("!prod", false),
            ("!!prod", true),
            ("dev", false),
            ("prod & eu", true),
            ("prod&us", false),
            ("prod & !us & eu", true),
            ("dev | eu", true),
            ("(dev | prod) & eu", true),
            ("(dev & prod) | (us & eu)", false),
            ("!(dev | us)", true),
            ("((prod))", true),
            (" prod ", true),
            ("default", false),
        ] {
            assert_eq!(active.accept(expression), Ok(expect), "{expression}");
        }
        assert_eq!(Profiles::default().accept("default"), Ok(true));
        assert_eq!(Profiles::default().accept("!prod"), Ok(true));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        let deep = format!("{}a{}", "(".repeat(1_000), ")".repeat(1_000));
        let negated = format!("{}a", "!".repeat(1_000));
        for (expression, expect) in [
            ("", "the name of a profile is missing"),
            ("a & b | c", "need parentheses"),
            ("a | b & c", "need parentheses"),
            ("a &", "the name of a profile is missing"),
            ("& a", "the name of a profile is missing"),
            ("(a", "never closed"),
            ("a)", "`)` is too much"),
            ("()", "the name of a profile is missing"),
            ("a !b", "`!` is too much"),
            ("a b", "`a b` is not the name of a profile"),
            ("${x}", "`${x}` is not the name of a profile"),
            ("a (b)", "`(` is too much"),
            (&*deep, "nested more than 32 deep"),
            (&*negated, "nested more than 32 deep"),
        ] {
            let error = Profiles::default().accept(expression).expect_err(expression);
            assert!(error.contains(expect) && error.len() < 400, "{expression:.40}: {error}");
        }
    }

    #[test]
    fn names_are_bounded_and_have_their_last_place() {
        let active = Profiles::new(["dev, eu", "us,dev"]).expect("good");
        assert_eq!(active.names().collect::<Vec<_>>(), ["eu", "us", "dev"]);
        assert_eq!((active.to_string().as_str(), Profiles::default().to_string().as_str()), ("eu, us, dev", "none"));
        for bad in ["a b", "a/b", "!a", "${x}", &"x".repeat(200)] {
            assert!(Profiles::new([bad]).is_err(), "{bad}");
        }
        let many: Vec<_> = (0..40).map(|number| format!("p{number}")).collect();
        assert!(Profiles::new(many.iter().map(String::as_str)).is_err());
    }
}
