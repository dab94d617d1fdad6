//! `sallyport-classifier`: a text classifier from an ONNX file, as a server of interceptors (SEP-2624) that a gateway
//! asks where a rule demands a second opinion.
//!
//! A program of its own, so that whoever wants no such model builds and loads nothing of it, and so that a model, which
//! is somebody else's file, is read and run in a box. It must not know the gateway.

mod model;
mod pieces;
mod serve;

use std::{
    error::Error,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use wire::json::object;

use crate::{
    model::{Classifier, Meant},
    serve::{Judge, Said},
};

/// The longest text read with `--check`.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;
/// The time one has.
const CHECK: Duration = Duration::from_secs(60);

/// Serve a text classifier from an ONNX file as an MCP interceptor (SEP-2624) on standard input and output.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The model: one ONNX file that takes `input_ids`, and `attention_mask` and `token_type_ids` if it likes.
    #[arg(long)]
    model: PathBuf,
    /// Its tokenizer: `tokenizer.json` of Hugging Face's tokenizers.
    #[arg(long)]
    tokenizer: PathBuf,
    /// The SHA-256 the model must have, in hexadecimal. With another it is not read.
    #[arg(long, value_parser = sha256)]
    sha256: Option<String>,
    /// The class of harmless texts; all the others count against a text.
    #[arg(long, default_value_t = 0)]
    harmless: usize,
    /// How sure it has to be that a text is not harmless.
    #[arg(long, default_value_t = 0.5, value_parser = threshold)]
    threshold: f32,
    /// Most tokens it is asked about at a time; longer texts are read in windows.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(16..=4096))]
    tokens: u16,
    /// Try the model on the text on standard input, say what it is and what it says, and end.
    #[arg(long)]
    check: bool,
}

fn sha256(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(digits.to_ascii_lowercase())
    } else {
        Err("write 64 hexadecimal digits: `sha256sum model.onnx`".to_owned())
    }
}

fn threshold(text: &str) -> Result<f32, String> {
    let value: Option<f32> = text.parse().ok();
    value
        .filter(|value| *value > 0.0 && *value <= 1.0)
        .ok_or_else(|| "write more than 0 and at most 1".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.check {
        arguments.try_once()
    } else {
        let out = io::stdout();
        serve::serve(|| arguments.load(), io::BufReader::new(io::stdin()), out).map_err(Into::into)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("sallyport-classifier: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            // Whoever closed our standard error does not read it.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(2)
        }
    }
}

impl Arguments {
    fn load(&self) -> Result<Asked, model::LoadError> {
        let classifier = Classifier::load(&Meant {
            model: self.model.clone(),
            tokenizer: self.tokenizer.clone(),
            sha256: self.sha256.clone(),
            harmless: self.harmless,
            tokens_max: usize::from(self.tokens),
        })?;
        Ok(Asked {
            classifier,
            threshold: self.threshold,
        })
    }

    fn try_once(&self) -> Result<(), Box<dyn Error>> {
        let asked = self.load()?;
        let mut text = String::new();
        io::stdin().take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
        let began = Instant::now();
        let score = asked.classifier.score(&text, began + CHECK)?;
        let took = began.elapsed().as_millis();
        let said = object(|out| {
            out.string("model", &format!("sha256:{}", asked.classifier.sha256()));
            out.integer(
                "tokens",
                i128::try_from(asked.classifier.tokens_max()).unwrap_or(i128::MAX),
            );
            out.json("score", format!("{score:.6}").as_bytes());
            out.boolean("against", score >= asked.threshold);
            out.integer("milliseconds", i128::try_from(took).unwrap_or(i128::MAX));
        });
        writeln!(io::stdout(), "{}", String::from_utf8_lossy(&said))?;
        Ok(())
    }
}

/// The model with the threshold from which it is against a text.
struct Asked {
    classifier: Classifier,
    threshold: f32,
}

impl Judge for Asked {
    fn judge(&self, text: &str, until: Instant) -> Result<Said, String> {
        let score = self
            .classifier
            .score(text, until)
            .map_err(|error| error.to_string())?;
        let against = score >= self.threshold;
        Ok(Said { against, score })
    }

    fn is(&self) -> String {
        format!(
            "at {} or more it is against it; model sha256:{}",
            self.threshold,
            self.classifier.sha256()
        )
    }
}
