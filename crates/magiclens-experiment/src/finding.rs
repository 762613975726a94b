//! The one sentence about the claim, made of the numbers alone: it says the same of every result, also of one that
//! contradicts.

use magiclens_eval::robustness::RobustnessReport;
use magiclens_metrics::{Interval, mean};
use magiclens_report::numbers::{interval, points, signed_points, whole};

use crate::condition::Triplets;
use crate::experiment::Finding;
use crate::metric::{MEAN_R1, MEAN_R10, Metric, TEXT_R10, Tasks};
use crate::results::{Comparison, ConditionResults, Effect, Results};
use crate::statistics::rank_correlation;

/// A rank correlation from which a score is said to order conditions as retrieval does.
const ORDERS: f64 = 0.9;

/// The sentence of these results.
pub(crate) fn sentence(results: &Results) -> String {
    match results.experiment.finding {
        Finding::Better { better, than, claim } => better_than(results, better, than, claim),
        Finding::Rises { claim } => rises(results, claim),
        Finding::Wordings { many, one, claim } => wordings(results, many, one, claim),
        Finding::Damage { sound, worst } => damage(results, sound, worst),
        Finding::Failures => failures(results),
        Finding::Captions { with, without } => captions(results, with, without),
        Finding::Size { claim } => size(results, claim),
    }
}

/// Failure modes, in the order of the page.
pub(crate) const FAILURE_MODES: [&str; 4] = ["another wording", "\"not\"", "no words", "nothing fits"];

/// The share of each failure mode in a run, 0 to 1, where a run that never fails has 0; without those that it could not be asked for.
///
/// - another wording: R@10 of a request's best wording minus that of its worst;
/// - "not": how often what was excluded comes among the first ten, beside how often it comes when it is asked for;
/// - no words: the part of the first ten of a request without a word that the image alone does not bring;
/// - nothing fits: twice the distance of the area under the curve from 1, so that chance is 1.
pub(crate) fn failure_modes(report: &RobustnessReport) -> Vec<(&'static str, f64)> {
    let scores = |title: &str, fits: &dyn Fn(&str) -> bool| {
        let sections = report
            .sections
            .iter()
            .filter(|section| section.title.starts_with(title));
        let scores = sections.flat_map(|section| &section.scores);
        let scores = scores.filter(|score| fits(&score.label));
        mean(scores.filter_map(|score| score.value))
    };
    let is = |label: &'static str| move |found: &str| found == label;
    let excluded = scores("Negation", &is("NegRecall@10"));
    let asked = scores("Negation", &is("NegRecall@10 where it is asked for"));
    let kept = scores("Empty", &|label| label.ends_with("overlap@10 with empty"));
    let fits = report.calibration.area_under_curve.unwrap_or(f64::NAN);
    let shares = [
        scores("Paraphrases", &is("R@10, spread")),
        excluded / asked,
        1.0 - kept,
        2.0 * (1.0 - fits),
    ];
    let modes = FAILURE_MODES.into_iter().zip(shares);
    modes.filter(|(_, share)| share.is_finite()).collect()
}

/// "holds in mean R@1 (31.7 % against 29.3 %, +2.4 points, [1.0, 3.8] over 3 seeds, [1.1, 3.0] over root concepts)".
fn judged(results: &Results, better: usize, than: usize, metric: Metric) -> String {
    let comparison = results.compare(than, better, metric);
    let [better, than] = [better, than].map(|place| results.conditions[place].mean_of(metric));
    format!(
        "{} in {} ({} % against {} %, {})",
        decision(comparison.effect()),
        metric.name,
        points(better),
        points(than),
        difference(results, &comparison)
    )
}

fn decision(effect: Effect) -> &'static str {
    match effect {
        Effect::Up => "holds",
        Effect::Down => "is contradicted",
        Effect::Unclear => "is neither shown nor refuted",
    }
}

fn difference(results: &Results, comparison: &Comparison) -> String {
    let ends = |Interval { low, high }: &Interval| interval(*low, *high);
    let seeds = match &comparison.seeds {
        Some(found) => format!("{} over {} seeds", ends(found), results.seeds()),
        None => "one seed, so no interval".to_owned(),
    };
    let concepts = comparison.concepts.as_ref();
    let concepts = concepts.map_or(String::new(), |found| format!(", {} over root concepts", ends(found)));
    format!("{} points, {seeds}{concepts}", signed_points(comparison.difference))
}

