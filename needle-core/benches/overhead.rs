//! What a decision costs before the model is asked, which the bindings' benches compare theirs with.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking")]

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use needle_core::{Catalogue, Model, Options, Session, tool};

fn overhead(criterion: &mut Criterion) {
    let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default")).unwrap();
    let tools = tool::parse(r#"[{"name": "ping", "description": "Ping the server."}]"#).unwrap();
    let catalogue = Catalogue::compile(&model, tools).unwrap();
    let mut session = Session::new(&model);
    criterion.bench_function("decide an empty query", |bencher| {
        bencher.iter(|| session.decide(&catalogue, "", &Options::default()).unwrap());
    });
}

criterion_group!(benches, overhead);
criterion_main!(benches);
