//! A list of tools, compiled once for a model and shared by all queries.

use std::collections::HashSet;
use std::sync::Arc;

use crate::TokenId;
use crate::checkpoint::config::Layout;
use crate::error::{Error, Result};
use crate::grammar::{Support, ToolGrammar, closed};
use crate::kernels::Pool;
use crate::model::Model;
use crate::nn::contrastive;
use crate::nn::decoder::CrossPiece;
use crate::nn::encoder::{self, SegmentKeys};
use crate::nn::static_embedding;
use crate::prompt::{NameMap, isolated, joint};
use crate::retrieval;
use crate::tool::ToolSpec;
use crate::validation::Validator;

/// Compiled tools; immutable.
#[derive(Debug)]
pub struct Catalogue {
    model: Arc<Model>,
    tools: Vec<CompiledTool>,
}

/// One tool with everything that does not depend on the query.
#[derive(Debug)]
pub struct CompiledTool {
    spec: ToolSpec,
    snake_name: String,
    grammar: ToolGrammar,
    support: Support,
    validator: Option<Validator>,
    /// The tool's part of the prompt.
    prompt: Vec<TokenId>,
    /// Keys and values for query and decoder; only in the isolated layout.
    encoded: Option<EncodedTool>,
    /// Retrieval embedding, of length 1.
    embedding: Vec<f32>,
    /// Static embedding, of length 1, if the model has one.
    meaning: Option<Vec<f32>>,
}

#[derive(Debug)]
pub(crate) struct EncodedTool {
    pub(crate) segment: SegmentKeys,
    pub(crate) cross: Arc<CrossPiece>,
}

impl Catalogue {
    /// Compiles tools for a model: grammar, validator, prompt, and in the isolated layout the encoder's pass.
    ///
    /// # Errors
    /// [`Error::Tool`] for two tools of the same name; the network's errors for a damaged model. A schema that
    /// the grammar cannot express is no error: [`CompiledTool::support`] tells, and calls of it are handed off.
    pub fn compile(model: &Arc<Model>, tools: Vec<ToolSpec>) -> Result<Arc<Self>> {
        Self::compile_on(&Pool::single(), model, tools)
    }

    /// The same on `threads` threads, the caller's included, which take a tool at a time.
    ///
    /// # Errors
    /// Those of [`Self::compile`]; [`Error::Option`] for no or more than 256 threads, or if the system cannot start so
    /// many.
    pub fn compile_with_threads(
        model: &Arc<Model>,
        tools: Vec<ToolSpec>,
        threads: usize,
    ) -> Result<Arc<Self>> {
        Self::compile_on(&Pool::new(threads)?, model, tools)
    }

    fn compile_on(pool: &Pool, model: &Arc<Model>, tools: Vec<ToolSpec>) -> Result<Arc<Self>> {
        let mut seen = HashSet::new();
        if let Some(tool) = tools.iter().find(|tool| !seen.insert(tool.name.as_str())) {
            return Err(Error::Tool {
                tool: tool.name.clone(),
                pointer: "/name".into(),
                problem: "is the name of two tools; rename one of them".into(),
            });
        }
        let names = NameMap::new(tools.iter().map(|tool| tool.name.as_str()));
        let snake_names: Vec<String> = names.iter().map(|(snake, _)| snake.to_owned()).collect();
        let mut compiled: Vec<Option<Result<CompiledTool>>> = tools.iter().map(|_| None).collect();
        let items = compiled.iter_mut().zip(tools.into_iter().zip(snake_names)).collect();
        pool.for_each(items, |(compiled, (spec, snake_name))| {
            *compiled = Some(CompiledTool::compile(model, spec, snake_name));
        });
        let tools = compiled.into_iter().flatten().collect::<Result<_>>()?;
        Ok(Arc::new(Self { model: Arc::clone(model), tools }))
    }

    /// The tools, in the caller's order.
    pub fn tools(&self) -> &[CompiledTool] {
        &self.tools
    }

    /// The model that this catalogue was compiled for.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

impl CompiledTool {
    fn compile(model: &Model, spec: ToolSpec, snake_name: String) -> Result<Self> {
        let (weights, tokenizer) = (model.weights(), model.tokenizer());
        let grammar = ToolGrammar::compile(model.vocabulary(), &snake_name, &closed(&spec.parameters));
        let (validator, support) = match Validator::compile(&spec.parameters) {
            Ok(validator) => (Some(validator), grammar.support().clone()),
            Err(problem) => (None, Support::Refused(problem)),
        };
        let limit = model.config().max_seq_len;
        let (prompt, encoded, contrastive) = match model.config().layout {
            Layout::Isolated => {
                let prompt = isolated::tool_segment(tokenizer, &spec, &snake_name, limit);
                let segment = encoder::encode_segment(weights, &prompt)?;
                let contrastive = contrastive::embed(weights, segment.output());
                let cross = Arc::new(CrossPiece::new(weights, segment.output()));
                (prompt, Some(EncodedTool { segment: segment.into_keys(), cross }), contrastive)
            }
            Layout::Joint => {
                let (text, _) = joint::normalise(&joint::tools_json(std::slice::from_ref(&spec)));
                let mut prompt = tokenizer.encode(&text);
                prompt.truncate(limit);
                let contrastive = contrastive::embed(weights, &encoder::encode(weights, &prompt)?);
                (prompt, None, contrastive)
            }
        };
        let meaning = static_embedding::embed(weights, &prompt)?;
        let embedding = retrieval::embedding(contrastive, meaning.as_deref());
        Ok(Self { spec, snake_name, grammar, support, validator, prompt, encoded, embedding, meaning })
    }

    /// The definition as it was understood.
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// The name that the model reads and writes.
    pub fn snake_name(&self) -> &str {
        &self.snake_name
    }

    /// Tokens that the tool takes in the prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt.len()
    }

    /// How far the tool's schema is enforced.
    pub fn support(&self) -> &Support {
        &self.support
    }

    pub(crate) fn grammar(&self) -> &ToolGrammar {
        &self.grammar
    }

    pub(crate) fn validator(&self) -> Option<&Validator> {
        self.validator.as_ref()
    }

    pub(crate) fn prompt(&self) -> &[TokenId] {
        &self.prompt
    }

    pub(crate) fn encoded(&self) -> Option<&EncodedTool> {
        self.encoded.as_ref()
    }

    pub(crate) fn embedding(&self) -> &[f32] {
        &self.embedding
    }

    pub(crate) fn meaning(&self) -> Option<&[f32]> {
        self.meaning.as_deref()
    }
}
