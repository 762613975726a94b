//! The progress of a download.

/// Told while files are fetched.
pub trait Progress {
    /// A file begins: its name, its size if the server states it, and the bytes of it that are here already.
    fn begin(&mut self, file: &str, size: Option<u64>, have: u64);

    /// More bytes of that file are here.
    fn advance(&mut self, bytes: u64);

    /// The file is complete.
    fn end(&mut self);

    /// A line for the user: a wait, or an attempt that failed.
    fn note(&mut self, line: &str);
}

/// Tells nobody.
impl Progress for () {
    fn begin(&mut self, _file: &str, _size: Option<u64>, _have: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _line: &str) {}
}
