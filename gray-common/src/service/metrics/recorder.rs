//! The recorder of the process, if metrics are compiled in.

#[cfg(feature = "metrics")]
pub(in crate::service) use exporter::{Recorder, recorder};
#[cfg(not(feature = "metrics"))]
pub(in crate::service) use nothing::{Recorder, recorder};

#[cfg(feature = "metrics")]
mod exporter {
    use std::sync::OnceLock;

    use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

    use crate::telemetry;

    pub(in crate::service) type Recorder = PrometheusHandle;

    /// The process's recorder, installed on the first call; `None` when the program has installed another one before. It
    /// records what we count then, and where that is shown is the program's business.
    pub(in crate::service) fn recorder() -> Option<&'static PrometheusHandle> {
        static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let recorder = RECORDER.get_or_init(|| {
            install()
                .inspect_err(
                    |error| tracing::info!(%error, "metrics go to the program's own recorder: no /metrics here"),
                )
                .ok()
        });
        recorder.as_ref()
    }

    // Without histograms there is nothing to keep up between scrapes.
    fn install() -> Result<PrometheusHandle, BuildError> {
        let handle = PrometheusBuilder::new().install_recorder()?;
        telemetry::describe_metrics();
        Ok(handle)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn one_recorder_for_the_process() {
            let first = recorder().expect("no other one is installed in these tests");
            assert!(install().is_err(), "there is one already");
            assert!(std::ptr::eq(first, recorder().expect("it stays")));
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod nothing {
    /// There is none: what is counted goes to whatever recorder the program installs.
    #[derive(Debug)]
    pub(in crate::service) enum Recorder {}

    impl Recorder {
        pub(in crate::service) fn render(&self) -> String {
            match *self {}
        }
    }

    pub(in crate::service) fn recorder() -> Option<&'static Recorder> {
        None
    }
}