/// The differences of each relation in R@10 that are the lowest and the highest.
fn extremes(results: &Results, better: usize, than: usize) -> Option<String> {
    let of = |relation: &'static str| {
        let comparison = results.compare(than, better, Metric::of(relation, relation, "R@10"));
        (relation, comparison.difference)
    };
    let mut found: Vec<(&str, f64)> = results.relations().into_iter().map(of).collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (low, high) = (found.first()?, found.last()?);
    Some(format!(
        "; by relation the difference in R@10 goes from {} ({}) to {} ({})",
        signed_points(low.1),
        low.0,
        signed_points(high.1),
        high.0
    ))
}

fn better_than(results: &Results, better: usize, than: usize, claim: &str) -> String {
    let asked = results.experiment.metrics.iter();
    let asked = asked.filter(|metric| results.conditions[better].mean_of(**metric).is_finite());
    let judged: Vec<String> = asked.map(|metric| judged(results, better, than, *metric)).collect();
    format!(
        "Here the claim that {claim} {}{}.",
        judged.join(", "),
        extremes(results, better, than).unwrap_or_default()
    )
}

fn rises(results: &Results, claim: &str) -> String {
    let mut order: Vec<usize> = (0..results.conditions.len()).collect();
    order.sort_by(|a, b| at(results, *a).total_cmp(&at(results, *b)));
    let (Some(&first), Some(&last)) = (order.first(), order.last()) else {
        return String::new();
    };
    let before = order[order.len().saturating_sub(2)];
    let step = results.compare(before, last, MEAN_R10);
    let trend = match step.effect() {
        Effect::Up => "still rises",
        Effect::Down => "falls again",
        Effect::Unclear => "is level",
    };
    format!(
        "Here the claim that {claim} {} and {}; on the last step, from {} to {}, mean R@10 {trend} ({}).",
        judged(results, last, first, MEAN_R1),
        judged(results, last, first, MEAN_R10),
        label(results, before),
        label(results, last),
        difference(results, &step)
    )
}

fn wordings(results: &Results, many: usize, one: usize, claim: &str) -> String {
    let kept: Vec<(&str, f64, f64)> = (0..results.conditions.len())
        .filter_map(|place| kept(results, many, place))
        .collect();
    let shares = || kept.iter().map(|(_, share, _)| *share);
    let low = shares().fold(f64::INFINITY, f64::min);
    let high = shares().fold(f64::NEG_INFINITY, f64::max);
    let rest = match kept.is_empty() {
        true => String::new(),
        false => format!(
            "; a relation whose instructions are left out keeps {} % of its R@10 in the mean, {} % to {} %, and the other relations \
             change by {} points",
            points(mean(shares())),
            points(low),
            points(high),
            signed_points(mean(kept.iter().map(|(_, _, others)| *others)))
        ),
    };
    format!(
        "Here the claim that {claim} {} and {}{rest}.",
        judged(results, many, one, MEAN_R1),
        judged(results, many, one, MEAN_R10)
    )
}

/// Of a condition without a relation: the relation, the share of its R@10 that is left, and the difference of the others.
pub(crate) fn kept(results: &Results, base: usize, place: usize) -> Option<(&'static str, f64, f64)> {
    let Triplets::Without(relation) = results.conditions[place].condition.triplets else {
        return None;
    };
    let own = Metric::of(relation, relation, "R@10");
    let others = Metric {
        name: "others",
        tasks: Tasks::RelationsBut(relation),
        measure: "R@10",
    };
    let share = results.conditions[place].mean_of(own) / results.conditions[base].mean_of(own);
    let others = results.compare(base, place, others).difference;
    (share.is_finite() && others.is_finite()).then_some((relation, share, others))
}

