//! The protocol of xxl-job: what the scheduler sends and gets, as JSON. Names of fields are the protocol's, with its spelling
//! (`logDateTim`). Read from the sources of xxl-job-core 2.4.1 and 3.2.0, which say the same.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The header that carries the access token, both ways: `XXL-JOB-ACCESS-TOKEN`, as crates for HTTP want it.
pub(crate) const LOWER_TOKEN_HEADER: &str = "xxl-job-access-token";

/// Codes of answers and of outcomes.
pub(crate) mod code {
    pub(crate) const SUCCESS: i32 = 200;
    pub(crate) const FAILED: i32 = 500;
    pub(crate) const TIMEOUT: i32 = 502;
}

/// Deepest nesting of a body. The protocol's own bodies have one level.
const MAX_DEPTH: usize = 8;

/// One run, as the scheduler asks for it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trigger {
    pub(crate) job_id: i64,
    pub(crate) log_id: i64,
    pub(crate) log_date_time: Option<i64>,
    pub(crate) executor_handler: Option<String>,
    pub(crate) executor_params: Option<String>,
    pub(crate) executor_block_strategy: Option<String>,
    /// Seconds; 0 or less = none.
    pub(crate) executor_timeout: Option<i64>,
    pub(crate) glue_type: Option<String>,
    pub(crate) broadcast_index: Option<i64>,
    pub(crate) broadcast_total: Option<i64>,
}

/// What tells one run from all others. A scheduler repeats the number of a run when it retries one, and one that starts
/// from an empty database counts from 1 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    pub(crate) job: i64,
    pub(crate) log: i64,
    pub(crate) date: i64,
}

impl Trigger {
    pub(crate) fn key(&self) -> RunKey {
        RunKey { job: self.job_id, log: self.log_id, date: self.log_date_time.unwrap_or_default() }
    }
}

/// `idleBeat` and `kill`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfJob {
    pub(crate) job_id: i64,
}

/// `log`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogQuery {
    pub(crate) log_id: i64,
    #[serde(default)]
    pub(crate) from_line_num: i64,
}

/// Some lines of the log of a run, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogPage {
    pub(crate) from_line_num: i64,
    pub(crate) to_line_num: i64,
    pub(crate) log_content: String,
    pub(crate) is_end: bool,
}

/// The answer to every request, of executor and scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer<T = ()> {
    pub(crate) code: i32,
    pub(crate) msg: Option<String>,
    pub(crate) content: Option<T>,
}

impl<T> Answer<T> {
    pub(crate) fn of(content: Option<T>) -> Self {
        Self { code: code::SUCCESS, msg: None, content }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self { code: code::FAILED, msg: Some(reason.into()), content: None }
    }
}

/// What of a scheduler's answer counts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Acknowledgement {
    pub(crate) code: i32,
    #[serde(default)]
    pub(crate) msg: Option<String>,
}

/// `registry` and `registryRemove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registration {
    pub(crate) registry_group: &'static str,
    pub(crate) registry_key: String,
    pub(crate) registry_value: String,
}

/// One item of `callback`: how a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Callback {
    pub(crate) log_id: i64,
    pub(crate) log_date_tim: i64,
    pub(crate) handle_code: i32,
    pub(crate) handle_msg: String,
}

impl Callback {
    /// Longest message, in bytes.
    const MAX_MESSAGE: usize = 4096;

    pub(crate) fn new(run: RunKey, handle_code: i32, message: &str) -> Self {
        let handle_msg = shortened(message, Self::MAX_MESSAGE).to_owned();
        Self { log_id: run.log, log_date_tim: run.date, handle_code, handle_msg }
    }
}

/// The first bytes of a text, whole characters.
pub(crate) fn shortened(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Reads a body.
///
/// # Errors
/// What is wrong with it, for the scheduler's log.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if !is_shallow(body) {
        return Err(format!("the body is nested deeper than {MAX_DEPTH} levels"));
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is not what xxl-job sends: {error}"))
}

/// Whether a text opens no more than [`MAX_DEPTH`] brackets within each other, those in strings left out.
fn is_shallow(body: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As xxl-job-core 3.2.0 writes it.
    const RECORDED: &str = r#"{"jobId":3,"executorHandler":"viewOrders","executorParams":"7","executorBlockStrategy":"COVER_EARLY","executorTimeout":5,"logId":41,"logDateTime":1764400000000,"glueType":"BEAN","glueSource":"","glueUpdatetime":1764300000000,"broadcastIndex":1,"broadcastTotal":4}"#;

    #[test]
    fn a_recorded_trigger_is_read() {
        let trigger: Trigger = read(RECORDED.as_bytes()).expect("as recorded");
        let expect = Trigger {
            job_id: 3,
            log_id: 41,
            log_date_time: Some(1_764_400_000_000),
            executor_handler: Some("viewOrders".into()),
            executor_params: Some("7".into()),
            executor_block_strategy: Some("COVER_EARLY".into()),
            executor_timeout: Some(5),
            glue_type: Some("BEAN".into()),
            broadcast_index: Some(1),
            broadcast_total: Some(4),
        };
        assert_eq!(trigger, expect);
    }

    #[test]
    fn what_is_written_has_the_names_of_the_protocol() {
        let run = RunKey { job: 1, log: 2, date: 3 };
        let json = |value: serde_json::Result<String>| value.expect("JSON");
        let callback = json(serde_json::to_string(&Callback::new(run, code::TIMEOUT, "late")));
        assert_eq!(callback, r#"{"logId":2,"logDateTim":3,"handleCode":502,"handleMsg":"late"}"#);
        let page = LogPage { from_line_num: 1, to_line_num: 2, log_content: "a\nb\n".into(), is_end: true };
        let answer = json(serde_json::to_string(&Answer::of(Some(page))));
        let expect =
            r#"{"code":200,"msg":null,"content":{"fromLineNum":1,"toLineNum":2,"logContent":"a\nb\n","isEnd":true}}"#;
        assert_eq!(answer, expect);
        let registration = Registration {
            registry_group: "EXECUTOR",
            registry_key: "app".into(),
            registry_value: "http://h:1/".into(),
        };
        let expect = r#"{"registryGroup":"EXECUTOR","registryKey":"app","registryValue":"http://h:1/"}"#;
        assert_eq!(json(serde_json::to_string(&registration)), expect);
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let deep = format!(r#"{{"jobId":1,"logId":1,"x":{}{}}}"#, "[".repeat(9), "]".repeat(9));
        for (body, expect) in [
            ("", "EOF"),
            ("null", "null"),
            (r#"{"jobId":1}"#, "logId"),
            (r#"{"jobId":"1","logId":2}"#, "string"),
            (r#"{"jobId":1,"jobId":2,"logId":2}"#, "duplicate"),
            (r#"{"jobId":1.5,"logId":2}"#, "1.5"),
            (r#"{"jobId":1,"logId":18446744073709551615}"#, "18446744073709551615"),
            (deep.as_str(), "deeper"),
        ] {
            let error = read::<Trigger>(body.as_bytes()).expect_err(body);
            assert!(error.contains(expect), "{body}: {error}");
        }
        let brackets_in_text = r#"{"jobId":1,"logId":2,"executorParams":"\"[[[[[[[[[[[[{{{{{"}"#;
        assert!(read::<Trigger>(brackets_in_text.as_bytes()).is_ok());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let run = RunKey { job: 1, log: 2, date: 3 };
        let callback = Callback::new(run, code::SUCCESS, &"单".repeat(5000));
        assert_eq!(callback.handle_msg.len(), 4095);
    }
}
