//! The users of the demo.

/// Name of a user, if there is one of this number.
pub(crate) fn name(user_no: &str) -> Option<&'static str> {
    match user_no {
        "U0001" => Some("用户1号"),
        "U0002" => Some("用户2号"),
        "U0003" => Some("用户3号"),
        _ => None,
    }
}
