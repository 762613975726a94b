//! The progress of long work on standard error: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

#[cfg(feature = "train")]
use indicatif::HumanDuration;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle, WeakProgressBar};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A bar over `length` things, for example "images indexed". Lines end when it is finished or dropped.
pub(crate) fn bar(length: usize, what: impl Into<String>) -> ProgressBar {
    let template = "{bar:30} {pos}/{len} {msg}, {elapsed} elapsed, {eta} left";
    shown(length as u64, what.into(), template, line)
}

/// A bar over `length` things whose time left is told by [`show_left`], because they do not all take the same time or
/// begin in the middle.
#[cfg(feature = "train")]
pub(crate) fn paced_bar(length: usize, what: impl Into<String>) -> ProgressBar {
    let template = "{bar:30} {pos}/{len} {msg}, {elapsed} elapsed{prefix}";
    shown(length as u64, what.into(), template, paced_line)
}

/// Shows the time that is left of a [`paced_bar`].
#[cfg(feature = "train")]
pub(crate) fn show_left(bar: &ProgressBar, left: Duration) {
    bar.set_prefix(format!(", {:#} left", HumanDuration(left)));
}

/// A bar over the bytes of a file; `length` 0 where that is unknown.
pub(crate) fn bytes_bar(length: u64, file: &str) -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes} {msg}, {bytes_per_sec}, {eta} left";
    shown(length, file.to_owned(), template, |bar| {
        let (done, total) = (HumanBytes(bar.position()), HumanBytes(bar.length().unwrap_or(0)));
        let (file, left) = (bar.message(), bar.eta().as_secs());
        format!("{done} of {total} of {file}, {left} s left")
    })
}

fn shown(length: u64, what: String, template: &str, line: fn(&ProgressBar) -> String) -> ProgressBar {
    let style = ProgressStyle::with_template(template)
        .expect("the template is well-formed")
        .progress_chars("━╸─");
    let bar = ProgressBar::new(length).with_style(style).with_message(what);
    match std::io::stderr().is_terminal() {
        true => bar.enable_steady_tick(Duration::from_millis(200)),
        false => print_lines(bar.downgrade(), LINE_EVERY, line, |line| tell(&line)),
    }
    bar
}

#[expect(clippy::print_stderr, reason = "people watch the run; standard output is for data")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

fn print_lines(
    bar: WeakProgressBar,
    every: Duration,
    line: fn(&ProgressBar) -> String,
    print: impl Fn(String) + Send + 'static,
) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(every);
            match bar.upgrade() {
                Some(bar) if !bar.is_finished() => print(line(&bar)),
                _ => break,
            }
        }
    });
}

fn line(bar: &ProgressBar) -> String {
    let (done, what, elapsed) = (bar.position(), bar.message(), bar.elapsed().as_secs());
    match bar.length().unwrap_or(0) {
        0 => format!("{what}, {elapsed} s elapsed"),
        total => {
            let left = match done {
                0 => String::new(),
                _ => format!(", {} s left", bar.eta().as_secs()),
            };
            format!("{done}/{total} {what}, {elapsed} s elapsed{left}")
        }
    }
}

#[cfg(feature = "train")]
fn paced_line(bar: &ProgressBar) -> String {
    let (done, total, what) = (bar.position(), bar.length().unwrap_or(0), bar.message());
    let (elapsed, left) = (HumanDuration(bar.elapsed()), bar.prefix());
    format!("{done}/{total} {what}, {elapsed:#} elapsed{left}")
}

#[cfg(feature = "eval")]
pub(crate) use steps::Progress;

#[cfg(feature = "eval")]
mod steps {
    use std::sync::{Mutex, PoisonError};

    use indicatif::ProgressBar;
    use magiclens_eval::images::Step;

    use super::bar;

    /// The bar of the step of an evaluation that is running.
    #[derive(Default)]
    pub(crate) struct Progress(Mutex<Option<ProgressBar>>);

    impl Progress {
        /// Shows a step.
        pub(crate) fn show(&self, step: Step<'_>) {
            let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match step {
                Step::Start(what, count) => *current = Some(bar(count, what)),
                Step::Advance(count) => current.iter().for_each(|bar| bar.inc(count as u64)),
                Step::Done => current.take().iter().for_each(ProgressBar::finish_and_clear),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn lines_tell_the_progress_until_the_bar_is_finished() {
        let bar = ProgressBar::hidden().with_message("images indexed");
        bar.set_length(40);
        bar.set_position(10);
        let (sender, lines) = mpsc::channel();
        print_lines(bar.downgrade(), Duration::from_millis(5), line, move |line| {
            _ = sender.send(line)
        });
        let first = lines.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(first.starts_with("10/40 images indexed, 0 s elapsed, "), "{first}");
        bar.finish();
        // The thread ends, and with it the channel.
        while lines.recv_timeout(Duration::from_secs(20)).is_ok() {}
        assert_eq!(lines.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[cfg(feature = "train")]
    #[test]
    fn a_paced_bar_tells_the_time_left_that_it_is_told() {
        let bar = ProgressBar::hidden().with_message("steps, loss 2.3");
        bar.set_length(600);
        bar.set_position(340);
        assert_eq!(paced_line(&bar), "340/600 steps, loss 2.3, 0s elapsed");
        show_left(&bar, Duration::from_secs(150));
        assert_eq!(paced_line(&bar), "340/600 steps, loss 2.3, 0s elapsed, 3m left");
    }
}
