//! What the decoder attends to: the encoded query and the tools of one decision.

use crate::TokenId;
use crate::catalogue::{Catalogue, CompiledTool};
use crate::checkpoint::config::Layout;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::nn::contrastive;
use crate::nn::decoder::{CrossKv, CrossPiece};
use crate::nn::encoder;
use crate::nn::network::Network;
use crate::nn::static_embedding;
use crate::prompt::{isolated, joint};
use crate::retrieval::{self, Candidates};
use crate::similarity::Similarity;
use crate::tool::ToolSpec;

/// The encoded prompt of one decision.
pub(crate) struct Source {
    pub(crate) candidates: Candidates,
    /// How near the candidates' meanings are to the query's, if the model has a static embedding.
    pub(crate) similarity: Option<Similarity>,
    pub(super) cross: CrossKv,
    /// The tokens behind `cross`, in its order; what the copy head copies.
    pub(super) tokens: Vec<TokenId>,
}

impl Source {
    /// Encodes the query with the tools of the catalogue that take part in it.
    ///
    /// # Errors
    /// [`Error::Limit`] if the query (with the tools, in the joint layout) is longer than the model's context.
    pub(crate) fn encode(
        network: Network<'_>,
        catalogue: &Catalogue,
        query: &str,
        max_candidates: usize,
    ) -> Result<Self> {
        let (model, limit) = (catalogue.model(), catalogue.model().config().max_seq_len);
        if query.len() > model.most_bytes(limit) {
            let what = "the length of the query in bytes";
            return Err(Error::Limit { what, actual: query.len(), limit: model.most_bytes(limit) });
        }
        match model.config().layout {
            Layout::Isolated => Self::isolated(network, catalogue, query, max_candidates),
            Layout::Joint => Self::joint(network, catalogue, query, max_candidates),
        }
    }

    fn isolated(
        network: Network<'_>,
        catalogue: &Catalogue,
        query: &str,
        max_candidates: usize,
    ) -> Result<Self> {
        let model = catalogue.model();
        let ids = isolated::query_segment(model.tokenizer(), query, model.config().max_seq_len)?;
        let (candidates, similarity) = candidates(network, catalogue, &ids, max_candidates)?;
        let tools: Vec<&CompiledTool> =
            candidates.tools.iter().map(|&index| &catalogue.tools()[index]).collect();
        let encoded = tools.iter().filter_map(|tool| tool.encoded());
        let segments: Vec<_> = encoded.clone().map(|encoded| &encoded.segment).collect();
        let output = encoder::encode_query(network, &ids, &segments)?;
        let mut pieces: Vec<_> = encoded.map(|encoded| encoded.cross.clone()).collect();
        pieces.push(CrossPiece::new(network, &output).into());
        let tokens = tools.iter().flat_map(|tool| tool.prompt()).chain(&ids).copied().collect();
        Ok(Self { candidates, similarity, cross: CrossKv::new(pieces), tokens })
    }

    fn joint(
        network: Network<'_>,
        catalogue: &Catalogue,
        query: &str,
        max_candidates: usize,
    ) -> Result<Self> {
        let model = catalogue.model();
        let limit = model.config().max_seq_len;
        let ids = model.tokenizer().encode(query);
        let (candidates, similarity) = candidates(network, catalogue, &ids, max_candidates)?;
        let specs: Vec<ToolSpec> =
            candidates.tools.iter().map(|&index| catalogue.tools()[index].spec().clone()).collect();
        let (tools, _) = joint::normalise(&joint::tools_json(&specs));
        let prompt = joint::prompt(model.tokenizer(), query, &tools, limit);
        if prompt.is_cut {
            let what = "the length of query and tools in tokens";
            let actual = ids.len() + 1 + model.tokenizer().encode(&tools).len();
            return Err(Error::Limit { what, actual, limit });
        }
        let output = encoder::encode(network, &prompt.ids)?;
        let cross = CrossKv::new(vec![CrossPiece::new(network, &output).into()]);
        Ok(Self { candidates, similarity, cross, tokens: prompt.ids })
    }
}

/// The retrieval embedding of a query, of length 1.
///
/// # Errors
/// [`Error::Limit`] if the query is longer than the model's context.
pub(crate) fn embed(network: Network<'_>, model: &Model, query: &str) -> Result<Vec<f32>> {
    let limit = model.config().max_seq_len;
    if query.len() > model.most_bytes(limit) {
        let what = "the length of the query in bytes";
        return Err(Error::Limit { what, actual: query.len(), limit: model.most_bytes(limit) });
    }
    let ids = match model.config().layout {
        Layout::Isolated => isolated::query_segment(model.tokenizer(), query, limit)?,
        Layout::Joint => model.tokenizer().encode(query),
    };
    let meaning = static_embedding::embed(network.weights, &ids)?;
    retrieval_embedding(network, &ids, meaning.as_deref())
}

/// The `count` tools nearest to a query: index into the catalogue and cosine, best first.
///
/// # Errors
/// [`Error::Limit`] if the query is longer than the model's context.
pub(crate) fn nearest(
    network: Network<'_>,
    catalogue: &Catalogue,
    query: &str,
    count: usize,
) -> Result<Vec<(usize, f32)>> {
    let embedding = embed(network, catalogue.model(), query)?;
    let found = Candidates::nearest(catalogue.tools(), &embedding, count);
    let mut ranked: Vec<(usize, f32)> = found.tools.into_iter().zip(found.cosines).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(ranked)
}

/// The tools that take part (all, or the nearest ones of a large catalogue), and how near their meanings are.
fn candidates(
    network: Network<'_>,
    catalogue: &Catalogue,
    query: &[TokenId],
    most: usize,
) -> Result<(Candidates, Option<Similarity>)> {
    let meaning = static_embedding::embed(network.weights, query)?;
    let candidates = if catalogue.tools().len() <= most {
        Candidates::all(catalogue.tools().len())
    } else {
        let embedding = retrieval_embedding(network, query, meaning.as_deref())?;
        Candidates::nearest(catalogue.tools(), &embedding, most)
    };
    let similarity = meaning.zip(network.weights.config().static_embedding).map(|(meaning, weights)| {
        let tools = candidates.tools.iter().filter_map(|&index| catalogue.tools()[index].meaning());
        Similarity::new(&meaning, tools, weights)
    });
    Ok((candidates, similarity))
}

fn retrieval_embedding(network: Network<'_>, query: &[TokenId], meaning: Option<&[f32]>) -> Result<Vec<f32>> {
    let contrastive = contrastive::embed(network.weights, &encoder::encode(network, query)?);
    Ok(retrieval::embedding(contrastive, meaning))
}
