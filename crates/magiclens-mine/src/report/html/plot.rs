//! Plots as SVG that fit any width: places along the line are in percent, so letters keep their size on a narrow screen.

use super::escape;
use crate::report::counts::BINS;
use crate::report::funnel::{FunnelStage, FunnelStep};
use crate::report::tables::{percent, whole};
use crate::report::words::{GeneratorWords, Opening};
use crate::report::{MiningReport, ScoreHistogram};

/// Height of a stage in the funnel: its name above its bar.
const STAGE_PX: usize = 38;
const STEP_PX: usize = 30;
/// Height of a histogram's bars.
const BARS_PX: f64 = 90.0;
const TREE_PX: f64 = 420.0;
/// Height that a word needs.
const MIN_WORD_PX: f64 = 13.0;

/// All stages below each other: what came in as a bar, what went on filled. Bars of one unit share a scale.
pub(super) fn funnel(report: &MiningReport) -> String {
    let stages = report.steps.iter().map(|step| step.stages.len()).sum::<usize>();
    if stages == 0 {
        return String::new();
    }
    let height = report.steps.len() * STEP_PX + stages * STAGE_PX;
    let mut svg = format!(
        "<figure class=\"funnel\">\n<figcaption>What went on from stage to stage</figcaption>\n\
         <p class=\"note\"><span class=\"key ours\">went on</span> <span class=\"key\">dropped</span> \
         Bars of the same unit have the same scale.</p>\n\
         <svg width=\"100%\" height=\"{height}\" role=\"img\" aria-label=\"Funnel: the same numbers stand in the tables below\">\n"
    );
    let mut y = 0;
    for step in &report.steps {
        svg += &format!(
            "<text class=\"step\" x=\"0\" y=\"{}\">{}</text>\n",
            y + 20,
            escape(&step.step)
        );
        y += STEP_PX;
        for stage in &step.stages {
            svg += &bar(stage, largest(&report.steps, &stage.unit), y);
            y += STAGE_PX;
        }
    }
    svg += "</svg>\n</figure>\n";
    svg
}

/// The most items of a unit that came into any stage.
fn largest(steps: &[FunnelStep], unit: &str) -> u64 {
    let of_unit = steps
        .iter()
        .flat_map(|step| &step.stages)
        .filter(|stage| stage.unit == unit);
    of_unit.map(|stage| stage.items.max(stage.kept)).max().unwrap_or(0)
}

fn bar(stage: &FunnelStage, largest: u64, y: usize) -> String {
    let width = |items: u64| 100.0 * items as f64 / largest.max(1) as f64;
    let name = escape(&stage.stage);
    let numbers = format!(
        "{} of {} {}",
        whole(stage.kept),
        whole(stage.items),
        escape(&stage.unit)
    );
    let reasons: Vec<String> = stage
        .dropped
        .iter()
        .map(|dropped| format!("{} {}", escape(&dropped.reason), whole(dropped.items)))
        .collect();
    let reasons = if reasons.is_empty() {
        String::new()
    } else {
        format!("; dropped: {}", reasons.join(", "))
    };
    format!(
        "<g><title>{name}: {numbers} went on{reasons}</title>\
         <text x=\"0\" y=\"{text}\">{name}</text><text class=\"value\" x=\"100%\" y=\"{text}\">{numbers}</text>\
         <rect class=\"track\" x=\"0\" y=\"{bar}\" width=\"100%\" height=\"10\" rx=\"2\"/>\
         <rect class=\"came\" x=\"0\" y=\"{bar}\" width=\"{:.3}%\" height=\"10\" rx=\"2\"/>\
         <rect class=\"went\" x=\"0\" y=\"{bar}\" width=\"{:.3}%\" height=\"10\" rx=\"2\"/></g>\n",
        width(stage.items),
        width(stage.kept),
        text = y + 13,
        bar = y + 19,
    )
}

/// The lengths of a generator's instructions; the last bar is all longer ones.
pub(super) fn lengths(generator: &GeneratorWords) -> String {
    let histogram = &generator.length.histogram;
    let last = histogram.iter().rposition(|&items| items > 0).unwrap_or(0);
    let shown = &histogram[..histogram.len().min(last.max(11) + 1)];
    let is_cut = shown.len() == histogram.len();
    let end = format!(
        "{}{} words",
        shown.len().saturating_sub(1),
        if is_cut { "+" } else { "" }
    );
    let about = |at: usize| format!("{at} words");
    bars(&format!("Length, {}", generator.generator), shown, ["0", &end], &about)
}

/// How a score is spread: the bins between the first and the last that are not empty.
pub(super) fn score(histogram: &ScoreHistogram) -> String {
    let first = histogram.bins.iter().position(|&items| items > 0);
    let last = histogram.bins.iter().rposition(|&items| items > 0);
    let (Some(first), Some(last)) = (first, last) else {
        return String::new();
    };
    let from = |bin: usize| bin as f64 / (BINS as f64 / 2.0) - 1.0;
    let about = |at: usize| format!("{:.2} to {:.2}", from(first + at), from(first + at + 1));
    let ends = [from(first), from(last + 1)].map(|end| format!("{end:.2}"));
    bars(
        &format!("Score {}", histogram.score),
        &histogram.bins[first..=last],
        [&ends[0], &ends[1]],
        &about,
    )
}

