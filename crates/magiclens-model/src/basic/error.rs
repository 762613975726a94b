//! Errors of BASIC.

/// An error of preparing or asking BASIC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasicError {
    /// A list of rows that is too short to have a scatter.
    #[error("BASIC needs at least 2 {what}, but {found} came")]
    TooFew {
        /// The kind of row.
        what: &'static str,
        /// Number of rows.
        found: usize,
    },
    /// Rows of another width.
    #[error(
        "BASIC needs {what} of {expected} numbers, but {found} came\nhint: take all tower outputs from the same weights"
    )]
    Width {
        /// The kind of row.
        what: &'static str,
        /// Numbers of the row.
        found: usize,
        /// Width of tower outputs.
        expected: usize,
    },
    /// A row of zeros, or of numbers that are not finite.
    #[error("BASIC cannot use {what} {row}: it has no direction")]
    NoDirection {
        /// The kind of row.
        what: &'static str,
        /// Its place, from 0.
        row: usize,
    },
    /// No eigenvectors were found.
    #[error("the projection of BASIC does not converge\nhint: the weights may hold numbers that are not finite")]
    NoProjection,
}
