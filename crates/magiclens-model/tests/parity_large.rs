//! Parity with the official implementation in its `large` size, with weights from the golden README's formula.

mod common;
#[path = "common/official.rs"]
mod official;
#[path = "common/recipe.rs"]
mod recipe;

use magiclens_model::OfficialConfig;

#[test]
fn the_formula_is_the_recorded_one() {
    recipe::check_formula("large");
}

#[test]
fn large_gives_the_official_numbers() {
    recipe::check_size("large", &OfficialConfig::large());
}
