//! The slow, obvious twin of the network's encoder and copy head: plain loops in f64, one sequence with a
//! position per token and a rule of who sees whom. Tests compare the engine with it.
//! Include beside `formula`: `#[path = "support/reference.rs"] mod reference;`.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a support file of tests")]

use needle_core::TokenId;

use crate::formula::{self, Sizes};

type Row = Vec<f64>;

/// `tensor[row]` for a tensor by formula, as rows of f64.
fn tensor(name: &str, sizes: Sizes) -> Vec<Row> {
    let (shape, values) = if name.starts_with("copy.") {
        let shape = if name.contains("proj") { [sizes.d_model; 2] } else { [1, sizes.d_model] };
        (shape.to_vec(), formula::values(name, &shape))
    } else {
        formula::tensor(name, sizes).unwrap()
    };
    let width = *shape.last().unwrap();
    values.chunks(width).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn project(weight: &[Row], x: &[f64]) -> Row {
    weight.iter().map(|row| dot(row, x)).collect()
}

fn norm(x: &[f64], scale: &[f64]) -> Row {
    let root = (dot(x, x) / x.len() as f64 + 1e-6).sqrt();
    x.iter().zip(scale).map(|(x, s)| (1.0 + s) * x / root).collect()
}

fn rotate(x: &[f64], position: usize) -> Row {
    let half = x.len() / 2;
    let angle = |i: usize| position as f64 * 10_000_f64.powf(-2.0 * i as f64 / x.len() as f64);
    let turned = |i: usize| {
        let (sin, cos) = angle(i % half).sin_cos();
        if i < half { x[i] * cos - x[i + half] * sin } else { x[i] * cos + x[i - half] * sin }
    };
    (0..x.len()).map(turned).collect()
}

fn softmax(scores: &[f64]) -> Row {
    let exps: Row = scores.iter().map(|s| s.exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|e| e / sum).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Final-normed encoder rows of one sequence of (token, position), where token i sees token j if `sees(i, j)`.
pub fn encode(sizes: Sizes, tokens: &[(TokenId, usize)], sees: impl Fn(usize, usize) -> bool) -> Vec<Row> {
    let head_dim = sizes.d_model / sizes.num_heads;
    let group = sizes.num_heads / sizes.num_kv_heads;
    let embedding = tensor("embedding.weight", sizes);
    let root = (sizes.d_model as f64).sqrt();
    let mut x: Vec<Row> =
        tokens.iter().map(|(t, _)| embedding[t.0 as usize].iter().map(|e| e * root).collect()).collect();
    for layer in 0..sizes.num_encoder_layers {
        let get = |part: &str| tensor(&format!("encoder.layers.{layer}.{part}"), sizes);
        let heads_of = |projected: &Row, scale: &Row, position: usize| -> Vec<Row> {
            projected.chunks(head_dim).map(|head| rotate(&norm(head, scale), position)).collect()
        };
        let (q_proj, k_proj, v_proj) =
            (get("self_attn.q_proj.weight"), get("self_attn.k_proj.weight"), get("self_attn.v_proj.weight"));
        let (q_norm, k_norm) = (get("self_attn.q_norm.scale"), get("self_attn.k_norm.scale"));
        let (attn_norm, out_proj) = (get("attn_norm.scale"), get("self_attn.out_proj.weight"));
        let gate = sigmoid(get("attn_gate")[0][0]);
        let (mut q, mut k, mut v) = (vec![], vec![], vec![]);
        for (row, (_, position)) in x.iter().zip(tokens) {
            let normed = norm(row, &attn_norm[0]);
            q.push(heads_of(&project(&q_proj, &normed), &q_norm[0], *position));
            k.push(heads_of(&project(&k_proj, &normed), &k_norm[0], *position));
            v.push(project(&v_proj, &normed));
        }
        for i in 0..tokens.len() {
            let seen: Vec<usize> = (0..tokens.len()).filter(|&j| sees(i, j)).collect();
            let mut attended = vec![];
            for h in 0..sizes.num_heads {
                let scores: Row = seen
                    .iter()
                    .map(|&j| dot(&q[i][h], &k[j][h / group]) / (head_dim as f64).sqrt())
                    .collect();
                let weights = softmax(&scores);
                attended.extend((0..head_dim).map(|e| -> f64 {
                    seen.iter().zip(&weights).map(|(&j, w)| w * v[j][h / group * head_dim + e]).sum()
                }));
            }
            let projected = project(&out_proj, &attended);
            x[i].iter_mut().zip(projected).for_each(|(x, p)| *x += gate * p);
        }
    }
    let final_norm = tensor("encoder.final_norm.scale", sizes);
    x.iter().map(|row| norm(row, &final_norm[0])).collect()
}

/// Gate and weights of the copy head for a decoder row over encoder rows.
pub fn copy_attention(sizes: Sizes, hidden: &[f64], source: &[Row]) -> (f64, Row) {
    let get = |part: &str| tensor(&format!("copy.{part}"), sizes);
    let query = project(&get("q_proj.weight"), hidden);
    let k_proj = get("k_proj.weight");
    let scores: Row = source
        .iter()
        .map(|row| dot(&query, &project(&k_proj, row)) / (sizes.d_model as f64).sqrt())
        .collect();
    let bias = f64::from(formula::values("copy.gate.bias", &[1])[0]);
    (sigmoid(dot(&get("gate.weight")[0], hidden) + bias), softmax(&scores))
}
