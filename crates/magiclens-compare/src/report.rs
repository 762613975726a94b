//! What the judgments say about the systems: a pure function of the study and its log.

use std::collections::{BTreeMap, BTreeSet};

use magiclens_metrics::{Interval, alpha, bootstrap, sign_test, wilson};
use serde::Serialize;

use crate::judgment::{Choice, Judgment, RaterName, Side, Verdict};
use crate::queries::Intent;
use crate::random::Random;
use crate::ratings::Judgments;
use crate::study::{Kind, Study};

/// How the figures are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportOptions {
    /// Raters who fail a larger share of their checks are left out of [`Report::trusted`].
    pub max_failed_checks: f64,
}

impl Default for ReportOptions {
    /// A third, rounded up.
    fn default() -> Self {
        Self {
            max_failed_checks: 0.34,
        }
    }
}

/// All figures of a study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Names of A and B.
    pub systems: [String; 2],
    /// Length of the rankings.
    pub k: usize,
    /// Queries in the study, checks not counted.
    pub queries: usize,
    /// Queries for which both systems give the same ranking.
    pub identical_rankings: usize,
    /// See [`ReportOptions::max_failed_checks`].
    pub max_failed_checks: f64,
    /// One row a rater, in the order of their names.
    pub raters: Vec<RaterFigures>,
    /// With every rater.
    pub all: Figures,
    /// Without the raters that failed too many checks; none if that leaves out nobody.
    pub trusted: Option<Figures>,
}

/// What one rater did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RaterFigures {
    /// Name.
    pub rater: RaterName,
    /// Queries judged.
    pub judged: u64,
    /// Times that A was preferred.
    pub a: u64,
    /// Times that B was preferred.
    pub b: u64,
    /// Times that neither was.
    pub ties: u64,
    /// Checks answered rightly.
    pub checks_passed: u64,
    /// Checks answered otherwise, ties included.
    pub checks_failed: u64,
    /// Whether the rater failed too many checks.
    pub left_out: bool,
}

/// The figures over some of the raters. Checks never enter them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How many raters judged at least one query.
    pub raters: usize,
    /// The three classes in the paper's order.
    pub classes: Vec<ClassFigures>,
    /// All classes together.
    pub overall: ClassFigures,
    /// Whether the side of the page mattered.
    pub position: Position,
}

/// The figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Name of the class, or `overall`.
    pub intent: &'static str,
    /// Queries judged by at least one rater.
    pub queries: u64,
    /// Judgments, of all raters.
    #[serde(rename = "judgements")]
    pub judgments: u64,
    /// A preferred.
    pub a: Share,
    /// B preferred.
    pub b: Share,
    /// Neither preferred.
    pub tie: Share,
    /// Each judgment is a trial: right only where raters judged different queries.
    pub sign_test: SignTest,
    /// Each query is a trial, won by the side that more of its raters preferred.
    pub sign_test_by_query: SignTest,
    /// Krippendorff's alpha, nominal over A, B and tie; `None` where it is not defined.
    pub alpha: Option<f64>,
    /// Its bootstrap interval over queries.
    pub alpha_interval: Option<Interval>,
}

/// A share of the judgments.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Judgments.
    pub count: u64,
    /// Of all judgments, in %; `None` without any.
    pub percent: Option<f64>,
    /// Wilson's interval, in %: right where no query was judged twice.
    pub wilson: Option<Interval>,
    /// The bootstrap interval over queries, in %: right where several raters judged the same queries.
    pub by_query: Option<Interval>,
}

/// An exact two-sided sign test, ties left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SignTest {
    /// Trials won by A.
    pub a: u64,
    /// Trials won by B.
    pub b: u64,
    /// Trials left out.
    pub ties: u64,
    /// How likely counts at least as uneven are if both systems are equally good.
    pub p: f64,
}

/// How often each side of the page was preferred, whoever stood there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Position {
    /// Times that the left ranking was preferred.
    pub left: u64,
    /// Times that the right one was.
    pub right: u64,
    /// Exact two-sided p value of left against right.
    pub p: f64,
}

/// What the raters of one query say: how often A, B and tie.
type Votes = [u32; 3];

impl Report {
    /// The figures of a study. `names` are those of the study unless others are wanted.
    pub fn new(study: &Study, names: [String; 2], judgments: &Judgments, options: ReportOptions) -> Self {
        let kinds: BTreeMap<&str, Kind> = study.items.iter().map(|item| (&*item.id, item.kind)).collect();
        let raters: Vec<RaterFigures> = judgments
            .iter()
            .filter(|(_, judged)| !judged.is_empty())
            .map(|(rater, judged)| rater_figures(rater, judged, &kinds, options))
            .collect();
        let left_out: BTreeSet<&RaterName> = raters.iter().filter(|row| row.left_out).map(|row| &row.rater).collect();
        let figures_of = |keep: &dyn Fn(&RaterName) -> bool| {
            let kept = judgments.iter().filter(|(rater, _)| keep(rater));
            figures(&kept.map(|(_, judged)| &**judged).collect::<Vec<_>>(), study, &kinds)
        };
        Self {
            systems: names,
            k: study.settings.k,
            queries: study.queries().count(),
            identical_rankings: study.queries().filter(|(item, _)| item.a == item.b).count(),
            max_failed_checks: options.max_failed_checks,
            all: figures_of(&|_| true),
            trusted: (!left_out.is_empty()).then(|| figures_of(&|rater| !left_out.contains(rater))),
            raters,
        }
    }
}

