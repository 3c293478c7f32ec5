//! Dense projections.

use ndarray::{Array2, ArrayRef1, ArrayRef2, ArrayViewMut2, Axis};

use super::network::Network;
use crate::kernels::{self, Activations, PackedMatrix, Scaling};

/// `y = W x`, without bias.
#[derive(Clone, Debug)]
pub enum Linear {
    /// f32 weights (out, in).
    Dense(Array2<f32>),
    /// int8 or int4 weights; inputs are quantised on their way.
    Packed(PackedMatrix),
}

impl Linear {
    /// Width of the result.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.nrows(),
            Self::Packed(weight) => weight.outputs(),
        }
    }

    /// Width of what it takes.
    pub fn inputs(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.ncols(),
            Self::Packed(weight) => weight.inputs(),
        }
    }

    /// How the activations are scaled that it takes, if it takes quantised ones.
    fn scaling(&self) -> Option<Scaling> {
        match self {
            Self::Dense(_) => None,
            Self::Packed(weight) => Some(weight.scaling()),
        }
    }

    /// Row `output` of the weights, times `factor`, into `out` (in).
    pub(crate) fn row(&self, output: usize, factor: f32, out: &mut ArrayRef1<f32>) {
        match self {
            Self::Dense(weight) => {
                out.assign(&weight.row(output));
                *out *= factor;
            }
            Self::Packed(weight) => kernels::unpack_row(weight, output, factor, out),
        }
    }

    /// Results `outputs` of one row `x` (in), in their order; equal to those that [`project`] gives.
    pub(crate) fn some(&self, x: &ArrayRef1<f32>, outputs: impl Iterator<Item = usize>) -> Vec<f32> {
        match self {
            Self::Dense(weight) => outputs.map(|output| kernels::dot(&weight.row(output), x)).collect(),
            Self::Packed(weight) => {
                let mut activations = Activations::default();
                activations.quantise(&x.view().insert_axis(Axis(0)), weight.scaling());
                outputs.map(|output| kernels::dot_packed(&activations, weight, output)).collect()
            }
        }
    }

    /// Projects every row of `x` into the outputs from `first` on, `out` (N, some of out).
    fn part(&self, x: &ArrayRef2<f32>, quantised: &Activations, first: usize, out: &mut ArrayRef2<f32>) {
        match self {
            Self::Dense(weight) => {
                let rows = weight.slice(ndarray::s![first..first + out.ncols(), ..]);
                kernels::matmul_transposed(x, &rows, out);
            }
            Self::Packed(weight) => kernels::matmul_packed(quantised, weight, first, out),
        }
    }
}

/// Projects every row of `x` (N, in) by each of `targets` into its array (N, out).
///
/// The projections are computed together, so that `x` is quantised once and all threads have work; `activations` is
/// room for that.
pub(crate) fn project<'a, T>(
    network: Network<'_>,
    x: &ArrayRef2<f32>,
    activations: &mut Activations,
    targets: T,
) where
    T: IntoIterator<Item = (&'a Linear, ArrayViewMut2<'a, f32>)> + AsRef<[T::Item]>,
{
    let all = targets.as_ref();
    let scaling = all.first().and_then(|(linear, _)| linear.scaling());
    // A file may store neighbours differently; nobody's does, so that is not made fast.
    let is_mixed = all.iter().any(|(linear, _)| linear.scaling() != scaling);
    if network.threads() == 1 || is_mixed {
        return project_some(x, activations, targets.into_iter().map(|(linear, out)| (linear, 0, out)));
    }
    if let Some(scaling) = scaling {
        activations.quantise(x, scaling);
    }
    let activations = &*activations;
    let outputs: usize = all.iter().map(|(linear, _)| linear.outputs()).sum();
    // Whole pairs of the kernels' panels; f32 is split the same way.
    let width = outputs.div_ceil(network.threads()).next_multiple_of(32);
    let mut parts = Vec::new();
    for (linear, out) in targets {
        let mut rest = out;
        let mut first = 0;
        while rest.ncols() > 0 {
            let end = width.min(rest.ncols());
            let (part, after) = rest.split_at(Axis(1), end);
            let next = first + part.ncols();
            parts.push((linear, first, part));
            (rest, first) = (after, next);
        }
    }
    network.for_each(x.len() * outputs, parts, |(linear, first, mut out)| {
        linear.part(x, activations, first, &mut out);
    });
}

/// Projects every row of `x` (N, in), on the caller's thread, into some outputs of each of `targets`: those from a first one
/// on that its array (N, some of out) has room for. `activations` is room for quantised rows.
pub(crate) fn project_some<'a>(
    x: &ArrayRef2<f32>,
    activations: &mut Activations,
    targets: impl IntoIterator<Item = (&'a Linear, usize, ArrayViewMut2<'a, f32>)>,
) {
    let mut quantised = None;
    for (linear, first, mut out) in targets {
        if let Some(scaling) = linear.scaling().filter(|&scaling| quantised != Some(scaling)) {
            activations.quantise(x, scaling);
            quantised = Some(scaling);
        }
        linear.part(x, activations, first, &mut out);
    }
}
