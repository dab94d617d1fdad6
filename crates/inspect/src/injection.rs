//! Content that speaks to the model instead of informing it.

use crate::{
    FindingKind, SettingsError,
    pattern::{Patterns, Rule, any},
};

const KIND: FindingKind = FindingKind::Injection;

/// What no tool result says to its reader.
const RULES: [Rule; 3] = [
    Rule {
        detector: "injection/override",
        kind: KIND,
        pattern: r"(?i)\b(?:ignore|disregard|forget|override|bypass)\b(?:\s+\w+){0,3}\s+(?:previous|prior|above|earlier|preceding|foregoing|system)\b(?:\s+\w+){0,2}\s+(?:instructions?|prompts?|rules?|directions?|guidelines|messages?|context)\b",
        score: 0.9,
        check: any,
        note: "asks the reader to drop its instructions",
    },
    Rule {
        detector: "injection/prompt-extraction",
        kind: KIND,
        pattern: r"(?i)\b(?:reveal|print|repeat|show|output|leak|disclose)\b(?:\s+\w+){0,3}\s+(?:system|initial|hidden|original)\s+(?:prompt|instructions?|message)\b",
        score: 0.7,
        check: any,
        note: "asks for the instructions of the reader",
    },
    Rule {
        detector: "injection/template-token",
        kind: KIND,
        pattern: r"<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>",
        score: 0.85,
        check: any,
        note: "has the control tokens of a chat template",
    },
];

pub(crate) fn detector() -> Result<Patterns, SettingsError> {
    Patterns::new("injection/rules", &RULES)
}
