//! The results of a study: a pure function of the study and its judgments.

use std::collections::{BTreeMap, BTreeSet};

use magiclens_metrics::{Interval, alpha, bootstrap, sign_test, wilson};
use serde::Serialize;

use crate::judgment::{Choice, Judgment, Preference, RaterName};
use crate::random::Random;
use crate::ratings::Judgments;
use crate::study::{Intent, Kind, Study};

/// The share of failed checks above which a rater does not count in [`StudyReport::trusted`], unless another one is given: a
/// third, rounded up.
pub const MAX_FAILED_CHECKS: f64 = 0.34;

/// All results of a study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudyReport {
    /// Names of A and B.
    pub systems: [String; 2],
    /// Length of the rankings.
    pub k: usize,
    /// Queries in the study, checks not counted.
    pub queries: usize,
    /// Queries for which both systems give the same ranking.
    pub identical_rankings: usize,
    /// See [`MAX_FAILED_CHECKS`].
    pub max_failed_checks: f64,
    /// One row a rater, in the order of their names.
    pub raters: Vec<RaterCounts>,
    /// With every rater.
    pub all: Results,
    /// Without the raters that failed too many checks; `None` if there are none.
    pub trusted: Option<Results>,
}

/// The judgments of one rater.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RaterCounts {
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
    /// True after too many failed checks.
    #[serde(rename = "left_out")]
    pub dropped: bool,
}

/// The results over some of the raters. Checks never enter them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Raters who judged at least one query.
    pub raters: usize,
    /// The three classes in the paper's order.
    pub classes: Vec<ClassResults>,
    /// All classes together.
    pub overall: ClassResults,
    /// The effect of the side of the page.
    pub position: Position,
}

/// The results of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassResults {
    /// Name of the class, or `overall`.
    pub intent: &'static str,
    /// Queries judged by at least one rater: the clusters of the bootstrap.
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
    /// Its bootstrap interval over queries; `None` with too few queries.
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
    /// The bootstrap interval over queries, in %: right where several raters judged the same queries; `None` with too few
    /// queries.
    pub by_query: Option<Interval>,
}

/// An exact two-sided sign test, without ties.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SignTest {
    /// Trials won by A.
    pub a: u64,
    /// Trials won by B.
    pub b: u64,
    /// Trials that do not count.
    pub ties: u64,
    /// The probability of counts at least as uneven if both systems are equally good.
    pub p: f64,
}

/// Preferences by side of the page, whatever system was there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Position {
    /// Times that the left ranking was preferred.
    pub left: u64,
    /// Times that the right one was.
    pub right: u64,
    /// Exact two-sided p value of left against right.
    pub p: f64,
}

/// The judgments of one query: for A, for B, ties.
type Votes = [u32; 3];

impl StudyReport {
    /// The results of a study, in which the systems have these names.
    pub fn new(study: &Study, names: [String; 2], judgments: &Judgments, max_failed_checks: f64) -> Self {
        let kinds: BTreeMap<&str, Kind> = study.items.iter().map(|item| (&*item.id, item.kind)).collect();
        let judged = judgments.iter().filter(|(_, judged)| !judged.is_empty());
        let raters: Vec<RaterCounts> = judged
            .map(|(rater, judged)| RaterCounts::new(rater, judged, &kinds, max_failed_checks))
            .collect();
        let dropped: BTreeSet<&RaterName> = raters.iter().filter(|row| row.dropped).map(|row| &row.rater).collect();
        let results_of = |keep: &dyn Fn(&RaterName) -> bool| {
            let kept = judgments.iter().filter(|(rater, _)| keep(rater));
            Results::new(&kept.map(|(_, judged)| &**judged).collect::<Vec<_>>(), study, &kinds)
        };
        Self {
            systems: names,
            k: study.settings.k,
            queries: study.queries().count(),
            identical_rankings: study.queries().filter(|(item, _)| item.a == item.b).count(),
            max_failed_checks,
            all: results_of(&|_| true),
            trusted: (!dropped.is_empty()).then(|| results_of(&|rater| !dropped.contains(rater))),
            raters,
        }
    }
}

