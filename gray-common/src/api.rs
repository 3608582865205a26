//! The answer envelope of the demo services and its codes (Java: `ApiResult`, `ResultCode`). The texts are the Java
//! system's, to the letter.

use serde::{Deserialize, Serialize};

/// A code with its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 200
    Success,
    /// 500
    ServerError,
    /// 401
    Unauthorized,
    /// 2000
    CustomSuccess,
    /// 5000
    CustomError,
    /// 1404
    UserNotFound,
    /// 2404
    LoginUserNotFound,
    /// 3404; the Java system has no answer of its own for it.
    OrderNotFound,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::ServerError,
        Self::Unauthorized,
        Self::CustomSuccess,
        Self::CustomError,
        Self::UserNotFound,
        Self::LoginUserNotFound,
        Self::OrderNotFound,
    ];

    /// The number in `code`.
    pub const fn number(self) -> u32 {
        match self {
            Self::Success => 200,
            Self::ServerError => 500,
            Self::Unauthorized => 401,
            Self::CustomSuccess => 2000,
            Self::CustomError => 5000,
            Self::UserNotFound => 1404,
            Self::LoginUserNotFound => 2404,
            Self::OrderNotFound => 3404,
        }
    }

    /// The text in `msg`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Success => "成功！",
            Self::ServerError => "服务器异常！",
            Self::Unauthorized => "用户未登录,或者token已失效！",
            Self::CustomSuccess => "自定义成功！",
            Self::CustomError => "自定义异常！",
            Self::UserNotFound => "用户不存在！",
            Self::LoginUserNotFound => "自动登录用户不存在！",
            Self::OrderNotFound => "订单不存在！",
        }
    }
}

/// The envelope: `{"code":200,"msg":"成功！","data":…,"success":true,"fail":false}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiResult<T> {
    /// 200 for success, else a code of [`Code`] or an HTTP status.
    pub code: u32,
    /// Text for people.
    pub msg: String,
    /// The content; null in errors.
    pub data: Option<T>,
    /// Whether it is a success.
    pub success: bool,
    /// The opposite of `success`.
    pub fail: bool,
}

impl<T> ApiResult<T> {
    /// A success with content.
    pub fn success(data: T) -> Self {
        let code = Code::Success;
        Self { code: code.number(), msg: code.text().into(), data: Some(data), success: true, fail: false }
    }

    /// An error with a code's own text.
    pub fn failure(code: Code) -> Self {
        Self::error(code.number(), code.text())
    }

    /// An error with any code and text.
    pub fn error(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), data: None, success: false, fail: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_the_java_systems() {
        let json = serde_json::to_string(&ApiResult::success("x")).expect("serialises");
        assert_eq!(json, r#"{"code":200,"msg":"成功！","data":"x","success":true,"fail":false}"#);
        let json = serde_json::to_string(&ApiResult::<()>::failure(Code::UserNotFound)).expect("serialises");
        assert_eq!(json, r#"{"code":1404,"msg":"用户不存在！","data":null,"success":false,"fail":true}"#);
    }

    #[test]
    fn codes_are_distinct() {
        let numbers: std::collections::BTreeSet<_> = Code::ALL.into_iter().map(Code::number).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
    }
}
