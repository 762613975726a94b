//! What both measurements of training share.

use magiclens_train::TrainError;
use magiclens_train::learner::Learner;
use magiclens_train::run::{Measurement, Observer, StepMetrics};

/// Keeps the seconds of each step.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) seconds: Vec<f64>,
}

impl Observer for Watch {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        self.seconds.push(metrics.seconds);
    }

    fn measure(&mut self, _step: usize, _learner: &Learner) -> Result<Measurement, TrainError> {
        Ok(Measurement {
            mean_recall_at_10: 0.0,
            line: serde_json::json!(null),
        })
    }

    fn chosen(&mut self, _step: usize, _best: usize) {}
}

/// The most memory that this process had at once.
pub(crate) fn peak_mib() -> Result<f64, Box<dyn std::error::Error>> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
