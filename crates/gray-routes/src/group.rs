//! `${name}` in RewritePath: a placeholder, or a group of the expression.

use gray_document::Item;

/// The filter in whose arguments `${name}` may be a group of an expression.
pub(super) const REWRITE_PATH: &str = "RewritePath";

/// The text of an argument of RewritePath in which some `${name}` are set in no document: Spring leaves those as they are,
/// and they are groups of the expression. `None` for a text without any.
pub(super) fn rewritten(item: &Item<'_>, expression: &str) -> Option<String> {
    let whole = item.text_with(|_, _| None)?;
    let is_group = |name: &str| {
        [&whole, expression]
            .iter()
            .any(|text| text.contains(&format!("(?<{name}>")) || text.contains(&format!("(?P<{name}>")))
    };
    if expression.is_empty() && !whole.trim_start().starts_with(REWRITE_PATH) {
        return None;
    }
    item.text_with(|name, value| match value {
        Some(value) if !is_group(name) => Some(value),
        value => {
            let spring = if value.is_some() { " (Spring would put the variable of the environment there)" } else { "" };
            item.warn(format!(
                "no document sets `${{{name}}}`: it stays as written, for the group of this name{spring}; write `$\\{{{name}}}`"
            ));
            None
        }
    })
}

/// The texts of arguments in which an expression may be.
pub(super) fn expression(args: &Item<'_>) -> String {
    let texts = |item: &Item<'_>| item.text_with(|_, _| None).or_else(|| item.text().map(str::to_owned));
    if !args.is_map() {
        return String::from(" ");
    }
    let texts =
        args.section().keys().into_iter().filter(|(_, item)| !item.is_map()).filter_map(|(_, item)| texts(&item));
    texts.fold(String::from(" "), |all, text| all + &text + " ")
}
