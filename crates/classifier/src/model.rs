//! A classifier from two files: an ONNX graph, and the tokenizer it was trained with.
//!
//! Both are somebody else's: what they hold is read with bounds, and what breaks while it is read or run is an error.
//! It must not know payloads or protocols.

use std::{
    fs,
    io::Read as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use aws_lc_rs::digest::{SHA256, digest};
use tokenizers::{Encoding, Tokenizer};
use tract_onnx::{
    prelude::{
        DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, OutletId,
        Tensor, ToDim, TractError, TractResult, TypedRunnableModel, onnx, tvec,
    },
    tract_hir::infer::Factoid,
};

use crate::pieces::windows;

/// The longest files that are read, in bytes.
const MODEL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const TOKENIZER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of text that one token stands for at the most, as a first guess; where it is fewer, windows are halved.
const TOKEN_BYTES: usize = 5;

/// What is meant to be run.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    /// The graph.
    pub(crate) model: PathBuf,
    /// `tokenizer.json`.
    pub(crate) tokenizer: PathBuf,
    /// The SHA-256 that the graph must have, in hexadecimal.
    pub(crate) sha256: Option<String>,
    /// The class of harmless texts.
    pub(crate) harmless: usize,
    /// Most tokens it is asked about at a time.
    pub(crate) tokens_max: usize,
}

/// Why there is no classifier.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file that cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is too long.
    #[error("`{path}` has more than {bytes_max} bytes")]
    Long {
        /// The file.
        path: String,
        /// What it may have.
        bytes_max: u64,
    },
    /// Another model than was meant.
    #[error(
        "the model has the digest sha256:{found}, and sha256:{meant} was meant; compare where it came from"
    )]
    Other {
        /// Its digest.
        found: String,
        /// The digest it should have.
        meant: String,
    },
    /// A tokenizer that is none.
    #[error(
        "the tokenizer cannot be used: {why}; it has to be a `tokenizer.json` of Hugging Face's tokenizers"
    )]
    Tokenizer {
        /// What is wrong with it.
        why: String,
    },
    /// A graph that cannot be run.
    #[error("the model cannot be used: {why}; it has to be one ONNX file of a text classifier")]
    Model {
        /// What is wrong with it.
        why: String,
    },
}

/// Why there is no score.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScoreError {
    /// The time is over.
    #[error("there was not time enough for all of it")]
    Late,
    /// The tokenizer or the model failed.
    #[error("the model failed: {why}")]
    Failed {
        /// How.
        why: String,
    },
}

/// What the graph is given.
#[derive(Clone, Copy, Debug)]
enum Input {
    Ids,
    Kinds,
    Mask,
}

/// See the module.
pub(crate) struct Classifier {
    tokenizer: Tokenizer,
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<(Input, DatumType)>,
    output: usize,
    /// The number of tokens it is always given, where its graph allows no other.
    length: Option<usize>,
    tokens_max: usize,
    padding: u32,
    harmless: usize,
    sha256: String,
}