impl RaterCounts {
    fn new(rater: &RaterName, judged: &[Judgment], kinds: &BTreeMap<&str, Kind>, max_failed_checks: f64) -> Self {
        let is_check = |judgment: &&Judgment| matches!(kinds.get(&*judgment.item), Some(Kind::Check { .. }));
        let (checks, queries): (Vec<_>, Vec<_>) = judged.iter().partition(is_check);
        let count = |judgments: &[&Judgment], preference| {
            judgments
                .iter()
                .filter(|judgment| judgment.preference() == preference)
                .count() as u64
        };
        let checks_passed = count(&checks, Preference::A);
        let checks_failed = checks.len() as u64 - checks_passed;
        Self {
            rater: rater.clone(),
            judged: queries.len() as u64,
            a: count(&queries, Preference::A),
            b: count(&queries, Preference::B),
            ties: count(&queries, Preference::Tie),
            checks_passed,
            checks_failed,
            dropped: max_failed_checks * (checks.len() as f64) < checks_failed as f64,
        }
    }
}

impl Results {
    fn new(raters: &[&[Judgment]], study: &Study, kinds: &BTreeMap<&str, Kind>) -> Self {
        let is_query = |judgment: &&Judgment| matches!(kinds.get(&*judgment.item), Some(Kind::Query { .. }));
        let active = raters
            .iter()
            .filter(|judged| judged.iter().any(|judgment| is_query(&judgment)))
            .count();
        let mut votes: BTreeMap<&str, Votes> = BTreeMap::new();
        let (mut left, mut right) = (0, 0);
        for judgment in raters.iter().copied().flatten().filter(is_query) {
            votes.entry(&judgment.item).or_default()[judgment.preference() as usize] += 1;
            left += u64::from(judgment.choice == Choice::Left);
            right += u64::from(judgment.choice == Choice::Right);
        }
        let of_class = |class: Option<Intent>| {
            let members = study
                .queries()
                .filter(|(_, intent)| class.is_none_or(|class| class == *intent));
            let votes: Vec<Votes> = members.filter_map(|(item, _)| votes.get(&*item.id).copied()).collect();
            ClassResults::new(class.map_or("overall", Intent::name), &votes, study.settings.seed)
        };
        let p = sign_test(left, right);
        Self {
            raters: active,
            classes: Intent::ALL.map(|intent| of_class(Some(intent))).to_vec(),
            overall: of_class(None),
            position: Position { left, right, p },
        }
    }

    /// True if some query was judged by more than one rater, so that judgments are not independent.
    pub(crate) fn has_several_raters(&self) -> bool {
        self.overall.queries < self.overall.judgments
    }
}

impl ClassResults {
    fn new(intent: &'static str, queries: &[Votes], seed: u64) -> Self {
        let total = |preference: Preference| {
            queries
                .iter()
                .map(|votes| u64::from(votes[preference as usize]))
                .sum::<u64>()
        };
        let counts = [Preference::A, Preference::B, Preference::Tie].map(total);
        let judgments = counts.iter().sum();
        let seed = seed.to_string();
        let interval = |purpose: &str, statistic: &dyn Fn(&[Votes]) -> Option<f64>| {
            let mut random = Random::new(&[purpose, intent, &seed]);
            bootstrap(queries, |bound| random.below(bound), statistic).interval
        };
        let share = |preference: Preference| {
            let count = counts[preference as usize];
            Share {
                count,
                percent: (0 < judgments).then(|| 100.0 * count as f64 / judgments as f64),
                wilson: wilson(count, judgments).map(in_percent),
                by_query: interval("shares", &|drawn| share_of(drawn, preference)).map(in_percent),
            }
        };
        let alpha_of_all = alpha(queries);
        let won = |is_won: fn(&Votes) -> bool| queries.iter().filter(|votes| is_won(votes)).count() as u64;
        Self {
            intent,
            queries: queries.len() as u64,
            judgments,
            a: share(Preference::A),
            b: share(Preference::B),
            tie: share(Preference::Tie),
            sign_test: SignTest::new(counts),
            sign_test_by_query: SignTest::new([
                won(|[a, b, _]| a > b),
                won(|[a, b, _]| a < b),
                won(|[a, b, _]| a == b),
            ]),
            alpha: alpha_of_all,
            alpha_interval: alpha_of_all.and_then(|_| interval("alpha", &|drawn| alpha(drawn))),
        }
    }
}

impl SignTest {
    fn new([a, b, ties]: [u64; 3]) -> Self {
        let p = sign_test(a, b);
        Self { a, b, ties, p }
    }
}

fn share_of(queries: &[Votes], preference: Preference) -> Option<f64> {
    let count: u32 = queries.iter().map(|votes| votes[preference as usize]).sum();
    let judgments: u32 = queries.as_flattened().iter().sum();
    (0 < judgments).then(|| f64::from(count) / f64::from(judgments))
}

fn in_percent(Interval { low, high }: Interval) -> Interval {
    let [low, high] = [low, high].map(|end| 100.0 * end);
    Interval { low, high }
}
