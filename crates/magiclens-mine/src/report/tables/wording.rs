//! The wording of generators side by side.

use super::{Head, Table, distinct, heads, percent, whole};
use crate::report::MiningReport;
use crate::report::words::{Diversity, GeneratorWords};

/// The name of a measure, and its text.
type Measure = (&'static str, fn(&Diversity) -> String);

/// The wording of generators side by side; none without instructions.
pub(in crate::report) fn wording(report: &MiningReport) -> Option<Table> {
    let generators = &report.words.generators;
    if generators.is_empty() {
        return None;
    }
    let mut all = heads(&[("measure", false)]);
    all.extend(generators.iter().map(|generator| Head {
        label: generator.generator.clone(),
        numeric: true,
    }));
    let line = |name: &str, value: &dyn Fn(&GeneratorWords) -> String| {
        std::iter::once(name.to_owned())
            .chain(generators.iter().map(value))
            .collect()
    };
    let of_all = |name: &str, value: fn(&Diversity) -> String| line(&format!("all: {name}"), &|g| value(&g.whole));
    let compared = |name: &str, value: fn(&Diversity) -> String| {
        line(&format!("same size: {name}"), &|g| {
            g.compared.as_ref().map(value).unwrap_or_default()
        })
    };
    let mut rows: Vec<Vec<String>> = vec![
        line("instructions", &|g| whole(g.instructions)),
        line("different instructions", &|g| distinct(g.distinct)),
        line("share of different ones", &|g| percent(g.distinct_share)),
        line("words of an instruction, mean", &|g| format!("{:.1}", g.length.mean)),
        line("words of an instruction, median", &|g| {
            format!("{:.1}", g.length.median)
        }),
        line("words of the longest", &|g| whole(g.length.longest)),
    ];
    let measures: [Measure; 8] = [
        ("words", |d| whole(d.words)),
        ("different words", |d| whole(ngram(d, 1).0)),
        ("distinct-1 (type-token ratio)", |d| ngram(d, 1).1),
        ("distinct-2", |d| ngram(d, 2).1),
        ("distinct-3", |d| ngram(d, 3).1),
        ("entropy of words, bits", |d| format!("{:.2}", d.entropy_bits)),
        ("share of the 10 commonest openings", |d| percent(d.top_openings_share)),
        ("overlap with the most similar other", |d| percent(d.self_overlap)),
    ];
    let in_all = measures.iter().map(|(name, value)| of_all(name, *value));
    rows.extend(in_all);
    if report.words.compared_size.is_some() {
        rows.extend(measures.iter().map(|(name, value)| compared(name, *value)));
    }
    Some(Table {
        title: "Wording by generator".to_owned(),
        heads: all,
        rows,
        notes: wording_notes(report),
    })
}

fn wording_notes(report: &MiningReport) -> Vec<String> {
    let mut notes = vec![
        "distinct-n is the share of n-grams that are different; openings are the first three words; overlap is the share of word pairs \
         that the most similar other instruction has too."
            .to_owned(),
    ];
    match report.words.compared_size {
        Some(size) => notes.push(format!(
            "Diversity depends on how much is looked at: \"same size\" is measured on {} words and {} instructions of each generator \
             that has them.",
            whole(size.words),
            whole(size.instructions)
        )),
        None => notes.push(format!(
            "No generator has the {} words that a comparison at the same size needs.",
            whole(report.config.min_compared_words)
        )),
    }
    for generator in &report.words.generators {
        if generator.measured < generator.instructions {
            notes.push(format!(
                "{}: n-grams, words and openings are those of {} instructions drawn from {}.",
                generator.generator,
                whole(generator.measured),
                whole(generator.instructions)
            ));
        }
    }
    if report.words.left_out > 0 {
        notes.push(format!(
            "{} instructions of further generators are not measured.",
            whole(report.words.left_out)
        ));
    }
    notes
}

/// The number of different n-grams, and their share.
fn ngram(diversity: &Diversity, n: u64) -> (u64, String) {
    let found = diversity.ngrams.iter().find(|ngrams| ngrams.n == n);
    found.map_or((0, String::new()), |ngrams| {
        (ngrams.unique, format!("{:.3}", ngrams.distinct))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Gathering, ReportConfig, RunFacts, examples};

    #[test]
    fn wording_has_a_column_for_each_generator() {
        let report = examples::report();
        let table = wording(&report).unwrap();
        let labels: Vec<&str> = table.heads.iter().map(|head| head.label.as_str()).collect();
        assert_eq!(labels, ["measure", "model:m", "template"]);
        let row = |name: &str| table.rows.iter().find(|row| row[0] == name).unwrap()[1..].to_vec();
        assert_eq!(row("instructions"), ["15", "45"]);
        // "the same house number 3, but after dark" and "with effect 0".
        assert_eq!(row("words of an instruction, mean"), ["8.0", "3.0"]);
        assert_eq!(row("all: words"), ["120", "135"]);
        // Eight words, of which the number differs: 7 + 15; two words + 45 numbers.
        assert_eq!(row("all: different words"), ["22", "47"]);
        assert_eq!(row("same size: words"), ["120", "120"]);
        assert!(table.rows.iter().all(|row| row.len() == table.heads.len()));
        let empty = Gathering::new(ReportConfig::default()).finish(RunFacts::default(), &[]);
        assert!(wording(&empty).is_none());
    }
}
