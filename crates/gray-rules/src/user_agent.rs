//! What a `User-Agent` gives away, as far as releases care: enough to say "Android" or "WeChat".

/// Which question about the user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agent {
    /// `android`, `ios`, `harmony`, `windows`, `macos`, `linux`, `other`.
    Os,
    /// `wechat`, `alipay`, `edge`, `opera`, `samsung`, `firefox`, `chrome`, `safari`, `bot`, `other`.
    Family,
}

/// The first token that occurs names the family: browsers claim to be their predecessors, so the newest comes first.
const FAMILIES: [(&str, &str); 17] = [
    ("bot", "bot"),
    ("spider", "bot"),
    ("crawler", "bot"),
    ("micromessenger", "wechat"),
    ("alipayclient", "alipay"),
    ("edg/", "edge"),
    ("edga/", "edge"),
    ("edgios/", "edge"),
    ("edge/", "edge"),
    ("opr/", "opera"),
    ("opera", "opera"),
    ("samsungbrowser", "samsung"),
    ("firefox/", "firefox"),
    ("fxios/", "firefox"),
    ("crios/", "chrome"),
    ("chrome/", "chrome"),
    ("safari/", "safari"),
];
const SYSTEMS: [(&str, &str); 9] = [
    ("harmony", "harmony"),
    ("openharmony", "harmony"),
    ("android", "android"),
    ("iphone", "ios"),
    ("ipad", "ios"),
    ("windows", "windows"),
    ("mac os x", "macos"),
    ("macintosh", "macos"),
    ("linux", "linux"),
];

impl Agent {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Family => "family",
        }
    }

    /// Every answer there is.
    pub fn answers(self) -> impl Iterator<Item = &'static str> {
        self.table().iter().map(|(_, family)| *family).chain(["other"])
    }

    const fn table(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Os => &SYSTEMS,
            Self::Family => &FAMILIES,
        }
    }

    pub(super) fn family(self, text: &[u8]) -> &'static str {
        let found = self.table().iter().find(|(token, _)| contains(text, token.as_bytes()));
        found.map_or("other", |(_, family)| family)
    }
}

/// Whether the text has the (lower case) token, in any case.
fn contains(text: &[u8], token: &[u8]) -> bool {
    text.windows(token.len()).any(|window| window.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_apart() {
        let cases = [
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
                "android",
                "chrome",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1",
                "ios",
                "safari",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/125.0 Safari/537.36 Edg/125.0",
                "windows",
                "edge",
            ),
            ("Mozilla/5.0 (Linux; Android 13) MicroMessenger/8.0.49 Chrome/116 Safari/537", "android", "wechat"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5; rv:127.0) Gecko Firefox/127.0", "macos", "firefox"),
            ("Googlebot/2.1", "other", "bot"),
            ("curl/8.5.0", "other", "other"),
            ("", "other", "other"),
        ];
        for (text, os, family) in cases {
            assert_eq!(
                (Agent::Os.family(text.as_bytes()), Agent::Family.family(text.as_bytes())),
                (os, family),
                "{text}"
            );
        }
    }
}