impl std::fmt::Debug for Classifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classifier")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Classifier {
    /// Reads both files and tries the model once.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn load(meant: &Meant) -> Result<Self, LoadError> {
        let bytes = read(&meant.model, MODEL_BYTES_MAX)?;
        let found = hexadecimal(digest(&SHA256, &bytes).as_ref());
        if let Some(sha256) = meant.sha256.as_ref().filter(|sha256| **sha256 != found) {
            return Err(LoadError::Other {
                found,
                meant: sha256.clone(),
            });
        }
        let tokenizer = tokenizer(&read(&meant.tokenizer, TOKENIZER_BYTES_MAX)?)?;
        // What was exported for one length is run with that; the rest with any, or with padding where any is too much.
        let any = Self::build(&bytes, None, tokenizer.clone(), meant, &found);
        let built = any.or_else(|_| Self::build(&bytes, Some(meant.tokens_max), tokenizer, meant, &found));
        built.map_err(|why| LoadError::Model { why })
    }

    fn build(
        bytes: &[u8],
        length: Option<usize>,
        tokenizer: Tokenizer,
        meant: &Meant,
        sha256: &str,
    ) -> Result<Self, String> {
        let graph = caught(|| onnx().model_for_read(&mut &*bytes))?;
        let named = inputs(&graph)?;
        let length = length.or_else(|| fixed(&graph));
        let output = output(&graph);
        let types: Vec<DatumType> = named.iter().map(|(_, of)| *of).collect();
        let classifier = Self {
            plan: caught(|| plan(graph, &types, length))?,
            inputs: named,
            output,
            length,
            tokens_max: length.unwrap_or(meant.tokens_max),
            padding: ["[PAD]", "<pad>"]
                .iter()
                .find_map(|word| tokenizer.token_to_id(word))
                .unwrap_or_default(),
            harmless: meant.harmless,
            sha256: sha256.to_owned(),
            tokenizer,
        };
        for text in ["", "Is it what it says it is?"] {
            let tokens = classifier.tokens(text).map_err(|error| error.to_string())?;
            classifier.run(&tokens).map_err(|error| error.to_string())?;
        }
        Ok(classifier)
    }

    /// The model's SHA-256, in hexadecimal.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Most tokens it is asked about at a time.
    pub(crate) fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// How sure the model is that a text is not harmless, 0 to 1: of the worst window of it.
    ///
    /// # Errors
    /// The text was not read to its end.
    pub(crate) fn score(&self, text: &str, until: Instant) -> Result<f32, ScoreError> {
        let mut worst = 0.0_f32;
        let mut open = windows(text, self.tokens_max.saturating_mul(TOKEN_BYTES));
        while let Some(window) = open.pop() {
            if Instant::now() > until {
                return Err(ScoreError::Late);
            }
            let tokens = self.tokens(window)?;
            if tokens.get_ids().len() <= self.tokens_max {
                worst = worst.max(self.run(&tokens)?);
                continue;
            }
            let half = window.len().div_ceil(2);
            let parts = windows(window, half);
            if parts.iter().any(|part| part.len() >= window.len()) {
                let why = "one sign makes more tokens than it takes".to_owned();
                return Err(ScoreError::Failed { why });
            }
            open.extend(parts);
        }
        Ok(worst)
    }

    fn tokens(&self, text: &str) -> Result<Encoding, ScoreError> {
        caught(|| {
            let tokens = self.tokenizer.encode(text, true);
            tokens.map_err(|error| TractError::msg(error.to_string()))
        })
        .map_err(|why| ScoreError::Failed { why })
    }

    fn run(&self, tokens: &Encoding) -> Result<f32, ScoreError> {
        let said = caught(|| {
            let inputs = self
                .inputs
                .iter()
                .map(|(input, of)| self.input(*input, *of, tokens));
            let inputs: TractResult<_> = inputs.map(|tensor| Ok(tensor?.into())).collect();
            let outputs = self.plan.run(inputs?)?;
            let said = outputs.get(self.output).cloned();
            let said = said.ok_or_else(|| TractError::msg("it said nothing"))?;
            let said = said.cast_to::<f32>()?.into_owned();
            Ok(said
                .to_plain_array_view::<f32>()?
                .iter()
                .copied()
                .collect::<Vec<f32>>())
        });
        let said = said.map_err(|why| ScoreError::Failed { why })?;
        certainty(&said, self.harmless).map_err(|why| ScoreError::Failed { why })
    }

    fn input(&self, input: Input, of: DatumType, tokens: &Encoding) -> TractResult<Tensor> {
        let (values, padding) = match input {
            Input::Ids => (tokens.get_ids(), self.padding),
            Input::Kinds => (tokens.get_type_ids(), 0),
            Input::Mask => (tokens.get_attention_mask(), 0),
        };
        let length = self.length.unwrap_or(values.len());
        let mut values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
        values.resize(length, i64::from(padding));
        Ok(Tensor::from_shape(&[1, length], &values)?
            .cast_to_dt(of)?
            .into_owned())
    }
}

/// How sure a model is that it is not this class.
fn certainty(said: &[f32], harmless: usize) -> Result<f32, String> {
    if said.iter().any(|value| !value.is_finite()) {
        return Err("it said what is no number".to_owned());
    }
    if let [one] = said {
        return Ok(1.0 / (1.0 + (-one).exp()));
    }
    let most = said.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = said.iter().map(|value| (value - most).exp()).sum();
    let own = said.get(harmless).filter(|_| said.len() <= CLASSES_MAX);
    let own = own.ok_or_else(|| format!("it has {} values, and none is the class {harmless}", said.len()))?;
    Ok(1.0 - (own - most).exp() / sum)
}