fn bars(title: &str, items: &[u64], ends: [&str; 2], about: &dyn Fn(usize) -> String) -> String {
    let title = escape(title);
    let most = items.iter().copied().max().unwrap_or(0).max(1);
    let step = 100.0 / items.len().max(1) as f64;
    let mut svg = format!(
        "<figure>\n<figcaption>{title}</figcaption>\n<svg width=\"100%\" height=\"{}\" role=\"img\" aria-label=\"{title}\">\n",
        BARS_PX + 32.0
    );
    for (at, &count) in items.iter().enumerate() {
        let height = (BARS_PX * count as f64 / most as f64).max(if count > 0 { 1.0 } else { 0.0 });
        svg += &format!(
            "<rect class=\"went\" x=\"{:.3}%\" y=\"{:.1}\" width=\"{:.3}%\" height=\"{height:.1}\"><title>{}: {}</title></rect>\n",
            step * (at as f64 + 0.05),
            14.0 + BARS_PX - height,
            step * 0.9,
            about(at),
            whole(count),
        );
    }
    svg += &format!(
        "<text class=\"tick\" x=\"0\" y=\"10\">most: {}</text>\
         <text class=\"tick\" x=\"0\" y=\"{y}\">{}</text><text class=\"tick value\" x=\"100%\" y=\"{y}\">{}</text>\n</svg>\n</figure>\n",
        whole(most),
        ends[0],
        ends[1],
        y = BARS_PX + 28.0,
    );
    svg
}

/// The first, second and third words of instructions: three columns in which heights are shares.
pub(super) fn openings(generator: &GeneratorWords) -> String {
    if generator.openings.is_empty() {
        return String::new();
    }
    let title = escape(&format!("How they begin, {}", generator.generator));
    let all = generator.measured.max(1);
    let mut svg = format!(
        "<figure>\n<figcaption>{title}</figcaption>\n\
         <svg width=\"100%\" height=\"{TREE_PX}\" role=\"img\" aria-label=\"{title}: the most frequent first three words\">\n"
    );
    branches(&generator.openings, 0, 0.0, all, &mut Vec::new(), &mut svg);
    svg += "</svg>\n</figure>\n";
    svg
}

fn branches<'a>(
    openings: &'a [Opening],
    depth: usize,
    mut y: f64,
    all: u64,
    before: &mut Vec<&'a str>,
    svg: &mut String,
) {
    for opening in openings {
        let height = TREE_PX * opening.items as f64 / all as f64;
        before.push(&opening.word);
        let share = opening.items as f64 / all as f64;
        let label = if height < MIN_WORD_PX {
            String::new()
        } else {
            format!(
                "<text x=\"6\" y=\"{:.1}\">{}</text>",
                (height / 2.0 + 4.0).min(18.0),
                escape(&opening.word)
            )
        };
        // An inner drawing cuts off a long word at its edge.
        *svg += &format!(
            "<svg x=\"{:.2}%\" y=\"{y:.1}\" width=\"33%\" height=\"{height:.1}\"><title>{}: {}, {}</title>\
             <rect class=\"word\" width=\"100%\" height=\"100%\"/>{label}</svg>\n",
            33.5 * depth as f64,
            escape(&before.join(" ")),
            whole(opening.items),
            percent(share),
        );
        branches(&opening.next, depth + 1, y, all, before, svg);
        before.pop();
        y += height;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::examples;
    use super::*;

    #[test]
    fn bars_of_a_unit_share_a_scale() {
        let report = examples::report();
        let svg = funnel(&report);
        // 900 of at most 1200 pages; 60 of at most 600 pairs came into `instruct`, 50 went on.
        for part in [
            "<title>language: 900 of 1,000 pages went on; dropped: other language 100</title>",
            "class=\"went\" x=\"0\" y=\"87\" width=\"75.000%\"",
            "width=\"10.000%\"",
            "width=\"8.333%\"",
            "<title>size: 3,000 of 4,000 pictures went on; dropped: too small 750, extreme aspect 250</title>",
        ] {
            assert!(svg.contains(part), "{part}\n-- is not in --\n{svg}");
        }
        assert_eq!(svg.matches("<g>").count(), 6);
    }

    #[test]
    fn histograms_show_all_bars() {
        let report = examples::report();
        let svg = lengths(&report.words.generators[1]);
        // Three words each; bars from 0 to 11 words.
        assert!(
            svg.contains("<title>3 words: 45</title>") && svg.contains("most: 45") && svg.contains(">11 words<"),
            "{svg}"
        );
        assert_eq!(svg.matches("<rect").count(), 12);
        let svg = score(&report.triplets.scores[1]);
        assert!(svg.contains("<title>0.25 to 0.30: 60</title>"), "{svg}");
        assert_eq!(score(&ScoreHistogram::default()), "");
        assert!(!lengths(&GeneratorWords::default()).contains("NaN"));
    }

    #[test]
    fn openings_are_nested_by_share() {
        let report = examples::report();
        let svg = openings(&report.words.generators[1]);
        assert!(svg.contains("<title>with effect: 45, 100.0 %</title>"), "{svg}");
        // The third words are numbers: the four most frequent ones are shown, too low for a label.
        assert_eq!(svg.matches("<svg x=").count(), 6);
        assert_eq!(openings(&GeneratorWords::default()), "");
    }
}