fn rater_figures(
    rater: &RaterName,
    judged: &[Judgment],
    kinds: &BTreeMap<&str, Kind>,
    options: ReportOptions,
) -> RaterFigures {
    let mut figures = RaterFigures {
        rater: rater.clone(),
        judged: 0,
        a: 0,
        b: 0,
        ties: 0,
        checks_passed: 0,
        checks_failed: 0,
        left_out: false,
    };
    for judgment in judged {
        let verdict = judgment.verdict();
        let count = match (kinds.get(&*judgment.item), verdict) {
            (Some(Kind::Check { .. }), Verdict::A) => &mut figures.checks_passed,
            (Some(Kind::Check { .. }), _) => &mut figures.checks_failed,
            (_, Verdict::A) => &mut figures.a,
            (_, Verdict::B) => &mut figures.b,
            (_, Verdict::Tie) => &mut figures.ties,
        };
        *count += 1;
    }
    figures.judged = figures.a + figures.b + figures.ties;
    let checks = figures.checks_passed + figures.checks_failed;
    figures.left_out = options.max_failed_checks * (checks as f64) < figures.checks_failed as f64;
    figures
}

fn figures(raters: &[&[Judgment]], study: &Study, kinds: &BTreeMap<&str, Kind>) -> Figures {
    let mut votes: BTreeMap<&str, Votes> = BTreeMap::new();
    let (mut left, mut right, mut active) = (0, 0, 0);
    for judged in raters {
        let is_query = |judgment: &&Judgment| matches!(kinds.get(&*judgment.item), Some(Kind::Query { .. }));
        let mut of_queries = judged.iter().filter(is_query).peekable();
        active += usize::from(of_queries.peek().is_some());
        for judgment in of_queries {
            votes.entry(&judgment.item).or_default()[judgment.verdict() as usize] += 1;
            match judgment.choice {
                Choice::Left => left += 1,
                Choice::Right => right += 1,
                Choice::Tie => {}
            }
        }
    }
    let seed = study.settings.seed;
    let of_class = |class: Option<Intent>| {
        let members = study
            .queries()
            .filter(|(_, intent)| class.is_none_or(|class| class == *intent));
        let votes: Vec<Votes> = members.filter_map(|(item, _)| votes.get(&*item.id).copied()).collect();
        class_figures(class.map_or("overall", Intent::name), &votes, seed)
    };
    Figures {
        raters: active,
        classes: Intent::ALL.map(|intent| of_class(Some(intent))).to_vec(),
        overall: of_class(None),
        position: Position {
            left,
            right,
            p: sign_test(left, right),
        },
    }
}

fn class_figures(intent: &'static str, queries: &[Votes], seed: u64) -> ClassFigures {
    let total = |verdict: Verdict| {
        queries
            .iter()
            .map(|votes| u64::from(votes[verdict as usize]))
            .sum::<u64>()
    };
    let [a, b, ties] = [Verdict::A, Verdict::B, Verdict::Tie].map(total);
    let judgments = a + b + ties;
    let seed = seed.to_string();
    let interval = |name: &str, statistic: &dyn Fn(&[Votes]) -> Option<f64>| {
        let mut random = Random::new(&[name, intent, &seed]);
        bootstrap(queries, |bound| random.below(bound), statistic).interval
    };
    let share = |verdict: Verdict, count: u64| Share {
        count,
        percent: (0 < judgments).then(|| 100.0 * count as f64 / judgments as f64),
        wilson: wilson(count, judgments).map(in_percent),
        by_query: interval("shares", &|drawn| share_of(drawn, verdict)).map(in_percent),
    };
    let mut by_query = SignTest {
        a: 0,
        b: 0,
        ties: 0,
        p: 1.0,
    };
    for [a, b, _] in queries {
        match majority(*a, *b) {
            Some(Side::A) => by_query.a += 1,
            Some(Side::B) => by_query.b += 1,
            None => by_query.ties += 1,
        }
    }
    by_query.p = sign_test(by_query.a, by_query.b);
    ClassFigures {
        intent,
        queries: queries.len() as u64,
        judgments,
        a: share(Verdict::A, a),
        b: share(Verdict::B, b),
        tie: share(Verdict::Tie, ties),
        sign_test: SignTest {
            a,
            b,
            ties,
            p: sign_test(a, b),
        },
        sign_test_by_query: by_query,
        alpha: alpha(queries),
        alpha_interval: alpha(queries).and_then(|_| interval("alpha", &|drawn| alpha(drawn))),
    }
}

/// Who more raters of a query preferred; ties do not count.
fn majority(a: u32, b: u32) -> Option<Side> {
    match a.cmp(&b) {
        std::cmp::Ordering::Greater => Some(Side::A),
        std::cmp::Ordering::Less => Some(Side::B),
        std::cmp::Ordering::Equal => None,
    }
}

fn share_of(queries: &[Votes], verdict: Verdict) -> Option<f64> {
    let count: u32 = queries.iter().map(|votes| votes[verdict as usize]).sum();
    let judgments: u32 = queries.as_flattened().iter().sum();
    (0 < judgments).then(|| f64::from(count) / f64::from(judgments))
}

fn in_percent(interval: Interval) -> Interval {
    Interval {
        low: 100.0 * interval.low,
        high: 100.0 * interval.high,
    }
}