/// More than these are no classes.
const CLASSES_MAX: usize = 64;

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, LoadError> {
    let named = || path.display().to_string();
    let failed = |source| LoadError::File {
        path: named(),
        source,
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(LoadError::Long {
            path: named(),
            bytes_max,
        });
    }
    Ok(bytes)
}

fn tokenizer(bytes: &[u8]) -> Result<Tokenizer, LoadError> {
    let read = caught(|| {
        let read = Tokenizer::from_bytes(bytes);
        read.map_err(|error| TractError::msg(error.to_string()))
    });
    let mut tokenizer = read.map_err(|why| LoadError::Tokenizer { why })?;
    // Nothing is cut off, and nothing added: windows are ours.
    tokenizer.with_padding(None);
    let cut = tokenizer.with_truncation(None);
    cut.map_err(|error| LoadError::Tokenizer {
        why: error.to_string(),
    })?;
    Ok(tokenizer)
}

fn inputs(graph: &InferenceModel) -> Result<Vec<(Input, DatumType)>, String> {
    let mut named = Vec::new();
    for outlet in &graph.inputs {
        let node = graph
            .nodes
            .get(outlet.node)
            .ok_or("it has an input that is not there")?;
        let input = match node.name.as_str() {
            "input_ids" => Input::Ids,
            "attention_mask" => Input::Mask,
            "token_type_ids" => Input::Kinds,
            other => return Err(format!("it wants `{}`, which is not known", other.escape_debug())),
        };
        let fact = graph.outlet_fact(*outlet).map_err(|error| error.to_string())?;
        named.push((input, fact.datum_type.concretize().unwrap_or(DatumType::I64)));
    }
    if named.iter().any(|(input, _)| matches!(input, Input::Ids)) {
        Ok(named)
    } else {
        Err("it has no input `input_ids`".to_owned())
    }
}

/// The length it was exported for, if it is one.
fn fixed(graph: &InferenceModel) -> Option<usize> {
    let fact = graph.outlet_fact(*graph.inputs.first()?).ok()?;
    let length = fact.shape.dim(1)?.concretize()?.to_i64().ok()?;
    usize::try_from(length).ok()
}

/// The output called `logits`, or else the first.
fn output(graph: &InferenceModel) -> usize {
    let is_logits = |outlet: &OutletId| {
        let label = graph.outlet_label(*outlet);
        let named = graph.nodes.get(outlet.node).map(|node| node.name.as_str());
        label == Some("logits") || named == Some("logits")
    };
    graph.outputs.iter().position(is_logits).unwrap_or_default()
}

fn plan(
    mut graph: InferenceModel,
    types: &[DatumType],
    length: Option<usize>,
) -> TractResult<Arc<TypedRunnableModel>> {
    let any = graph.symbols.sym("tokens");
    for (at, of) in types.iter().enumerate() {
        let length = length.map_or_else(|| any.to_dim(), |length| length.to_dim());
        graph.set_input_fact(at, InferenceFact::dt_shape(*of, tvec![1.to_dim(), length]))?;
    }
    graph.into_optimized()?.into_runnable()
}

/// What a closure comes to; a panic in it is an error. What it was at is not used again.
fn caught<T>(run: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}").escape_debug().take(500).collect()),
        Err(_) => Err("it makes what runs it fail".to_owned()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_a_certainty() {
        let near = |said: &[f32], harmless, wanted: f32| {
            let found = certainty(said, harmless).unwrap();
            assert!((found - wanted).abs() < 1e-6, "{said:?}: {found}");
        };
        near(&[0.0, 0.0], 0, 0.5);
        near(&[0.0], 0, 0.5);
        near(&[1000.0, 0.0], 0, 0.0);
        near(&[1000.0, 0.0], 1, 1.0);
        near(&[-1000.0], 0, 0.0);
        near(&[0.0, 0.0, 0.0, 0.0], 3, 0.75);
        assert!(certainty(&[0.0, f32::NAN], 0).is_err());
        assert!(certainty(&[], 0).is_err());
        assert!(certainty(&[0.0, 0.0], 2).is_err());
        assert!(certainty(&[0.0; 384], 0).is_err(), "a vector is no classes");
    }
}
