//! Figures that people would rather see than read, in plain text.

use needle_core::eval::{Bin, Point};

const WIDTH: usize = 40;

/// Bars of a histogram of latencies.
const BINS: usize = 10;

/// Counts in ten equal steps up to the 99th percentile, the rest in the last, and the width of a step.
fn bins(values: &[f64]) -> Option<([usize; BINS], f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let high = *sorted.get(sorted.len().saturating_sub(1) * 99 / 100)?;
    let step = high.max(f64::MIN_POSITIVE) / BINS as f64;
    let mut counts = [0; BINS];
    for value in values {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times are positive and small"
        )]
        let bin = (value / step) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    Some((counts, step))
}

/// A histogram of latencies in milliseconds.
pub(crate) fn latencies(values: &[f64]) -> String {
    let Some((counts, step)) = bins(values) else { return String::new() };
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut lines = vec!["latency".to_owned()];
    for (index, count) in counts.into_iter().enumerate() {
        let from = step * index as f64;
        lines.push(format!("{from:>8.1} ms  {:<WIDTH$} {count}", "█".repeat(WIDTH * count / most)));
    }
    lines.join("\n")
}

/// The same as a picture.
pub(crate) fn latencies_svg(values: &[f64]) -> String {
    const BAR: usize = 24;
    let (counts, step) = bins(values).unwrap_or_default();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let bars: Vec<String> = counts
        .into_iter()
        .enumerate()
        .map(|(index, count)| {
            let (y, width, from) = (20 + BAR * index, 400 * count / most, step * index as f64);
            format!(
                r##"<text x="80" y="{}" text-anchor="end">{from:.1} ms</text><rect x="90" y="{y}" width="{width}" height="{}" fill="#3b6ea5"/><text x="{}" y="{}">{count}</text>"##,
                y + 15,
                BAR - 4,
                96 + width,
                y + 15,
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"560\" height=\"{}\" font-family=\"sans-serif\" font-size=\"13\">\n{}\n</svg>\n",
        40 + BAR * BINS,
        bars.join("\n")
    )
}

/// A curve: the share that agrees (up) against the share that is answered (right).
pub(crate) fn agreement_svg(curve: &[Point]) -> String {
    const SIDE: f64 = 400.0;
    let at = |point: &Point| {
        format!("{:.1},{:.1}", 50.0 + SIDE * point.coverage, 10.0 + SIDE * (1.0 - point.agreement))
    };
    let points: Vec<String> = curve.iter().map(at).collect();
    let ticks: Vec<String> = (0..=4)
        .map(|quarter| {
            let (share, place) = (25 * quarter, SIDE * f64::from(quarter) / 4.0);
            format!(
                r##"<path d="M50 {y}h400M{x} 10v400" stroke="#ddd"/><text x="44" y="{}" text-anchor="end">{share}</text><text x="{x}" y="426" text-anchor="middle">{share}</text>"##,
                14.0 + SIDE - place,
                y = 10.0 + SIDE - place,
                x = 50.0 + place,
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"470\" height=\"450\" font-family=\"sans-serif\" font-size=\"12\">\n{}\n<polyline points=\"{}\" fill=\"none\" stroke=\"#3b6ea5\" stroke-width=\"2\"/>\n<text x=\"250\" y=\"444\" text-anchor=\"middle\">% of requests answered locally</text><text transform=\"translate(12 210)rotate(-90)\" text-anchor=\"middle\">% as the large model</text>\n</svg>\n",
        ticks.join("\n"),
        points.join(" "),
    )
}

/// A reliability diagram: per tenth of confidence the share that was right (█), and the confidence (│).
pub(crate) fn reliability(bins: &[Bin]) -> String {
    let mut lines = vec!["confidence  right (█) beside the mean confidence (│)".to_owned()];
    for (index, bin) in bins.iter().enumerate() {
        let mut bar: Vec<char> =
            (0..=WIDTH).map(|at| if at < cells(bin.accuracy) { '█' } else { ' ' }).collect();
        if bin.rows > 0 {
            bar[cells(bin.confidence)] = '│';
        }
        let bar: String = bar.into_iter().collect();
        let (low, high) = (index as f64 / 10.0, (index + 1) as f64 / 10.0);
        lines.push(format!("{low:.1} to {high:.1}  {bar} {} rows", bin.rows));
    }
    lines.join("\n")
}

fn cells(share: f64) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is within 0 to 1")]
    let cells = (share.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_drawn_to_scale() {
        let drawn = latencies(&[1.0, 1.0, 1.0, 1.0, 10.0, 10.0]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 11);
        assert!(lines[2].ends_with(&format!("{} 4", "█".repeat(40))), "{}", lines[2]);
        assert!(lines[10].ends_with(" 2") && lines[10].contains(&"█".repeat(20)), "{}", lines[10]);
        assert_eq!(latencies(&[]), "");
    }

    #[test]
    fn a_diagram_shows_confidence_beside_accuracy() {
        let mut bins = vec![Bin::default(); 10];
        bins[9] = Bin { rows: 7, confidence: 0.95, accuracy: 0.5 };
        let drawn = reliability(&bins);
        let last = drawn.lines().last().unwrap();
        assert_eq!(last, format!("0.9 to 1.0  {}{}│   7 rows", "█".repeat(20), " ".repeat(18)));
    }
}
