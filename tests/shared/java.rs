//! A Java program that is told lines and says lines. Included by tests of adapters.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Ends with the test.
pub(crate) struct Java {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Java {
    /// `variable` names the folder in which `mvn process-classes` has put classes and libraries.
    pub(crate) fn start(variable: &str, class: &str, arguments: &[String]) -> Self {
        let folder = env::var_os(variable).unwrap_or_else(|| panic!("{variable} is missing: make test-spring"));
        let folder = PathBuf::from(folder);
        let path = format!("{}:{}", folder.join("classes").display(), folder.join("lib/*").display());
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &path, class]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Java");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (output, said) = (child.stdout.take().expect("its output"), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                said.lock().expect("no panic").push(line);
            }
        });
        Self { child, lines }
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("its input");
        input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
        input.flush().expect("it reads");
    }

    /// What it has said so far, in order of the alphabet.
    pub(crate) fn said(&self) -> Vec<String> {
        let mut lines = self.lines.lock().expect("no panic").clone();
        lines.sort();
        lines
    }

    /// Waits until it has said exactly this, in any order.
    pub(crate) fn says(&self, expect: &[&str], limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut expect = expect.to_vec();
        expect.sort_unstable();
        while self.said() != expect {
            assert!(Instant::now() < deadline, "{expect:?} expected, said {:?}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
