//! Packages -> the labelled demo and benchmark collection: drawings, photographs, foods, their split and triplets.
