//! What every service of the program shares: the guard, listening and shutdown, cached files.
