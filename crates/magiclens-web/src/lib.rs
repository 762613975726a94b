//! Archives, HTML, polite fetching -> pages with images and words.
