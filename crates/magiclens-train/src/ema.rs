//! The exponential moving average of the weights: less noise of the last batches, often better scores.

use magiclens_model::checkpoint::NamedWeights;

/// `average = decay * average + (1 - decay) * weights`, number by number. Both have the same tensors.
pub(crate) fn follow(average: &mut NamedWeights, weights: &NamedWeights, decay: f64) {
    let share = (1.0 - decay) as f32;
    for (means, weights) in average.values_mut().zip(weights.values()) {
        for (mean, value) in means.values.iter_mut().zip(&weights.values) {
            *mean += share * (value - *mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use magiclens_model::checkpoint::Weights;

    use super::*;

    fn named(first: [f32; 2], second: f32) -> NamedWeights {
        let weights = |values: Vec<f32>| Weights {
            shape: vec![values.len()],
            values,
        };
        NamedWeights::from([
            ("a".to_owned(), weights(first.to_vec())),
            ("b".to_owned(), weights(vec![second])),
        ])
    }

    #[test]
    fn the_average_by_hand() {
        let mut average = named([8.0, -4.0], 1.0);
        follow(&mut average, &named([0.0, 4.0], 1.0), 0.75);
        assert_eq!(average, named([6.0, -2.0], 1.0));
        follow(&mut average, &named([2.0, 2.0], 5.0), 0.75);
        assert_eq!(average, named([5.0, -1.0], 2.0));
    }
}
