//! Expressions on the account of the documents that they are from.

use gray_document::Compile;

use super::{Expression, Form, Unfit};

impl Compile for Form {
    type Expression = Expression;
    type Unfit = Unfit;
    const KIND: &'static str = "regular expressions";

    fn compile<E: From<Unfit>>(self, text: &str, spend: impl FnMut(usize) -> Result<(), E>) -> Result<Expression, E> {
        Expression::new(text, self, spend)
    }
}

#[cfg(test)]
mod tests {
    use gray_document::Budget;

    use super::*;
    use crate::JavaForm;

    #[test]
    fn the_same_expression_is_compiled_once() {
        let budget = Budget::default();
        for (text, form, is_known) in [
            ("a.*", JavaForm::Whole, false),
            ("a.*", JavaForm::Whole, true),
            ("a.*", JavaForm::Within, false),
            ("(a{1000}){1000}", JavaForm::Within, false),
            ("(a{1000}){1000}", JavaForm::Within, true),
            ("a++b", JavaForm::Within, false),
            ("a++b", JavaForm::Within, true),
        ] {
            let before = budget.left();
            drop(budget.expression(text, form));
            assert_eq!(budget.left() == before, is_known, "{text} {form:?}");
        }
        drop(budget.spend("others", Budget::BYTES));
        assert!(budget.expression("b.*", JavaForm::Within).expect_err("no room").contains("32 MiB"));
        assert!(budget.expression("b++", JavaForm::Within).expect_err("no room").contains("32 MiB"));
        assert!(budget.expression("a.*", JavaForm::Within).is_ok(), "known");
    }

    /// 1,000 expressions that are each in bounds, in 8 KB.
    #[test]
    fn many_expressions_in_bounds_are_not() {
        let budget = Budget::default();
        let (mut good, mut last) = (Vec::new(), None);
        for number in 0..1000 {
            match budget.expression(&format!(r"\w{{8}}{number}"), Form::WholeBytes) {
                Ok(expression) => good.push(expression),
                Err(error) => last = Some(error),
            }
        }
        assert!((10..200).contains(&good.len()), "{} of 1000 fit", good.len());
        assert!(good.iter().map(Expression::bytes).sum::<usize>() <= Budget::BYTES);
        assert!(last.expect("not all fit").contains("regular expressions"));
    }
}
