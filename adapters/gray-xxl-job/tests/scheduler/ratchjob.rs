//! A real scheduler as a process of this machine, and what its API says.

use std::{
    env,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(crate) const TOKEN: &str = "secret-of-the-test";

/// ratchjob; killed when dropped.
pub(crate) struct Ratchjob {
    client: reqwest::Client,
    port: u16,
    session: String,
    _process: Child,
    _dir: TempDir,
}

impl Ratchjob {
    /// `RATCHJOB` names the program. It takes three ports from `port` on, 100 apart.
    pub(crate) async fn start(port: u16) -> Self {
        let program =
            env::var_os("RATCHJOB").map(PathBuf::from).expect("RATCHJOB names the program: make test-jobs sets it");
        let dir = tempfile::tempdir().expect("a directory");
        let process = Command::new(program)
            .env("RATCH_DATA_DIR", dir.path())
            .env("RATCH_HTTP_API_PORT", port.to_string())
            .env("RATCH_XXL_DEFAULT_ACCESS_TOKEN", TOKEN)
            .env("RATCH_CONSOLE_ENABLE_CAPTCHA", "false")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ratchjob starts");
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().expect("a client");
        let mut ratchjob = Self { client, port, session: String::new(), _process: process, _dir: dir };
        ratchjob.session = until("ratchjob lets us in", Duration::from_secs(60), async || ratchjob.login().await).await;
        ratchjob
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/xxl-job-admin", self.port)
    }

    async fn login(&self) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/ratchjob/api/console/v1/login/login", self.port + 100);
        let form = format!("username=admin&password={}", STANDARD.encode("admin").replace('=', "%3D"));
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        Some(answer["data"]["token"].as_str()?.to_owned())
    }

    async fn get(&self, port: u16, path: &str) -> Option<Value> {
        let request = self.client.get(format!("http://127.0.0.1:{port}{path}")).header("Token", &self.session);
        request.send().await.ok()?.json().await.ok()
    }

    async fn post(&self, port: u16, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("http://127.0.0.1:{port}{path}")).header("Token", &self.session);
        request.json(body).send().await.expect("an answer").json().await.expect("JSON")
    }

    /// The addresses of the executors of a group.
    pub(crate) async fn executors(&self, app: &str) -> Vec<String> {
        let answer = self.get(self.port, &format!("/ratch/v1/app/instance/addrs?appName={app}&namespace=xxl")).await;
        let list = answer.and_then(|answer| answer["data"].as_array().cloned()).unwrap_or_default();
        let mut found: Vec<_> = list.iter().filter_map(|at| at.as_str().map(str::to_owned)).collect();
        found.sort();
        found
    }

    /// Makes a job; what is given goes before the rest.
    pub(crate) async fn job(&self, app: &str, handler: &str, given: Value) -> u64 {
        let mut job = json!({
            "namespace": "xxl", "appName": app, "description": handler, "handleName": handler, "enable": true,
            "scheduleType": "NONE", "runMode": "BEAN", "routerStrategy": "ROUND_ROBIN", "pastDueStrategy": "DEFAULT",
            "blockingStrategy": "SERIAL_EXECUTION", "timeoutSecond": 0, "tryTimes": 0, "triggerParam": "", "cronValue": "",
        });
        let given = given.as_object().cloned().unwrap_or_default();
        job.as_object_mut().expect("an object").extend(given);
        let answer = self.post(self.port, "/ratch/v1/job/create", &job).await;
        answer["content"]["id"].as_u64().unwrap_or_else(|| panic!("no job: {answer}"))
    }

    /// Runs a job once, as a person does in the console.
    pub(crate) async fn run(&self, job: u64, params: &str) {
        let body = json!({"jobId": job, "triggerParam": params});
        let answer = self.post(self.port + 100, "/ratchjob/api/console/v1/job/trigger", &body).await;
        assert_eq!(answer["success"], true, "{answer}");
    }

    /// All runs of a job, newest first.
    pub(crate) async fn runs(&self, job: u64) -> Vec<Value> {
        let answer = self.get(self.port, &format!("/ratch/v1/job/task/list?jobId={job}&pageSize=100")).await;
        answer.and_then(|answer| answer["data"]["list"].as_array().cloned()).unwrap_or_default()
    }

    /// Waits until a job has so many runs that ended, and gives them back.
    pub(crate) async fn ended(&self, job: u64, count: usize) -> Vec<Value> {
        let what = format!("{count} runs of job {job} have ended");
        until(&what, Duration::from_secs(60), async || {
            let runs = self.runs(job).await;
            let ended = |run: &&Value| matches!(run["status"].as_str(), Some("SUCCESS" | "FAIL" | "Success" | "Fail"));
            let ended: Vec<_> = runs.iter().filter(ended).cloned().collect();
            (ended.len() >= count).then_some(ended)
        })
        .await
    }

    /// The log of a run, as the console shows it.
    pub(crate) async fn log(&self, job: u64, task: u64) -> String {
        let path = format!("/ratchjob/api/console/v1/job/task/log?jobId={job}&taskId={task}&fromLineNum=1");
        let answer = self.get(self.port + 100, &path).await.expect("an answer");
        answer["data"]["logContent"].as_str().unwrap_or_else(|| panic!("no log: {answer}")).to_owned()
    }
}

/// Waits until there is something.
pub(crate) async fn until<T>(what: &str, limit: Duration, look: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