fn damage(results: &Results, sound: usize, worst: usize) -> String {
    let cost = results.compare(sound, worst, MEAN_R10);
    let scored = results.conditions.iter().filter_map(|condition| {
        let agreement = condition.agreement?;
        Some((agreement.mean, condition.mean_of(MEAN_R10)))
    });
    let (scores, retrieval): (Vec<f64>, Vec<f64>) = scored.unzip();
    let predicts = match rank_correlation(&scores, &retrieval) {
        Some(found) if found >= ORDERS => {
            format!("orders the conditions as retrieval does (rank correlation {found:.2})")
        }
        Some(found) => format!("does not order the conditions as retrieval does (rank correlation {found:.2})"),
        None => "cannot be compared with retrieval".to_owned(),
    };
    let told = results.conditions.iter().filter_map(|condition| {
        let area = condition.agreement?.area_under_curve?;
        Some(format!("{} % ({})", points(area), condition.condition.label))
    });
    let told: Vec<String> = told.collect();
    let does = match cost.effect() {
        Effect::Down => "cost retrieval",
        Effect::Up => "do retrieval good",
        Effect::Unclear => "have no clear effect on retrieval",
    };
    format!(
        "Here damaged instructions {does}, {} of mean R@10 with {}, and the agreement of instructions with the changes that they ask \
         for {predicts} and tells a damaged instruction from a sound one with an area under the curve of {}.",
        difference(results, &cost),
        label(results, worst),
        told.join(", ")
    )
}

fn failures(results: &Results) -> String {
    let Some(modes) = results.conditions.first().map(modes) else {
        return String::new();
    };
    let Some(worst) = modes.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return "This collection has no requests that tell failure modes apart.".to_owned();
    };
    let shown: Vec<String> = modes
        .iter()
        .map(|(mode, share)| format!("{mode} {} %", points(*share)))
        .collect();
    format!(
        "Of the failure modes, each in % of its worst case, {} is the largest here: {}.",
        worst.0,
        shown.join(", ")
    )
}

/// The failure modes of a condition, means over its runs.
pub(crate) fn modes(condition: &ConditionResults) -> Vec<(&'static str, f64)> {
    let reports = condition.runs.iter().filter_map(|run| run.robustness.as_ref());
    let runs: Vec<Vec<(&str, f64)>> = reports.map(failure_modes).collect();
    let first = runs.first().into_iter().flatten();
    let mean_of = |(mode, _): &(&'static str, f64)| {
        let of_run = |run: &Vec<(&str, f64)>| run.iter().find(|(other, _)| other == mode).map(|(_, share)| *share);
        (*mode, mean(runs.iter().filter_map(of_run)))
    };
    first.map(mean_of).collect()
}

fn captions(results: &Results, with: usize, without: usize) -> String {
    let cost = results.compare(without, with, MEAN_R10);
    let at_cost = match cost.effect() {
        Effect::Up => "and composed retrieval gains",
        Effect::Down => "at the cost of composed retrieval",
        Effect::Unclear => "without a clear effect on composed retrieval",
    };
    format!(
        "Here the claim that one model does both {}, {} beside {}, {at_cost} ({} of mean R@10).",
        judged(results, with, without, TEXT_R10),
        label(results, with),
        label(results, without),
        difference(results, &cost)
    )
}

fn size(results: &Results, claim: &str) -> String {
    let places = || 0..results.conditions.len();
    let parameters = |place: &usize| results.conditions[*place].parameters();
    let value = |place: &usize| results.conditions[*place].mean_of(MEAN_R10);
    let (Some(small), Some(best)) = (
        places().min_by_key(parameters),
        places().max_by(|a, b| {
            // Of equal ones the smaller.
            let smaller = parameters(b).cmp(&parameters(a));
            value(a).total_cmp(&value(b)).then(smaller)
        }),
    ) else {
        return String::new();
    };
    let comparison = results.compare(best, small, MEAN_R10);
    let judgment = match (small == best, comparison.effect()) {
        (true, _) | (false, Effect::Up) => "holds",
        (false, Effect::Down) => "is contradicted",
        (false, Effect::Unclear) => "is neither shown nor refuted",
    };
    format!(
        "Here the claim that {claim} {judgment} in mean R@10: the smallest head, {} of {} parameters, reaches {} % and the best, {} of \
         {} parameters, {} % ({}).",
        label(results, small),
        whole(parameters(&small) as u64),
        points(value(&small)),
        label(results, best),
        whole(parameters(&best) as u64),
        points(value(&best)),
        difference(results, &comparison)
    )
}

fn at(results: &Results, place: usize) -> f64 {
    results.conditions[place].condition.at
}

