//! Pure metrics over ids, exact ranking, confidence intervals by bootstrap, and the one random stream.
