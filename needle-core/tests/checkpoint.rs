//! Checkpoints: the published pickle, bundles, and files that are damaged or hostile.

#[path = "support/formula.rs"]
mod formula;

/// The list of leaves that the formula fills is the published model's own.
#[test]
fn the_formula_covers_the_published_leaves() {
    let text = include_str!("../../tests/golden/full.params.json");
    let mut published: Vec<(String, Vec<usize>)> = serde_json::from_str(text).unwrap();
    let mut ours = formula::leaves(formula::FULL);
    published.sort();
    ours.sort();
    assert_eq!(ours, published);
    let parameters: usize = ours.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 26_315_421);
}