fn label(results: &Results, place: usize) -> &'static str {
    results.conditions[place].condition.label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Agreement;
    use crate::results::tests::made_up;

    #[track_caller]
    fn check(results: &Results, parts: &[&str]) {
        let found = sentence(results);
        for part in parts {
            assert!(found.contains(part), "{part} is not in {found}");
        }
        assert!(
            found.ends_with('.') && !found.contains("NaN") && !found.contains('\n'),
            "{found}"
        );
        assert_eq!(found.matches(". ").count(), 0, "one sentence: {found}");
    }

    #[test]
    fn the_same_experiment_can_hold_be_contradicted_or_stay_open() {
        let results = |gain: f64| {
            made_up("query-negatives", move |place, seed, _| {
                0.5 + 0.01 * seed as f64 + if place == 0 { gain } else { 0.0 }
            })
        };
        check(
            &results(0.1),
            &[
                "negatives help holds in mean R@1 (62.0 % against 52.0 %, +10.0 points",
                "over 3 seeds",
            ],
        );
        check(&results(-0.1), &["is contradicted in mean R@10", "-10.0 points"]);
        let noise = [0.1, -0.1, 0.05];
        let open = made_up("query-negatives", move |place, seed, _| {
            0.5 + place as f64 * noise[seed as usize - 1]
        });
        check(&open, &["is neither shown nor refuted in mean R@1"]);
    }

    #[test]
    fn relations_at_the_ends_are_named() {
        let results = made_up("query-negatives", |place, _, task| match (place, task) {
            (0, "skin_tone") => 0.9,
            (0, "group") => 0.3,
            _ => 0.5,
        });
        check(&results, &["from -20.0 (group) to +40.0 (skin_tone)"]);
    }

    #[test]
    fn a_trend_says_whether_it_goes_on() {
        // Conditions stand from the largest to the smallest.
        let rising = made_up("data-scale", |place, seed, _| {
            0.6 - 0.1 * place as f64 + 0.01 * seed as f64
        });
        check(
            &rising,
            &[
                "holds in mean R@10 (62.0 % against 22.0 %",
                "from 30 % to 100 %",
                "still rises (+10.0",
            ],
        );
        let level = made_up("data-scale", |place, _, _| if place < 3 { 0.6 } else { 0.3 });
        check(&level, &["mean R@10 is level (+0.0"]);
    }

    #[test]
    fn left_out_relations_are_held_against_the_base() {
        let results = made_up("wording", |place, _, task| match (place, task) {
            // The conditions without skin tone, and without groups.
            (2, "skin_tone") => 0.25,
            (3, "group") => 0.5,
            (2 | 3, _) => 0.48,
            (1, _) => 0.4,
            _ => 0.5,
        });
        // 50 % and 100 %; the relations of other conditions are not asked for by the made-up collection.
        check(
            &results,
            &[
                "holds in mean R@1",
                "keeps 75.0 % of its R@10 in the mean, 50.0 % to 100.0 %",
                "by -2.0 points",
            ],
        );
    }

    #[test]
    fn a_score_predicts_or_it_does_not() {
        let with = |scores: [f64; 5]| {
            let mut results = made_up("instruction-quality", |place, seed, _| {
                0.6 - 0.1 * place as f64 + 0.01 * seed as f64
            });
            for (condition, mean) in results.conditions.iter_mut().zip(scores) {
                let area_under_curve = (mean < 0.5).then_some(0.8);
                condition.agreement = Some(Agreement { mean, area_under_curve });
            }
            results
        };
        check(
            &with([0.5, 0.4, 0.3, 0.2, 0.1]),
            &[
                "instructions cost retrieval, -40.0 points",
                "orders the conditions as retrieval does (rank correlation 1.00)",
                "80.0 % (20 % vague)",
            ],
        );
        check(
            &with([0.1, 0.2, 0.3, 0.4, 0.5]),
            &["does not order the conditions", "(rank correlation -1.00)"],
        );
    }

    #[test]
    fn size_and_captions_are_judged() {
        let equal = made_up("efficiency", |_, seed, _| 0.5 + 0.01 * seed as f64);
        check(&equal, &["a small model is enough holds"]);
        // The made-up parameters grow with the place.
        let growing = made_up("efficiency", |place, seed, _| {
            0.5 + 0.05 * place as f64 + 0.01 * seed as f64
        });
        check(
            &growing,
            &[
                "is contradicted",
                "384 x 4 of 1,000 parameters",
                "384 x 0 of 6,000 parameters",
            ],
        );
        let captions = made_up("text-only", |place, _, task| match (place, task) {
            (1, "text_to_image") => 0.1,
            _ => 0.5,
        });
        check(
            &captions,
            &[
                "does both holds in text to image R@10 (50.0 % against 10.0 %",
                "without a clear effect",
            ],
        );
        let failures = made_up("failures", |_, _, _| 0.5);
        check(&failures, &["no requests"]);
    }
}
